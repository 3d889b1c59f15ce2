/**
 * Where the layers stand in the drawing of a network, to scale: each layer a box of its maps, as deep and high as
 * they have pixels, as thick as it has maps; a line of boxes for each column of the network.
 */

/**
 * @typedef {object} Box
 * @property {number} x the middle of its left edge
 * @property {number} y
 * @property {number} side of its maps in units of the drawing; 0 for dense layers
 * @property {number} thick
 * @property {number} tall its height
 * @property {number} column −1 for the picture
 *
 * @typedef {{ layer: Layer, boxes: Box[], label: { x: number, y: number } }} Stage
 *
 * @typedef {object} Layout
 * @property {boolean} sideways from left to right, or downwards
 * @property {Box} picture
 * @property {Stage[]} stages
 * @property {number} width
 * @property {number} height
 * @property {Scale} scale
 *
 * @typedef {{ pixel: number, map: number }} Scale units of the drawing for a pixel, and for a map or unit
 */

const THICKEST = 40; // of a box of maps in the drawing, where the dense layers are few units
export const OBLIQUE = { x: 0.34, y: 0.26 }; // how the depth of a box is seen

/** @param {Network} network @param {boolean} narrow @returns {Layout} */
export const layOut = (network, narrow) => (narrow ? downwards(network) : rightwards(network));

/**
 * @param {Network} network
 * @param {number} picture the side of the picture in the drawing
 * @param {number} longest of a dense layer in the drawing
 * @returns {Scale}
 */
function scales({ layers, input }, picture, longest) {
  const most = (/** @type {Layer[]} */ some) =>
    Math.max(1, ...some.map((layer) => layer.maps / layer.columns));
  const dense = layers.filter((layer) => layer.side === 1);
  const maps = layers.filter((layer) => layer.side > 1);
  return { pixel: picture / input, map: Math.min(longest / most(dense), THICKEST / most(maps)) };
}

/** @param {Network} network @returns {Layout} */
function rightwards(network) {
  const { columns, input, layers } = network;
  const single = columns === 1;
  const gap = 54;
  const bottom = single ? 270 : 185 + 165 * (columns - 1);
  const scale = scales(network, 150, single ? 210 : 145);
  const middle = (/** @type {number} */ column) => (single ? 145 : 92 + 165 * column);
  const side = input * scale.pixel;
  const centre = (middle(0) + middle(columns - 1)) / 2;
  const picture = { x: 12, y: centre + 14, side, thick: 3, tall: side, column: -1 };
  let x = 12 + 3 + side * OBLIQUE.x + 96;
  const stages = layers.map((layer) => {
    const dense = layer.side === 1;
    const own = (layer.maps / layer.columns) * scale.map;
    const side = dense ? 0 : layer.side * scale.pixel;
    const thick = dense ? 9 : Math.max(2, own);
    const tall = dense ? Math.max(6, own) : side;
    const boxes = Array.from({ length: columns }, (_, column) => {
      return { x, y: middle(column), side, thick, tall, column };
    });
    const label = { x: x + (thick + side * OBLIQUE.x) / 2, y: bottom + 16 };
    x += Math.max(thick + side * OBLIQUE.x + gap, 78);
    return { layer, boxes, label };
  });
  return { sideways: true, picture, stages, width: x - gap + 34, height: bottom + 92, scale };
}

/** @param {Network} network @returns {Layout} */
function downwards(network) {
  const { columns, input, layers } = network;
  const width = 360;
  const scale = scales(network, 110, columns === 1 ? 260 : 300 / columns);
  const middle = (/** @type {number} */ column) => (width * (column + 0.5)) / columns;
  const side = input * scale.pixel;
  const picture = { x: width / 2 - 24, y: 90, side, thick: 3, tall: side, column: -1 };
  let y = 177;
  const stages = layers.map((layer) => {
    const dense = layer.side === 1;
    const side = dense ? 0 : layer.side * scale.pixel;
    const thick = Math.max(2, (layer.maps / layer.columns) * scale.map);
    const tall = dense ? 9 : side;
    y += tall / 2 + side * OBLIQUE.y;
    const boxes = Array.from({ length: columns }, (_, column) => {
      return { x: middle(column) - (thick + side * OBLIQUE.x) / 2, y, side, thick, tall, column };
    });
    const label = { x: width / 2, y: y + tall / 2 + 18 };
    y += tall / 2 + 62;
    return { layer, boxes, label };
  });
  return { sideways: false, picture, stages, width, height: y + 36, scale };
}

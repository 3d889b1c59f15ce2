/**
 * Where the layers stand in the drawing of a network: for each layer with weights a stage, of a box for each column. A
 * box's front is as large as its maps have pixels, and it is as deep as the column has maps; both by a power, so that a
 * map of 13 × 13 can still be seen beside a picture of 224 × 224.
 */

/**
 * @typedef {object} Box
 * @property {number} x the left of its front
 * @property {number} y the top of its front
 * @property {number} width
 * @property {number} height
 * @property {number} deep how far it goes back: to the right and up
 * @property {number} column −1 for the picture
 *
 * @typedef {object} Stage
 * @property {Layer} layer
 * @property {Row[]} rows the layer's own and those that follow it, before the next layer's
 * @property {Box[]} boxes one for each column
 * @property {Point} label
 *
 * @typedef {object} Layout
 * @property {boolean} sideways from left to right, or downwards
 * @property {Box} picture
 * @property {Stage[]} stages
 * @property {number} width
 * @property {number} height
 *
 * @typedef {[x: number, y: number]} Point
 */

const POWER = 0.38;
const DENSE = 20; // how thick a dense layer is drawn
export const BACK = { x: 0.8, y: 0.55 }; // how a length that goes back is seen

/** @param {Network} network @param {boolean} narrow @returns {Layout} */
export const layOut = (network, narrow) => (narrow ? downwards(network) : rightwards(network));

/** The rows of each layer with weights; rows before the first belong to it. @param {Network} network */
export function stagesOf({ layers, rows }) {
  const starts = layers.map((layer) => rows.findIndex((row) => row.name === layer.name));
  return layers.map((layer, place) => ({
    layer,
    rows: rows.slice(place ? starts[place] : 0, starts[place + 1] ?? rows.length),
  }));
}

/**
 * The sizes of a layer's boxes.
 * @param {Network} network
 * @param {number} largest the front of the largest map
 * @param {number} longest of the dense layers
 */
function sizes({ layers }, largest, longest) {
  const most = (/** @type {(layer: Layer) => number} */ of) => Math.max(1, ...layers.map(of));
  const side = most((layer) => layer.side);
  const units = most((layer) => (layer.side === 1 ? layer.maps : 1));
  return (/** @type {Layer} */ layer) => {
    if (layer.side === 1)
      return { front: 0, long: Math.max(24, longest * (layer.maps / units) ** POWER), deep: 0 };
    const front = Math.max(26, largest * (layer.side / side) ** POWER);
    return { front, long: front, deep: 3 + Math.min(20, Math.sqrt(layer.maps / layer.columns)) };
  };
}

/** @param {Network} network @returns {Layout} */
function rightwards(network) {
  const { columns } = network;
  const band = columns === 1 ? 250 : columns === 2 ? 148 : 104;
  const top = 14;
  const size = sizes(network, columns === 1 ? 112 : columns === 2 ? 92 : 70, 0.92 * band);
  const middle = (/** @type {number} */ column) => top + band * (column + 0.5);
  const across = 196;
  const bottom = top + Math.max(columns * band, across + 20);
  const picture = {
    x: 2,
    y: (top + bottom - across) / 2,
    width: across,
    height: across,
    deep: 0,
    column: -1,
  };
  let x = picture.x + across + 58;
  const stages = stagesOf(network).map((stage) => {
    const { front, long, deep } = size(stage.layer);
    const wide = (front || DENSE) + deep * BACK.x;
    const slot = Math.max(wide, 76);
    const left = x + (slot - wide) / 2;
    const shift = (bottom - top - columns * band) / 2;
    const boxes = Array.from({ length: columns }, (_, column) => {
      const y = middle(column) + shift - (long - deep * BACK.y) / 2;
      return { x: left, y, width: front || DENSE, height: long, deep, column };
    });
    const label = /** @type {Point} */ ([x + slot / 2, bottom + 8]);
    x += slot + 20;
    return { ...stage, boxes, label };
  });
  const chips = Math.max(...stages.map((stage) => stage.rows.length));
  return { sideways: true, picture, stages, width: x - 14, height: bottom + 56 + 27 * chips };
}

/** @param {Network} network @returns {Layout} */
function downwards(network) {
  const { columns } = network;
  const [width, left] = [360, 104];
  const slot = (width - left - 6) / columns;
  const size = sizes(network, Math.min(96, slot - 34), slot - 16);
  const picture = { x: left + 30, y: 4, width: 190, height: 190, deep: 0, column: -1 };
  let y = 194 + 40;
  const stages = stagesOf(network).map((stage) => {
    const { front, long, deep } = size(stage.layer);
    const tall = (front || DENSE) + deep * BACK.y;
    const room = Math.max(tall, 60 + 26 * (stage.rows.length - 1));
    const boxes = Array.from({ length: columns }, (_, column) => {
      const wide = front ? front + deep * BACK.x : long;
      const x = left + slot * (column + 0.5) - wide / 2;
      return { x, y: y + deep * BACK.y, width: front || long, height: front || DENSE, deep, column };
    });
    const label = /** @type {Point} */ ([0, y - 6]);
    y += room + 30;
    return { ...stage, boxes, label };
  });
  return { sideways: false, picture, stages, width, height: y };
}

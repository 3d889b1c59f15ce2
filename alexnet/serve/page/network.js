/**
 * The network drawn to scale, as in [A] Fig. 2: each layer a box of its maps, side by side of the picture's pixels deep
 * and high, as thick as it has maps; a column in a line of its own; where columns talk, lines cross.
 */

import { h, s, whole } from "./dom.js";

const OBLIQUE = { x: 0.34, y: 0.26 }; // how the depth of a box is seen
const NARROW = 640;

/**
 * @typedef {{x: number, y: number, side: number, thick: number, tall: number, layer: any, column: number}} Box
 *   x, y: the middle of its left edge; side: of its maps in units of the drawing; tall: its height
 */

/** @param {any} network as in /api/run @param {number} width of the place it is drawn into @returns {SVGElement} */
export function drawing(network, width) {
  return width < NARROW ? downwards(network) : rightwards(network);
}

function scales(network, picture, longest) {
  const dense = network.layers.filter((layer) => layer.side === 1).map((layer) => layer.maps / layer.columns);
  return { pixel: picture / network.input, map: longest / Math.max(1, ...dense) };
}

const isDense = (layer) => layer.side === 1;

function rightwards(network) {
  const columns = network.columns,
    gap = 54,
    bottom = columns === 1 ? 270 : 185 + 165 * (columns - 1),
    height = bottom + 92;
  const scale = scales(network, 150, columns === 1 ? 210 : 145);
  const middle = (column) => (columns === 1 ? 145 : 92 + 165 * column);
  let x = 12;
  const picture = {
    x,
    y: (columns === 1 ? 145 : 92 + (165 * (columns - 1)) / 2) + 14,
    side: network.input * scale.pixel,
    thick: 3,
    tall: network.input * scale.pixel,
    layer: null,
    column: -1,
  };
  x += 3 + picture.side * OBLIQUE.x + 96;
  const stages = network.layers.map((layer) => {
    const dense = isDense(layer),
      side = dense ? 0 : layer.side * scale.pixel,
      own = layer.maps / layer.columns;
    const thick = dense ? 9 : Math.max(2, own * scale.map);
    const boxes = Array.from({ length: columns }, (_, column) => ({
      x,
      y: middle(column),
      side,
      thick,
      tall: dense ? Math.max(6, own * scale.map) : side,
      layer,
      column,
    }));
    const stage = { layer, boxes, label: { x: x + (thick + side * OBLIQUE.x) / 2, y: bottom + 16 } };
    x += Math.max(thick + side * OBLIQUE.x + gap, 78);
    return stage;
  });
  return plate(network, picture, stages, { width: x - gap + 34, height, labelBelow: true, scale });
}

function downwards(network) {
  const columns = network.columns,
    width = 360,
    scale = scales(network, 110, columns === 1 ? 260 : 300 / columns);
  const middle = (column) => (columns === 1 ? width / 2 : (width * (column + 0.5)) / columns);
  const picture = {
    x: width / 2 - 24,
    y: 90,
    side: network.input * scale.pixel,
    thick: 3,
    tall: network.input * scale.pixel,
    layer: null,
    column: -1,
  };
  let y = 177;
  const stages = network.layers.map((layer) => {
    const dense = isDense(layer),
      side = dense ? 0 : layer.side * scale.pixel,
      own = layer.maps / layer.columns;
    const thick = Math.max(2, own * scale.map),
      tall = dense ? 9 : side;
    y += tall / 2 + side * OBLIQUE.y;
    const boxes = Array.from({ length: columns }, (_, column) => ({
      x: middle(column) - (thick + side * OBLIQUE.x) / 2,
      y,
      side,
      thick,
      tall,
      layer,
      column,
    }));
    const stage = { layer, boxes, label: { x: width / 2, y: y + tall / 2 + 18 } };
    y += tall / 2 + 62;
    return stage;
  });
  return plate(network, picture, stages, { width, height: y + 36, labelBelow: false, scale });
}

function plate(network, picture, stages, { width, height, labelBelow, scale }) {
  const words = `${network.name}: ${stages.map(({ layer }) => layer.name).join(", ")}`;
  const lines = stages.flatMap((stage, place) =>
    connections(stage, place ? stages[place - 1].boxes : [picture], labelBelow),
  );
  return s(
    "svg",
    {
      viewBox: `0 0 ${Math.ceil(width)} ${Math.ceil(height)}`,
      role: "group",
      "aria-label": words,
      class: labelBelow ? "network" : "network narrow",
    },
    lines,
    s(
      "g",
      { class: "picture" },
      faces(picture),
      s("text", { x: picture.x + 24, y: picture.y + picture.tall / 2 + 16 }, `3 × ${network.input}²`),
    ),
    stages.map((stage) => linked(stage, labelBelow)),
    legend(scale, height),
  );
}

/** From the window that a unit reads to the unit; a fully connected layer reads everything. */
function connections(stage, below, sideways) {
  const { layer, boxes } = stage;
  return boxes.flatMap((box) => {
    const read = below.length === 1 ? [0] : (layer.reads[box.column] ?? below.map((_, number) => number));
    return read.map((number) => {
      const from = below[number];
      const crossing = from.column >= 0 && from.column !== box.column;
      const to = sideways
        ? [box.x, box.y - box.side * OBLIQUE.y * 0.5]
        : [box.x + box.thick / 2, box.y - box.tall / 2 - box.side * OBLIQUE.y * 0.5];
      return s(
        "g",
        { class: `reads c${box.column}${crossing ? " crossing" : ""}` },
        window_(from, layer, sideways).map(([x, y]) => s("line", { x1: x, y1: y, x2: to[0], y2: to[1] })),
        kernel(from, layer),
      );
    });
  });
}

/** The corners of the window on the right face of a box, or one point of a layer without rows and columns. */
function window_(from, layer, sideways) {
  if (!layer.kernel || !from.side) {
    return sideways
      ? [[from.x + from.thick + from.side * OBLIQUE.x * 0.5, from.y - from.side * OBLIQUE.y * 0.5]]
      : [[from.x + from.thick / 2, from.y + from.tall / 2]];
  }
  return corners(from, layer);
}

function corners(from, layer) {
  const pixels = layer.kernel * (from.side / layer.entering.side); // the pool between is crossed at its own scale
  const half = Math.min(from.side, Math.max(pixels, 3)) / 2;
  const middle = [from.x + from.thick + (from.side * OBLIQUE.x) / 2, from.y - (from.side * OBLIQUE.y) / 2];
  return [
    [-1, -1],
    [-1, 1],
    [1, 1],
    [1, -1],
  ].map(([deep, down]) => [
    middle[0] + deep * half * OBLIQUE.x,
    middle[1] - deep * half * OBLIQUE.y + down * half,
  ]);
}

function kernel(from, layer) {
  if (!layer.kernel || !from.side) return null;
  return s("polygon", {
    class: "kernel",
    points: corners(from, layer)
      .map((point) => point.join(","))
      .join(" "),
  });
}

function faces({ x, y, side, thick, tall }) {
  const deep = { x: side * OBLIQUE.x, y: side * OBLIQUE.y },
    top = y - tall / 2,
    bottom = y + tall / 2;
  const polygon = (kind, ...points) =>
    s("polygon", { class: kind, points: points.map((point) => point.join(",")).join(" ") });
  return [
    polygon("front", [x, top], [x + thick, top], [x + thick, bottom], [x, bottom]),
    side > 0 &&
      polygon(
        "top",
        [x, top],
        [x + thick, top],
        [x + thick + deep.x, top - deep.y],
        [x + deep.x, top - deep.y],
      ),
    side > 0 &&
      polygon(
        "face",
        [x + thick, top],
        [x + thick, bottom],
        [x + thick + deep.x, bottom - deep.y],
        [x + thick + deep.x, top - deep.y],
      ),
  ];
}

/** A layer as a link: its boxes, an ample place to click, its name and size. */
function linked({ layer, boxes, label }, sideways) {
  const left = Math.min(...boxes.map((box) => box.x)),
    right = Math.max(...boxes.map((box) => box.x + box.thick + box.side * OBLIQUE.x));
  const high = Math.min(...boxes.map((box) => box.y - box.tall / 2 - box.side * OBLIQUE.y)),
    low = Math.max(label.y + 28, ...boxes.map((box) => box.y + box.tall / 2));
  const size = layer.side > 1 ? `${layer.maps} × ${layer.side}²` : whole(layer.maps);
  const wide = Math.max(right - left, 74),
    middle = sideways ? (left + right) / 2 : label.x;
  return s(
    "a",
    { href: `layer/${layer.name}`, class: "layer", "aria-label": `${layer.name}: ${size}, ${layer.kind}` },
    s("rect", {
      class: "target",
      x: middle - wide / 2,
      y: high - 6,
      width: wide,
      height: low - high + 8,
      rx: 3,
    }),
    boxes.map((box) => s("g", { class: `box c${box.column}` }, faces(box))),
    s("text", { class: "name", x: middle, y: label.y }, layer.name),
    s("text", { class: "size", x: middle, y: label.y + 14 }, size),
    s(
      "text",
      { class: "size", x: middle, y: label.y + 27 },
      layer.kernel ? layer.kind.split(",")[0] : layer.row === "Dense" ? "dense" : layer.kind,
    ),
  );
}

/** What a length means: pixels of maps, and numbers of maps or units. */
function legend(scale, height) {
  const pixels = 100 * scale.pixel,
    maps = niceMaps(60 / scale.map);
  const bar = (x, y, length, words) => [
    s("path", { d: `M${x} ${y - 3}v6M${x} ${y}h${length}M${x + length} ${y - 3}v6` }),
    s("text", { x: x + length + 6, y: y + 4 }, words),
  ];
  return s(
    "g",
    { class: "legend" },
    bar(8, height - 24, pixels, "100 pixels"),
    bar(8, height - 8, maps * scale.map, `${maps} maps or units`),
  );
}

function niceMaps(number) {
  const power = 10 ** Math.floor(Math.log10(number));
  return power * (number / power >= 5 ? 5 : number / power >= 2 ? 2 : 1);
}

/** The drawing in its place, drawn anew when the place's width calls for the other way. @param {any} network */
export function networkPlace(network) {
  const place = h("div", { class: "drawing" });
  let narrow = null;
  const observer = new ResizeObserver(() => {
    const now = place.clientWidth < NARROW;
    if (now !== narrow) place.replaceChildren(drawing(network, place.clientWidth));
    narrow = now;
  });
  observer.observe(place);
  return place;
}

/** The network drawn to scale, as in [A] Fig. 2: a box for each layer and column, lines for what each reads. */

import { h, s } from "./dom.js";
import { layOut, OBLIQUE } from "./network_layout.js";
import { whole } from "./text.js";

/**
 * @typedef {import("./network_layout.js").Box} Box
 * @typedef {import("./network_layout.js").Stage} Stage
 * @typedef {import("./network_layout.js").Scale} Scale
 * @typedef {[x: number, y: number]} Point
 */

const NARROW = 640; // pixels

/** The drawing, made again when the width of its place calls for the other direction. @param {Network} network */
export function networkDrawing(network) {
  const place = h("div", { class: "drawing" });
  /** @type {boolean|null} */
  let drawn = null;
  const observer = new ResizeObserver(() => {
    const narrow = place.clientWidth < NARROW;
    if (narrow !== drawn) place.replaceChildren(drawing(network, narrow));
    drawn = narrow;
  });
  observer.observe(place);
  return place;
}

/** @param {Network} network @param {boolean} narrow */
function drawing(network, narrow) {
  const { sideways, picture, stages, width, height, scale } = layOut(network, narrow);
  const lines = stages.flatMap((stage, place) =>
    connections(stage, place ? stages[place - 1].boxes : [picture], sideways),
  );
  const words = { x: picture.x + 24, y: picture.y + picture.tall / 2 + 16 };
  return s(
    "svg",
    {
      viewBox: `0 0 ${Math.ceil(width)} ${Math.ceil(height)}`,
      role: "group",
      "aria-label": `${network.name}: ${network.layers.map((layer) => layer.name).join(", ")}`,
      class: sideways ? "network" : "network narrow",
    },
    lines,
    s("g", { class: "picture" }, faces(picture), s("text", words, `3 × ${network.input}²`)),
    stages.map((stage) => linked(stage, sideways)),
    legend(scale, height),
  );
}

/**
 * From the window that a unit reads to the unit; a dense layer reads everything.
 * @param {Stage} stage
 * @param {Box[]} below
 * @param {boolean} sideways
 */
function connections({ layer, boxes }, below, sideways) {
  return boxes.flatMap((box) => {
    const read = below.length === 1 ? [0] : (layer.reads[box.column] ?? below.map((_, number) => number));
    return read.map((number) => {
      const from = below[number];
      const crossing = from.column >= 0 && from.column !== box.column;
      const up = box.side * OBLIQUE.y * 0.5;
      const [x2, y2] = sideways ? [box.x, box.y - up] : [box.x + box.thick / 2, box.y - box.tall / 2 - up];
      const window = windowOf(layer, from);
      const lines = (window ?? [exitOf(from, sideways)]).map(([x1, y1]) => s("line", { x1, y1, x2, y2 }));
      const kernel = window && s("polygon", { class: "kernel", points: pointsOf(window) });
      return s("g", { class: `reads c${box.column}${crossing ? " crossing" : ""}` }, lines, kernel);
    });
  });
}

/**
 * The corners of a kernel on the face of the box that it reads; null where one of the two has no rows and columns.
 * @param {Layer} layer
 * @param {Box} from
 * @returns {Point[]|null}
 */
function windowOf(layer, from) {
  if (!layer.kernel || !from.side) return null;
  const pixels = layer.kernel * (from.side / layer.entering.side); // a pool in between has a scale of its own
  const half = Math.min(from.side, Math.max(pixels, 3)) / 2;
  const [x, y] = [from.x + from.thick + (from.side * OBLIQUE.x) / 2, from.y - (from.side * OBLIQUE.y) / 2];
  const corner = (/** @type {Point} */ [deep, down]) =>
    /** @type {Point} */ ([x + deep * half * OBLIQUE.x, y - deep * half * OBLIQUE.y + down * half]);
  return /** @type {Point[]} */ ([
    [-1, -1],
    [-1, 1],
    [1, 1],
    [1, -1],
  ]).map(corner);
}

/** Where the single line of a dense connection begins. @param {Box} box @param {boolean} sideways @returns {Point} */
function exitOf({ x, y, side, thick, tall }, sideways) {
  if (!sideways) return [x + thick / 2, y + tall / 2];
  return [x + thick + side * OBLIQUE.x * 0.5, y - side * OBLIQUE.y * 0.5];
}

/** @param {Point[]} points */
const pointsOf = (points) => points.map((point) => point.join(",")).join(" ");

/** The three faces of a box that are seen. @param {Box} box */
function faces({ x, y, side, thick, tall }) {
  const [top, bottom, right] = [y - tall / 2, y + tall / 2, x + thick];
  const [deepX, deepY] = [side * OBLIQUE.x, side * OBLIQUE.y];
  const polygon = (/** @type {string} */ kind, /** @type {Point[]} */ ...points) =>
    s("polygon", { class: kind, points: pointsOf(points) });
  return [
    polygon("front", [x, top], [right, top], [right, bottom], [x, bottom]),
    side > 0 &&
      polygon("top", [x, top], [right, top], [right + deepX, top - deepY], [x + deepX, top - deepY]),
    side > 0 &&
      polygon(
        "face",
        [right, top],
        [right, bottom],
        [right + deepX, bottom - deepY],
        [right + deepX, top - deepY],
      ),
  ];
}

/**
 * A layer as a link: its boxes, ample room to click, its name and size.
 * @param {Stage} stage
 * @param {boolean} sideways
 */
function linked({ layer, boxes, label }, sideways) {
  const left = Math.min(...boxes.map((box) => box.x));
  const right = Math.max(...boxes.map((box) => box.x + box.thick + box.side * OBLIQUE.x));
  const top = Math.min(...boxes.map((box) => box.y - box.tall / 2 - box.side * OBLIQUE.y));
  const bottom = Math.max(label.y + 28, ...boxes.map((box) => box.y + box.tall / 2));
  const width = Math.max(right - left, 74);
  const x = sideways ? (left + right) / 2 : label.x;
  const size = layer.side > 1 ? `${layer.maps} × ${layer.side}²` : whole(layer.maps);
  const dense = layer.row === "Dense" ? "dense" : layer.kind;
  const text = (/** @type {string} */ kind, /** @type {number} */ y, /** @type {string} */ words) =>
    s("text", { class: kind, x, y }, words);
  return s(
    "a",
    { href: `layer/${layer.name}`, class: "layer", "aria-label": `${layer.name}: ${size}, ${layer.kind}` },
    s("rect", { class: "target", x: x - width / 2, y: top - 6, width, height: bottom - top + 8, rx: 3 }),
    boxes.map((box) => s("g", { class: `box c${box.column}` }, faces(box))),
    text("name", label.y, layer.name),
    text("size", label.y + 14, size),
    text("size", label.y + 27, layer.kernel ? layer.kind.split(",")[0] : dense),
  );
}

/** What a length means: pixels of maps, and numbers of maps or units. @param {Scale} scale @param {number} height */
function legend(scale, height) {
  const maps = round(60 / scale.map);
  const bar = (/** @type {number} */ y, /** @type {number} */ length, /** @type {string} */ words) => [
    s("path", { d: `M8 ${y - 3}v6M8 ${y}h${length}M${8 + length} ${y - 3}v6` }),
    s("text", { x: 8 + length + 6, y: y + 4 }, words),
  ];
  return s(
    "g",
    { class: "legend" },
    bar(height - 24, 100 * scale.pixel, "100 pixels"),
    bar(height - 8, maps * scale.map, `${maps} maps or units`),
  );
}

/** Down to 1, 2 or 5 times a power of ten. @param {number} number */
function round(number) {
  const power = 10 ** Math.floor(Math.log10(number));
  const digit = number / power;
  return power * (digit >= 5 ? 5 : digit >= 2 ? 2 : 1);
}

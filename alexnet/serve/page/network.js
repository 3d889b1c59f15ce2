/**
 * The network as a drawing: a box for each layer and column, lines for what each reads, the strongest maps of a picture
 * painted on the boxes, every row a button.
 */

import { pictureQuery } from "./chosen.js";
import { h, s } from "./dom.js";
import { BACK, layOut, stagesOf } from "./network_layout.js";
import { mapCanvas, paintMap, paintStripes } from "./paint.js";
import { aboutRow, shapeOf, short as shortName, softmaxRow } from "./rows.js";
import { short } from "./text.js";
import { explain } from "./tips.js";

/**
 * @typedef {import("./network_layout.js").Box} Box
 * @typedef {import("./network_layout.js").Stage} Stage
 * @typedef {import("./network_layout.js").Layout} Layout
 * @typedef {import("./network_layout.js").Point} Point
 *
 * @typedef {{ box: Box, stage: Stage, canvas: HTMLCanvasElement, link: SVGAElement, place: number }} Face
 */

const NARROW = matchMedia("(max-width: 48rem)");

/** The rows that boxes show unless others are chosen: of each stage its non-linearity. @param {Network} network */
export function shownRows(network) {
  return stagesOf(network).map(
    ({ layer, rows }) => rows.find((row) => row.row === "Activation")?.name ?? layer.name,
  );
}

export class NetworkDrawing {
  /** @type {Glance|null} */
  #glance = null;
  /** @type {string[]} the row that each stage's boxes show */
  rows;
  /** @type {string} the part of an address that names the picture */
  query = "";
  element = h("div", { class: "drawing" });
  /** The place of the picture. */
  picture = h("div", { class: "source" });
  /** @type {Face[]} */
  #faces = [];

  /**
   * @param {Network} network
   * @param {(row: string) => void} choose is called with the row that was chosen
   * @param {AbortSignal} signal
   */
  constructor(network, choose, signal) {
    this.network = network;
    this.choose = choose;
    this.rows = shownRows(network);
    this.chosen = "";
    this.#draw();
    NARROW.addEventListener("change", () => this.#draw(), { signal });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint(), { signal });
  }

  get svg() {
    return /** @type {SVGSVGElement} */ (this.element.querySelector("svg"));
  }

  /** Show another row on the boxes of its stage. @param {string} row */
  show(row) {
    this.chosen = row;
    const place = stagesOf(this.network).findIndex((stage) => stage.rows.some((one) => one.name === row));
    if (place >= 0) this.rows[place] = row;
    for (const chip of this.element.querySelectorAll(".row-chips button"))
      chip.setAttribute("aria-pressed", String(chip.getAttribute("data-row") === row));
    this.paint();
  }

  /** Paint what a network made of a picture. @param {Glance|null} [glance] */
  paint(glance = this.#glance) {
    const first = !this.#glance;
    this.#glance = glance;
    this.element.classList.toggle("painted", Boolean(glance));
    if (first) this.element.classList.add("arriving");
    for (const face of this.#faces) this.#paintFace(face);
  }

  /** @param {Face} face */
  #paintFace({ box, stage, canvas, link, place }) {
    const row = this.#glance?.rows[this.rows[place]];
    const strongest = row?.strongest[box.column]?.[0];
    const { name } = stage.layer;
    link.setAttribute(
      "href",
      strongest ? `layer/${name}/unit/${strongest.unit}${this.query && `?${this.query}`}` : `layer/${name}`,
    );
    const about = strongest
      ? `strongest unit ${strongest.unit}, ${short(strongest.value)}`
      : shapeOf(stage.layer);
    link.setAttribute(
      "aria-label",
      `${this.rows[place]}${this.network.columns > 1 ? `, column ${box.column + 1}` : ""}: ${about}`,
    );
    if (!row || !strongest) return;
    if (row.values) paintStripes(canvas, row, box.column, this.network.columns, box.height > box.width);
    else paintMap(canvas, row, strongest, box.column);
  }

  #draw() {
    const layout = layOut(this.network, NARROW.matches);
    const { sideways, picture, stages, width, height } = layout;
    const at = placing(layout);
    this.#faces = [];
    const lines = stages.flatMap((stage, place) =>
      connections(stage, place ? stages[place - 1].boxes : [picture], sideways),
    );
    const boxes = stages.flatMap((stage, place) =>
      stage.boxes.map((box) => this.#box(stage, box, place, at)),
    );
    const svg = s(
      "svg",
      {
        viewBox: `0 0 ${Math.ceil(width)} ${Math.ceil(height)}`,
        role: "group",
        "aria-label": `${this.network.name}: ${stages.map(({ layer }) => layer.name).join(", ")}`,
        class: "network",
      },
      s("g", { "aria-hidden": "true" }, lines),
      boxes,
    );
    this.element.classList.toggle("sideways", sideways);
    this.element.style.setProperty("--nominal", `${width}px`);
    this.element.style.aspectRatio = `${Math.ceil(width)} / ${Math.ceil(height)}`;
    at(this.picture, picture);
    const labels = stages.map((stage, place) => this.#label(stage, place === stages.length - 1, at));
    this.element.replaceChildren(...this.#faces.map((face) => face.canvas), svg, this.picture, ...labels);
    this.paint();
  }

  /** @param {Stage} stage @param {Box} box @param {number} place @param {ReturnType<typeof placing>} at */
  #box(stage, box, place, at) {
    const canvas = h("canvas", { class: "map-face", width: 1, height: 1, "aria-hidden": "true" });
    canvas.style.transitionDelay = `${place * 60}ms`;
    at(canvas, box);
    const link = s("a", { class: `box c${box.column}` }, sides(box));
    this.#faces.push({ box, stage, canvas, link, place });
    return explain(link, () => this.#strongest(stage, box, place));
  }

  /**
   * The strongest maps of a box, when the pointer or the focus is on it.
   * @param {Stage} stage
   * @param {Box} box
   * @param {number} place
   */
  #strongest(stage, box, place) {
    const [name, row] = [this.rows[place], this.#glance?.rows[this.rows[place]]];
    const column = this.network.columns > 1 ? `, column ${box.column + 1}` : "";
    const title = h("p", { class: "shapes" }, h("strong", {}, name), `${column}: ${shapeOf(stage.layer)}`);
    if (!row) return title;
    const one = (/** @type {StrongMap} */ map) =>
      h(
        "li",
        {},
        map.values && mapCanvas(row, map, box.column),
        h("span", {}, map.unit, h("small", {}, short(map.value))),
      );
    return [
      title,
      h("ol", { class: `small-maps c${box.column}` }, row.strongest[box.column].map(one)),
      h("p", {}, "The strongest units. Click to open the first."),
    ];
  }

  /**
   * The name of a layer, and a button for each of its rows.
   * @param {Stage} stage
   * @param {boolean} last
   * @param {ReturnType<typeof placing>} at
   */
  #label({ layer, rows, label: [x, y] }, last, at) {
    const all = last ? [...rows, softmaxRow(rows[rows.length - 1])] : rows;
    const chip = (/** @type {Row} */ row) => {
      const onclick = () => this.choose(row.name);
      const properties = {
        type: "button",
        "data-row": row.name,
        "aria-pressed": row.name === this.chosen,
        onclick,
      };
      return h(
        "li",
        {},
        explain(h("button", properties, shortName(row)), () => aboutRow(row)),
      );
    };
    const element = h(
      "div",
      { class: "label" },
      h(
        "a",
        { href: `layer/${layer.name}`, "data-layer": layer.name },
        h("strong", {}, layer.name),
        " ",
        h("span", {}, shapeOf(layer)),
      ),
      h("ul", { class: "row-chips" }, all.map(chip)),
    );
    at(element, { x, y, width: 0, height: 0 });
    return element;
  }
}

/** A function that puts an element where a box is, whatever the size of the drawing. @param {Layout} layout */
function placing({ width, height }) {
  return (/** @type {HTMLElement} */ element, /** @type {Pick<Box, "x"|"y"|"width"|"height">} */ box) => {
    const share = (/** @type {number} */ part, /** @type {number} */ all) => `${(100 * part) / all}%`;
    element.style.left = share(box.x, width);
    element.style.top = share(box.y, height);
    if (box.width) element.style.width = share(box.width, width);
    if (box.height) element.style.height = share(box.height, height);
  };
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
      const [x2, y2] = sideways ? [box.x, box.y + box.height / 2] : [box.x + box.width / 2, box.y];
      const window = windowOf(layer, from);
      const lines = (window ?? [exitOf(from, sideways)]).map(([x1, y1]) => s("line", { x1, y1, x2, y2 }));
      const kernel = window && s("polygon", { class: "kernel", points: pointsOf(window) });
      return s("g", { class: `reads c${box.column}${crossing ? " crossing" : ""}` }, lines, kernel);
    });
  });
}

/**
 * The corners of a kernel on the front that it reads; null where one of the two has no rows and columns.
 * @param {Layer} layer
 * @param {Box} from
 * @returns {Point[]|null}
 */
function windowOf(layer, from) {
  if (!layer.kernel || layer.entering.side === 1) return null;
  const half = Math.min(from.width, Math.max((layer.kernel / layer.entering.side) * from.width, 4)) / 2;
  const [x, y] = [from.x + from.width * 0.62, from.y + from.height * 0.42];
  return [
    [x - half, y - half],
    [x - half, y + half],
    [x + half, y + half],
    [x + half, y - half],
  ];
}

/** Where the single line of a dense connection begins. @param {Box} box @param {boolean} sideways @returns {Point} */
function exitOf({ x, y, width, height, deep }, sideways) {
  return sideways ? [x + width + (deep * BACK.x) / 2, y + height / 2] : [x + width / 2, y + height];
}

/** @param {Point[]} points */
const pointsOf = (points) => points.map((point) => point.join(",")).join(" ");

/** The three sides of a box that are seen. @param {Box} box */
function sides({ x, y, width, height, deep }) {
  const [right, bottom, backX, backY] = [x + width, y + height, deep * BACK.x, -deep * BACK.y];
  const polygon = (/** @type {string} */ kind, /** @type {Point[]} */ ...points) =>
    s("polygon", { class: kind, points: pointsOf(points) });
  return [
    polygon("front", [x, y], [right, y], [right, bottom], [x, bottom]),
    deep > 0 && polygon("top", [x, y], [right, y], [right + backX, y + backY], [x + backX, y + backY]),
    deep > 0 &&
      polygon(
        "side",
        [right, y],
        [right, bottom],
        [right + backX, bottom + backY],
        [right + backX, y + backY],
      ),
  ];
}

/** Curves as SVG. Values can be read with the pointer or, with the chart focused, by the arrow keys. */

import { below, BOTTOM, HEIGHT, horizontal, plain, rules, ticks, TOP, WIDTH } from "./axes.js";
import { h, s } from "./dom.js";
import { short } from "./text.js";

/**
 * @typedef {{ name: string, y: (number|null)[], kind?: string }} Line
 * @typedef {object} Chart
 * @property {number[]} x common to all lines
 * @property {Line[]} lines
 * @property {string} xName
 * @property {string} yName
 * @property {(value: number) => string} [format] of y
 * @property {number} [low] of the y axis, by default the least value
 * @property {number} [high]
 * @property {boolean} [logarithmic] in y
 * @property {number} [step] the smallest between two numbers below the chart: 1 for epochs
 * @property {(place: number) => void} [picked] is called with the number of the step that is read
 */

/** @param {Chart} chart */
export function curves(chart) {
  const { x, lines, xName, yName, format = short, logarithmic = false, step } = chart;
  const level = logarithmic ? Math.log10 : (/** @type {number} */ value) => value;
  const [bottom, top] = range(chart, level);
  const [first, last] = [Math.min(...x), Math.max(...x)];
  const across = horizontal(first, last);
  /** @param {number} value */
  const up = (value) =>
    HEIGHT - BOTTOM - ((level(value) - bottom) / (top - bottom)) * (HEIGHT - BOTTOM - TOP);
  const powers = Array.from({ length: Math.floor(top - bottom) + 1 }, (_, n) => 10 ** (bottom + n));
  const cursor = s("g", { class: "cursor" });
  const svg = s(
    "svg",
    {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      class: "chart",
      tabindex: "0",
      role: "img",
      "aria-label": spoken(chart, format),
    },
    rules(logarithmic ? powers : ticks(bottom, top), up, format),
    below(ticks(first, last, 7, step), across, xName),
    lines.map((line, number) => path(line, number, x, across, up)),
    cursor,
  );
  makeReadable(svg, cursor, chart, across, up);
  const key = (/** @type {Line} */ line, /** @type {number} */ number) =>
    h("li", { class: `line${number} ${line.kind ?? ""}` }, line.name);
  const keys = lines.length > 1 && h("ul", { class: "keys" }, lines.map(key));
  return h("div", { class: "curves" }, h("p", { class: "y-name" }, yName), svg, keys);
}

/**
 * The least and the largest value of the y axis; of a logarithmic one whole powers of ten.
 * @param {Chart} chart
 * @param {(value: number) => number} level
 */
function range({ lines, low, high, logarithmic }, level) {
  const values = lines
    .flatMap((line) => line.y)
    .filter((value) => value !== null)
    .filter((value) => Number.isFinite(value))
    .map(level);
  let [bottom, top] = [low ?? Math.min(...values), high ?? Math.max(...values)];
  if (logarithmic) {
    [bottom, top] = [Math.floor(bottom), Math.ceil(top - 1e-9)];
    if (top === bottom) [bottom, top] = [bottom - 1, top + 1];
  }
  return [bottom, top > bottom ? top : bottom + 1];
}

/** @param {Chart} chart @param {(value: number) => string} format */
function spoken({ x, lines, xName, yName }, format) {
  const each = lines.map(({ name, y }) => `${name}: from ${format(y[0] ?? 0)} to ${format(y.at(-1) ?? 0)}`);
  return `${yName} over ${xName} ${x[0]} to ${x.at(-1)}. ${each.join("; ")}`;
}

/**
 * @param {Line} line
 * @param {number} number
 * @param {number[]} x
 * @param {(value: number) => number} across
 * @param {(value: number) => number} up
 */
function path(line, number, x, across, up) {
  const points = x.flatMap((value, place) => {
    const y = line.y[place];
    return y === null || y === undefined ? [] : [[across(value), up(y)]];
  });
  const d = points.map(([left, top], n) => `${n ? "L" : "M"}${left.toFixed(1)} ${top.toFixed(1)}`);
  const dots = points.length < 20 && points.map(([cx, cy]) => s("circle", { cx, cy, r: 2.2 }));
  return s("g", { class: `line line${number} ${line.kind ?? ""}` }, s("path", { d: d.join("") }), dots);
}

/**
 * Show the values at the step under the pointer, or at that to which the arrow keys have come.
 * @param {SVGSVGElement} svg
 * @param {SVGGElement} cursor
 * @param {Chart} chart
 * @param {(value: number) => number} across
 * @param {(value: number) => number} up
 */
function makeReadable(svg, cursor, { x, lines, xName, format = short, picked }, across, up) {
  let place = x.length - 1;

  /** @param {number} to */
  function show(to) {
    place = Math.max(0, Math.min(x.length - 1, to));
    const at = across(x[place]);
    const leftOf = at > WIDTH * 0.6; // where the words would not fit at the right
    const values = lines.map((line) => line.y[place] ?? null);
    const words = lines.map((line, n) => {
      const value = values[n];
      return `${lines.length > 1 ? `${line.name} ` : ""}${value === null ? "–" : format(value)}`;
    });
    const text = (/** @type {string} */ word, /** @type {number} */ row) =>
      s(
        "text",
        {
          class: "read",
          x: leftOf ? at - 7 : at + 7,
          y: TOP + 12 + 14 * row,
          "text-anchor": leftOf ? "end" : "start",
        },
        word,
      );
    cursor.replaceChildren(
      s("line", { x1: at, x2: at, y1: TOP, y2: HEIGHT - BOTTOM }),
      ...values.flatMap((value) => (value === null ? [] : [s("circle", { cx: at, cy: up(value), r: 3.5 })])),
      ...[`${xName} ${plain(x[place])}`, ...words].map(text),
    );
    picked?.(place);
  }

  const hide = () => cursor.replaceChildren();
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * WIDTH;
    const distances = x.map((value) => Math.abs(across(value) - at));
    show(distances.indexOf(Math.min(...distances)));
  });
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
  svg.addEventListener("keydown", (event) => {
    const step = event.key === "ArrowLeft" ? -1 : event.key === "ArrowRight" ? 1 : 0;
    if (!step) return;
    event.stopPropagation(); // elsewhere these keys lead to other pages
    event.preventDefault();
    show(place + step);
  });
}

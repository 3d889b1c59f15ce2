/** Bars: a histogram, the strengths of connections, probabilities of classes. */

import { below, BOTTOM, HEIGHT, horizontal, LEFT, marker, RIGHT, rules, ticks, TOP, WIDTH } from "./axes.js";
import { h, s } from "./dom.js";
import { percent, short } from "./text.js";

/**
 * How many values lie between each edge and the next.
 * @param {{ edges: number[], counts: number[], xName: string, yName: string }} histogram
 */
export function histogram({ edges, counts, xName, yName }) {
  const [first, last] = [edges[0], edges[edges.length - 1]];
  const most = Math.max(...counts, 1);
  const room = HEIGHT - BOTTOM - TOP;
  const wide = (WIDTH - LEFT - RIGHT) / counts.length;
  const across = horizontal(first, last);
  const up = (/** @type {number} */ value) => HEIGHT - BOTTOM - (room * value) / most;
  const bar = (/** @type {number} */ count, /** @type {number} */ n) => {
    const title = s("title", {}, `${short(edges[n])} to ${short(edges[n + 1])}: ${count}`);
    const size = { width: Math.max(1, wide - 1), height: (room * count) / most };
    return s("rect", { class: "bar", x: LEFT + n * wide + 0.5, y: up(count), ...size }, title);
  };
  const spoken = counts.map((count, n) => `${short(edges[n])}: ${count}`).join("; ");
  const svg = s(
    "svg",
    {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      class: "chart",
      role: "img",
      "aria-label": `${yName} by ${xName}: ${spoken}`,
    },
    rules(ticks(0, most, 4), up, String),
    counts.map(bar),
    first < 0 && last > 0 && marker(across(0)),
    below(ticks(first, last, 6), across, xName),
  );
  return h("div", { class: "curves" }, h("p", { class: "y-name" }, yName), svg);
}

/**
 * A thin bar for each value, up where it is positive and down where it is negative; those of `marked` stronger.
 * @param {number[]} values
 * @param {number[]} marked
 * @param {number} columns of the network, a colour for each
 * @param {string} label
 */
export function spectrum(values, marked, columns, label) {
  const most = Math.max(...values.map(Math.abs), 1e-9);
  const wide = 640 / values.length;
  const chosen = new Set(marked);
  const bar = (/** @type {number} */ value, /** @type {number} */ n) => {
    const kind = `c${Math.floor((n * columns) / values.length)}${chosen.has(n) ? " strong" : ""}`;
    const height = (39 * Math.abs(value)) / most;
    const size = { width: Math.max(0.6, wide * 0.86), height };
    return s("rect", { class: kind, x: n * wide, y: value < 0 ? 40 : 40 - height, ...size });
  };
  return s(
    "svg",
    {
      viewBox: "0 0 640 80",
      preserveAspectRatio: "none",
      class: "spectrum",
      role: "img",
      "aria-label": label,
    },
    s("line", { x1: 0, x2: 640, y1: 40, y2: 40 }),
    values.map(bar),
  );
}

/** The same five bars for one answer after the other, so that they move. */
export function answerBars() {
  const lines = Array.from({ length: 5 }, () => {
    const [bar, name, share] = [h("i", { "aria-hidden": "true" }), h("span", {}, "\u00a0"), h("span", {})];
    return { element: h("li", {}, bar, name, share), bar, name, share };
  });
  /** @param {Label[]} labels */
  function show(labels) {
    lines.forEach(({ element, bar, name, share }, place) => {
      const label = labels[place];
      element.hidden = !label;
      if (!label) return;
      bar.style.width = `${100 * label.probability}%`;
      name.textContent = label.class;
      share.textContent = percent(label.probability);
    });
  }
  return {
    element: h(
      "ol",
      { class: "bars" },
      lines.map((line) => line.element),
    ),
    show,
  };
}

/** Class names with their probabilities. @param {Label[]} labels */
export function probabilities(labels) {
  const line = (/** @type {Label} */ label) => {
    const bar = h("i", { "aria-hidden": "true" });
    bar.style.width = `${100 * label.probability}%`;
    return h("li", {}, bar, h("span", {}, label.class), h("span", {}, percent(label.probability)));
  };
  return h("ol", { class: "bars" }, labels.map(line));
}

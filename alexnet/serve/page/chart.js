/** Curves and bars as SVG. Values can be read with the pointer or, with the chart focused, by the arrow keys. */

import { h, s, short } from "./dom.js";

const WIDTH = 460,
  HEIGHT = 240,
  LEFT = 58,
  BOTTOM = 36,
  TOP = 10,
  RIGHT = 12;

/** A few round numbers from low to high. */
function ticks(low, high, most = 5) {
  const span = high - low || 1,
    rough = span / most,
    power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => span / one <= most) ?? rough;
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step / 1e6; value += step)
    found.push(Number(value.toFixed(10)));
  return found;
}

/**
 * Curves over common steps.
 * @param {{x: number[], lines: {name: string, y: (number|null)[], kind?: string}[], xName: string, yName: string, format?: (n: number) => string, low?: number, high?: number, marked?: number, logarithmic?: boolean, picked?: (place: number) => void}} told
 */
export function curves({
  x,
  lines,
  xName,
  yName,
  format = short,
  low,
  high,
  marked,
  logarithmic = false,
  picked,
}) {
  const level = (value) => (logarithmic ? Math.log10(value) : value);
  const values = lines
    .flatMap((line) => line.y)
    .filter((value) => value !== null && Number.isFinite(value))
    .map(level);
  let [bottom, top] = [low ?? Math.min(...values), high ?? Math.max(...values)];
  if (logarithmic) [bottom, top] = [Math.floor(bottom), Math.ceil(top - 1e-9)];
  if (logarithmic && top === bottom) [bottom, top] = [bottom - 1, top + 1];
  if (!(top > bottom)) top = bottom + 1;
  const [first, last] = [Math.min(...x), Math.max(...x)];
  const across = (value) => LEFT + ((value - first) / (last - first || 1)) * (WIDTH - LEFT - RIGHT);
  const up = (value) =>
    HEIGHT - BOTTOM - ((level(value) - bottom) / (top - bottom)) * (HEIGHT - BOTTOM - TOP);
  const rules = logarithmic
    ? Array.from({ length: top - bottom + 1 }, (_, n) => 10 ** (bottom + n))
    : ticks(bottom, top);
  const xs = ticks(first, last, 7);
  const cursor = s("g", { class: "cursor" });
  const svg = s(
    "svg",
    {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      class: "chart",
      tabindex: "0",
      role: "img",
      "aria-label": spoken(lines, x, xName, yName, format),
    },
    rules.map((value) => [
      s("line", { class: "rule", x1: LEFT, x2: WIDTH - RIGHT, y1: up(value), y2: up(value) }),
      s("text", { class: "tick y", x: LEFT - 6, y: up(value) + 4 }, format(value)),
    ]),
    xs.map((value) =>
      s(
        "text",
        { class: "tick x", x: across(value), y: HEIGHT - BOTTOM + 15 },
        short(value).replace(/\.0+$/, ""),
      ),
    ),
    s("text", { class: "axis", x: WIDTH - RIGHT, y: HEIGHT - 5 }, xName),
    marked !== undefined &&
      s("line", { class: "marked", x1: across(marked), x2: across(marked), y1: TOP, y2: HEIGHT - BOTTOM }),
    lines.map((line, number) => path(line, number, x, across, up)),
    cursor,
  );
  reading(svg, cursor, { x, lines, across, up, xName, format, picked });
  const keys =
    lines.length > 1
      ? h(
          "ul",
          { class: "keys" },
          lines.map((line, number) => h("li", { class: `line${number} ${line.kind ?? ""}` }, line.name)),
        )
      : null;
  return h("div", { class: "curves" }, h("p", { class: "y-name" }, yName), svg, keys);
}

function spoken(lines, x, xName, yName, format) {
  return (
    `${yName} over ${xName} ${x[0]} to ${x.at(-1)}. ` +
    lines
      .map((line) => `${line.name}: from ${format(line.y[0] ?? 0)} to ${format(line.y.at(-1) ?? 0)}`)
      .join("; ")
  );
}

function path(line, number, x, across, up) {
  const points = x
    .map((value, place) => [value, line.y[place]])
    .filter(([, value]) => value !== null && value !== undefined);
  const d = points
    .map(
      ([value, height], place) => `${place ? "L" : "M"}${across(value).toFixed(1)} ${up(height).toFixed(1)}`,
    )
    .join("");
  const dots =
    points.length < 20
      ? points.map(([value, height]) => s("circle", { cx: across(value), cy: up(height), r: 2.2 }))
      : [];
  return s("g", { class: `line line${number} ${line.kind ?? ""}` }, s("path", { d }), dots);
}

/** The values under the pointer, or at the step that the arrow keys have come to. */
function reading(svg, cursor, { x, lines, across, up, xName, format, picked }) {
  let place = x.length - 1;
  function show(to) {
    place = Math.max(0, Math.min(x.length - 1, to));
    const at = across(x[place]),
      left = at > WIDTH * 0.6;
    const words = [
      `${xName} ${short(x[place]).replace(/\.0+$/, "")}`,
      ...lines.map(
        (line) =>
          `${lines.length > 1 ? line.name + " " : ""}${line.y[place] === null ? "–" : format(line.y[place])}`,
      ),
    ];
    cursor.replaceChildren(
      s("line", { x1: at, x2: at, y1: TOP, y2: HEIGHT - BOTTOM }),
      ...lines.flatMap((line) =>
        line.y[place] === null ? [] : [s("circle", { cx: at, cy: up(line.y[place]), r: 3.5 })],
      ),
      ...words.map((word, row) =>
        s(
          "text",
          {
            class: "read",
            x: left ? at - 7 : at + 7,
            y: TOP + 12 + 14 * row,
            "text-anchor": left ? "end" : "start",
          },
          word,
        ),
      ),
    );
    picked?.(place);
  }
  const hide = () => cursor.replaceChildren();
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect(),
      at = ((event.clientX - box.left) / box.width) * WIDTH;
    const distances = x.map((value) => Math.abs(across(value) - at));
    show(distances.indexOf(Math.min(...distances)));
  });
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.stopPropagation();
    event.preventDefault();
    show(place + step);
  });
}

/** A histogram. @param {{edges: number[], counts: number[], xName: string, yName: string}} told */
export function histogram({ edges, counts, xName, yName }) {
  const most = Math.max(...counts, 1),
    wide = (WIDTH - LEFT - RIGHT) / counts.length,
    room = HEIGHT - BOTTOM - TOP;
  const across = (value) =>
    LEFT + ((value - edges[0]) / (edges.at(-1) - edges[0] || 1)) * (WIDTH - LEFT - RIGHT);
  return h(
    "div",
    { class: "curves" },
    h("p", { class: "y-name" }, yName),
    s(
      "svg",
      {
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
        class: "chart",
        role: "img",
        "aria-label": `${yName} by ${xName}: ${counts.map((count, n) => `${short(edges[n])}: ${count}`).join("; ")}`,
      },
      ticks(0, most, 4).map((value) => [
        s("line", {
          class: "rule",
          x1: LEFT,
          x2: WIDTH - RIGHT,
          y1: HEIGHT - BOTTOM - (room * value) / most,
          y2: HEIGHT - BOTTOM - (room * value) / most,
        }),
        s("text", { class: "tick y", x: LEFT - 6, y: HEIGHT - BOTTOM - (room * value) / most + 4 }, value),
      ]),
      counts.map((count, n) =>
        s(
          "rect",
          {
            class: "bar",
            x: LEFT + n * wide + 0.5,
            width: Math.max(1, wide - 1),
            y: HEIGHT - BOTTOM - (room * count) / most,
            height: (room * count) / most,
          },
          s("title", {}, `${short(edges[n])} to ${short(edges[n + 1])}: ${count}`),
        ),
      ),
      edges[0] < 0 &&
        edges.at(-1) > 0 &&
        s("line", { class: "marked", x1: across(0), x2: across(0), y1: TOP, y2: HEIGHT - BOTTOM }),
      ticks(edges[0], edges.at(-1), 6).map((value) =>
        s(
          "text",
          { class: "tick x", x: across(value), y: HEIGHT - BOTTOM + 15 },
          short(value).replace(/\.0+$/, ""),
        ),
      ),
      s("text", { class: "axis", x: WIDTH - RIGHT, y: HEIGHT - 5 }, xName),
    ),
  );
}

/** Thin bars, one for each value, those of `marked` in colour. @param {number[]} values @param {number[]} marked @param {number} columns */
export function spectrum(values, marked, columns, words) {
  const most = Math.max(...values, 1e-9),
    wide = 640 / values.length;
  return s(
    "svg",
    {
      viewBox: "0 0 640 56",
      preserveAspectRatio: "none",
      class: "spectrum",
      role: "img",
      "aria-label": words,
    },
    values.map((value, n) =>
      s("rect", {
        class: `c${Math.floor((n * columns) / values.length)}${marked.includes(n) ? " strong" : ""}`,
        x: n * wide,
        width: Math.max(0.6, wide * 0.86),
        y: 56 - (54 * value) / most,
        height: (54 * value) / most,
      }),
    ),
  );
}

/** Class names with probabilities as bars. @param {{class: string, probability: number}[]} labels */
export function bars(labels) {
  return h(
    "ol",
    { class: "bars" },
    labels.map((label) => {
      const bar = h("i", { "aria-hidden": "true" });
      bar.style.width = `${100 * label.probability}%`;
      return h(
        "li",
        {},
        bar,
        h("span", {}, label.class),
        h("span", {}, `${(100 * label.probability).toFixed(1)} %`),
      );
    }),
  );
}

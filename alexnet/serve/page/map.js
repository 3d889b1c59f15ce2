/** A map of the pictures: those that the network takes to be alike lie close together. */

import { get } from "./api.js";
import { h, s } from "./dom.js";
import { command, figure } from "./figure.js";
import { card, pictureOf, sign } from "./gallery.js";
import { nameOf } from "./marks.js";
import { note, reload } from "./navigate.js";
import { passButton } from "./progress.js";
import { outOf, whole } from "./text.js";

// A colour and a shape for each class; with more classes they begin again.
const COLOURS = [
  "#4477aa",
  "#ee6677",
  "#228833",
  "#b8a52e",
  "#38a8d0",
  "#aa3377",
  "#8a8a8a",
  "#e07b00",
  "#3aa08c",
];
/** Corners of a shape around a point, for a radius of 1. @type {[number, number][][]} */
const SHAPES = [
  Array.from({ length: 12 }, (_, n) => [Math.cos((n * Math.PI) / 6), Math.sin((n * Math.PI) / 6)]),
  [
    [0, -1.2],
    [1.1, 0.8],
    [-1.1, 0.8],
  ],
  [
    [-0.9, -0.9],
    [0.9, -0.9],
    [0.9, 0.9],
    [-0.9, 0.9],
  ],
  [
    [0, -1.3],
    [1.1, 0],
    [0, 1.3],
    [-1.1, 0],
  ],
  [
    [0, 1.2],
    [1.1, -0.8],
    [-1.1, -0.8],
  ],
];
const METHODS = { "t-sne": "neighbours together (t-SNE)", pca: "two principal components (PCA)" };
const LISTED = 40; // pictures that are named below the map
const LEGEND = COLOURS.length * SHAPES.length;
const RADIUS = 4.5;
const EDGE = 14;
const SMALL = 48; // side of a picture on the map
const FARTHEST = 60; // times

/**
 * @typedef {import("./gallery.js").Shelf} Shelf
 * @typedef {import("./gallery.js").Judged} Judged
 * @typedef {object} Placed
 * @property {number} number
 * @property {string} key
 * @property {number} label
 * @property {number} answered
 * @property {number} true_probability
 * @property {number} answered_probability
 * @property {[number, number]} at
 *
 * @typedef {{ layer: string, explained: number, pictures: Placed[]|null, of: number }} Plane
 * @typedef {{ x: number, y: number, zoom: number }} View the middle, in shares of the whole map
 */

/** @param {Shelf} shelf @param {URLSearchParams} query */
export async function pictureMap(shelf, query) {
  const { run, split, signal } = shelf;
  const method = query.get("method") === "pca" ? "pca" : "t-sne";
  /** @type {Plane} */
  const plane = await get(`api/sides/own/errors/map?${new URLSearchParams({ split, method })}`, signal);
  const place = run.store?.path ?? "STORE";
  const about = {
    id: "map",
    title: "A map of the pictures",
    name: `map-${method}`,
    command: command("see", "map", run.commands.run, place, "--split", split, "--method", method),
  };
  const ways = methods(method);
  if (!plane.pictures) {
    const why =
      "Pictures that the last hidden layer describes alike are laid out close together, so that groups, " +
      "mixtures and outliers can be seen.";
    const path = `api/sides/own/passes/map-${method}?${new URLSearchParams({ split })}`;
    return figure([ways, passButton("Draw the map", why, [["The map", path]], signal, reload)], about);
  }
  const some =
    plane.pictures.length < plane.of
      ? `${outOf(plane.pictures.length, plane.of)} pictures, evenly spread, `
      : "";
  const words =
    `${some || `${whole(plane.of)} pictures `}by their values in ${plane.layer}: what the network finds alike lies ` +
    "close together; directions mean nothing. A circle around a dot marks a wrong answer. Drag to move; zoom " +
    "with the buttons, or with the wheel and + − while the map has the focus. Zoomed in, pictures appear.";
  return figure([ways, drawn(shelf, plane.pictures, query)], { ...about, words, json: () => plane });
}

/** @param {string} method */
function methods(method) {
  const link = ([name, words] = ["", ""]) =>
    h("a", { href: `errors?show=map&method=${name}`, "aria-current": name === method && "true" }, words);
  return h("p", { class: "views small" }, Object.entries(METHODS).map(link));
}

/** @param {Shelf} shelf @param {Placed[]} pictures @param {URLSearchParams} query */
function drawn(shelf, pictures, query) {
  const { run, split, signal } = shelf;
  const points = scaled(pictures);
  /** @type {View} */
  const view = { x: 0.5, y: 0.5, zoom: 1 };
  const canvas = h("canvas", {
    tabindex: "0",
    role: "application",
    "aria-label":
      "Map of the pictures. Arrow keys move it, plus and minus zoom. The list below names what is in sight.",
  });
  const list = h("ul", { class: "insight" });
  const chosen = h("div", { class: "chosen", "aria-live": "polite" });
  const said = h("p", { class: "count" });
  const pen = canvas.getContext("2d");
  /** @type {Map<number, HTMLImageElement>} */
  const images = new Map();
  let only = query.get("class") === null ? -1 : Number(query.get("class"));
  /** @type {Placed|null} */
  let picked = pictures.find((one) => String(one.number) === query.get("pick")) ?? null;
  let waiting = false;

  const size = () => canvas.getBoundingClientRect();
  const screen = (/** @type {number} */ n) => {
    const { width, height } = size();
    const side = Math.min(width, height) - 2 * EDGE;
    const [x, y] = points[n];
    return [width / 2 + (x - view.x) * side * view.zoom, height / 2 + (y - view.y) * side * view.zoom];
  };
  const shown = (/** @type {Placed} */ one) => only < 0 || one.label === only || one.answered === only;

  function draw() {
    waiting = false;
    if (!pen || !canvas.isConnected) return;
    const { width, height } = size();
    const ratio = devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const ink = getComputedStyle(canvas).color;
    const seen = pictures
      .map((one, n) => ({ one, at: screen(n) }))
      .filter(({ at: [x, y] }) => x > -SMALL && y > -SMALL && x < width + SMALL && y < height + SMALL);
    const asPictures = view.zoom > 2 && seen.length <= 150;
    for (const { one, at } of seen.sort((a, b) => Number(shown(a.one)) - Number(shown(b.one)))) {
      pen.globalAlpha = shown(one) ? 1 : 0.13;
      if (asPictures && picture(one, at)) continue;
      shape(pen, at, RADIUS, one.label);
      pen.fill();
      if (one.label !== one.answered) ring(at, RADIUS + 3, ink);
    }
    pen.globalAlpha = 1;
    if (picked) {
      pen.lineWidth = 3;
      ring(screen(pictures.indexOf(picked)), asPictures ? SMALL / 2 + 6 : RADIUS + 7, ink);
    }
    pen.lineWidth = 1.5;
    name(
      seen
        .filter(({ one, at: [x, y] }) => shown(one) && x >= 0 && y >= 0 && x <= width && y <= height)
        .map((s) => s.one),
    );
  }

  /** @param {number[]} at @param {number} radius @param {string} ink */
  function ring([x, y], radius, ink) {
    if (!pen) return;
    pen.strokeStyle = ink;
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.stroke();
  }

  /** @param {Placed} one @param {number[]} at whether it could be drawn yet */
  function picture({ number, label, answered }, [x, y]) {
    let image = images.get(number);
    if (!image) {
      image = new Image(SMALL, SMALL);
      image.onload = later;
      image.src = pictureOf(split, number);
      images.set(number, image);
    }
    if (!pen || !image.complete || !image.naturalWidth) return false;
    pen.fillStyle = COLOURS[label % COLOURS.length];
    pen.fillRect(x - SMALL / 2 - 3, y - SMALL / 2 - 3, SMALL + 6, SMALL + 6);
    pen.drawImage(image, x - SMALL / 2, y - SMALL / 2, SMALL, SMALL);
    if (label !== answered) {
      pen.fillStyle = getComputedStyle(canvas).color;
      pen.font = "bold 20px sans-serif";
      pen.lineWidth = 4;
      pen.strokeStyle = getComputedStyle(document.body).backgroundColor;
      pen.strokeText("✗", x + SMALL / 2 - 10, y - SMALL / 2 + 10);
      pen.fillText("✗", x + SMALL / 2 - 10, y - SMALL / 2 + 10);
      pen.lineWidth = 1.5;
    }
    return true;
  }

  function later() {
    if (!waiting) requestAnimationFrame(draw);
    waiting = true;
  }

  /** The list of what is in sight, for those who don't use a pointer. @param {Placed[]} seen */
  function name(seen) {
    const words = `${outOf(seen.length, pictures.length)} pictures in sight`;
    if (said.textContent === words && list.childElementCount) return;
    said.textContent = words;
    const wrongFirst = [...seen].sort(
      (a, b) => Number(a.label === a.answered) - Number(b.label === b.answered),
    );
    const line = (/** @type {Placed} */ one) =>
      h(
        "li",
        {},
        h(
          "button",
          { type: "button", class: "plain", onclick: () => pick(one) },
          sign(one.label === one.answered),
          run.classes[one.label],
          one.label !== one.answered && ` taken for ${run.classes[one.answered]}`,
          ` (${nameOf(one.key)})`,
        ),
      );
    list.replaceChildren(...wrongFirst.slice(0, LISTED).map(line));
  }

  /** @param {Placed|null} one */
  function pick(one) {
    picked = one;
    note({ pick: one?.number ?? null });
    const judged = one && { ...one, file: one.key, true: one.label, nearest: null };
    chosen.replaceChildren(
      judged
        ? h("ul", { class: "cards" }, card(shelf, judged))
        : h("p", { class: "soft" }, "Choose a point to see its picture."),
    );
    later();
  }

  /** @param {number} factor @param {number} [x] @param {number} [y] what stays where it is, in pixels */
  function zoom(factor, x, y) {
    const { width, height } = size();
    const side = (Math.min(width, height) - 2 * EDGE) * view.zoom;
    const next = Math.min(FARTHEST, Math.max(1, view.zoom * factor));
    const [dx, dy] = [(x ?? width / 2) - width / 2, (y ?? height / 2) - height / 2];
    view.x += (dx / side) * (1 - view.zoom / next);
    view.y += (dy / side) * (1 - view.zoom / next);
    view.zoom = next;
    if (next === 1) [view.x, view.y] = [0.5, 0.5];
    canvas.style.touchAction = next > 1 ? "none" : "pan-y";
    later();
  }

  /** @param {number} dx @param {number} dy in pixels */
  function move(dx, dy) {
    const { width, height } = size();
    const side = (Math.min(width, height) - 2 * EDGE) * view.zoom;
    view.x = Math.min(1, Math.max(0, view.x - dx / side));
    view.y = Math.min(1, Math.max(0, view.y - dy / side));
    later();
  }

  /** @param {PointerEvent} event */
  function nearest(event) {
    const box = size();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const reach = view.zoom > 2 ? SMALL / 2 : 12;
    return pictures
      .map((one, n) => ({ one, far: Math.hypot(screen(n)[0] - x, screen(n)[1] - y) }))
      .filter(({ one, far }) => far < reach && shown(one))
      .sort((a, b) => a.far - b.far)[0]?.one;
  }

  pointing(canvas, move, (event) => {
    const one = nearest(event);
    if (one) pick(one);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.buttons) return;
    const one = nearest(event);
    const answer = one && one.label !== one.answered ? ` taken for ${run.classes[one.answered]}` : "";
    canvas.title = one ? `${run.classes[one.label]}${answer}, ${nameOf(one.key)}` : "";
    canvas.style.cursor = one ? "pointer" : "grab";
  });
  canvas.addEventListener(
    "wheel",
    (event) => {
      if (document.activeElement !== canvas && !event.ctrlKey) return; // the page scrolls
      event.preventDefault();
      zoom(event.deltaY < 0 ? 1.25 : 0.8, event.offsetX, event.offsetY);
    },
    { passive: false },
  );
  canvas.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[
      event.key
    ];
    const factor = { "+": 1.5, "=": 1.5, "-": 1 / 1.5, 0: 1 / FARTHEST }[event.key];
    if (!way && !factor) return;
    event.preventDefault();
    if (way) move(way[0], way[1]);
    if (factor) zoom(factor);
  });
  const watcher = new ResizeObserver(later);
  watcher.observe(canvas);
  signal.addEventListener("abort", () => watcher.disconnect());

  const button = (
    /** @type {string} */ words,
    /** @type {string} */ label,
    /** @type {() => void} */ onclick,
  ) => h("button", { type: "button", "aria-label": label, title: label, onclick }, words);
  /** @param {number} number */
  const highlight = (number) => {
    only = number;
    note({ class: number < 0 ? null : number });
    list.replaceChildren();
    later();
  };
  pick(picked);
  return h(
    "div",
    { class: "plane" },
    h(
      "div",
      { class: "sheet-of-paper" },
      canvas,
      h(
        "div",
        { class: "zooms" },
        button("+", "Zoom in", () => zoom(1.5)),
        button("−", "Zoom out", () => zoom(1 / 1.5)),
        button("whole", "Show the whole map", () => zoom(1 / FARTHEST)),
      ),
    ),
    chosen,
    legend(run, pictures, only, highlight),
    said,
    h("details", {}, h("summary", {}, "As a list: wrong answers first"), list),
  );
}

/** Positions in shares of the whole, y downwards. @param {Placed[]} pictures */
function scaled(pictures) {
  const [xs, ys] = [0, 1].map((axis) => pictures.map((one) => one.at[axis]));
  const [left, top] = [Math.min(...xs), Math.max(...ys)];
  const wide = Math.max(Math.max(...xs) - left, top - Math.min(...ys)) || 1;
  const [dx, dy] = [(wide - (Math.max(...xs) - left)) / 2, (wide - (top - Math.min(...ys))) / 2];
  return pictures.map(({ at: [x, y] }) => [(x - left + dx) / wide, (top - y + dy) / wide]);
}

/** @param {CanvasRenderingContext2D} pen @param {number[]} at @param {number} radius @param {number} label */
function shape(pen, [x, y], radius, label) {
  pen.fillStyle = COLOURS[label % COLOURS.length];
  pen.beginPath();
  for (const [dx, dy] of SHAPES[Math.floor(label / COLOURS.length) % SHAPES.length]) {
    pen.lineTo(x + radius * dx, y + radius * dy);
  }
  pen.closePath();
}

/**
 * Drag to move, click to choose.
 * @param {HTMLCanvasElement} canvas
 * @param {(dx: number, dy: number) => void} move
 * @param {(event: PointerEvent) => void} click
 */
function pointing(canvas, move, click) {
  let [x, y, far] = [0, 0, 0];
  canvas.addEventListener("pointerdown", (event) => {
    [x, y, far] = [event.clientX, event.clientY, 0];
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!canvas.hasPointerCapture(event.pointerId)) return;
    const [dx, dy] = [event.clientX - x, event.clientY - y];
    [x, y, far] = [event.clientX, event.clientY, far + Math.hypot(dx, dy)];
    move(dx, dy);
  });
  canvas.addEventListener("pointerup", (event) => far < 5 && click(event));
}

/**
 * The classes' marks; choosing one shows its pictures, and those taken for it, alone.
 * @param {Run} run
 * @param {Placed[]} pictures
 * @param {number} only
 * @param {(label: number) => void} highlight
 */
function legend(run, pictures, only, highlight) {
  const there = [...new Set(pictures.map((one) => one.label))].sort((a, b) => a - b);
  if (there.length > LEGEND) {
    const options = ["all", ...there.map((label) => run.classes[label])].map((name, n) =>
      h("option", { value: n ? there[n - 1] : -1, selected: n > 0 && there[n - 1] === only }, name),
    );
    const select = h("select", { onchange: () => highlight(Number(select.value)) }, options);
    return h("label", { class: "keys" }, "Class ", select);
  }
  const buttons = there.map((label) => {
    const corners = SHAPES[Math.floor(label / COLOURS.length) % SHAPES.length]
      .map((one) => one.join())
      .join(" ");
    const mark = s(
      "svg",
      { viewBox: "-1.5 -1.5 3 3", width: 14, height: 14, "aria-hidden": "true" },
      s("polygon", { points: corners, fill: COLOURS[label % COLOURS.length] }),
    );
    const onclick = () => {
      const pressed = button.getAttribute("aria-pressed") === "true";
      for (const one of buttons) one.setAttribute("aria-pressed", "false");
      button.setAttribute("aria-pressed", String(!pressed));
      highlight(pressed ? -1 : label);
    };
    const button = h(
      "button",
      { type: "button", "aria-pressed": String(label === only), onclick },
      mark,
      run.classes[label],
    );
    return button;
  });
  return h("div", { class: "legend", role: "group", "aria-label": "Show one class" }, buttons);
}

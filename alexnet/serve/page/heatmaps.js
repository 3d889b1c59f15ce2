/**
 * Heat maps over a picture, which fill as results come in, coarse ones first. Their colours have fixed scales, those of
 * the saved figure; a value is read under the pointer, or with the arrow keys.
 */

import { address } from "./api.js";
import { h } from "./dom.js";
import { percent, short } from "./text.js";

const VIRIDIS = [
  [68, 1, 84],
  [59, 82, 139],
  [33, 145, 140],
  [94, 201, 98],
  [253, 231, 37],
];
const COARSEST = 8;

/** @typedef {(number|null)[][]} Grid values by row and column; null where nothing is known yet */
/** @typedef {{ title: string, scale: [number, number], clean: number, words: (value: number) => string }} Shades */

/** @param {number} count @returns {null[][]} */
const empty = (count) => Array.from({ length: count }, () => Array(count).fill(null));

/** @param {Grid} grid @returns {number[]} */
const known = (grid) => grid.flat().filter((value) => value !== null);

/**
 * @param {OcclusionPart} first
 * @param {string} api
 * @param {Element} place
 */
export function heatmaps(first, api, place) {
  const count = first.corners.length;
  const { layer, channel } = first.watched;
  const watched = `${layer} · ${channel}`;
  /** @type {Grid} */
  const probability = empty(count);
  /** @type {Grid} */
  const total = empty(count);
  /** @type {(string|null)[][]} */
  const predicted = empty(count);
  const hint = "Point at a map, or focus it and use the arrow keys, to cover a place and read what happens.";
  const words = h("p", { class: "read" }, hint);
  const maps = [
    heatmap(first, api, move, {
      title: `Probability of ${first.class}`,
      scale: first.scales.probability,
      clean: first.clean.probability,
      words: percent,
    }),
    heatmap(first, api, move, {
      title: `Total of ${watched}, the most active map`,
      scale: first.scales.total,
      clean: first.clean.total,
      words: short,
    }),
  ];
  place.replaceChildren(...maps.map((map) => map.element), words);

  /** Cover a place of all maps, and say what that does. @param {number} row @param {number} column */
  function move(row, column) {
    const share = probability[row][column];
    const sum = total[row][column];
    const there = `Row ${row + 1}, column ${column + 1} of ${count}`;
    const read =
      share === null || sum === null
        ? `${there}: not computed yet.`
        : `${there}: ${first.class} ${percent(share)}, most probable ${predicted[row][column]}; ` +
          `total of ${watched}: ${short(sum)}.`;
    words.textContent = read;
    for (const map of maps) map.cover(row, column, read);
  }

  return {
    /** @param {OcclusionPart} part */
    put(part) {
      part.rows.forEach((row, n) => {
        const column = part.columns[n];
        probability[row][column] = part.probability[n];
        total[row][column] = part.total[n];
        predicted[row][column] = part.most_probable[n];
      });
      maps[0].paint(probability);
      maps[1].paint(total);
    },
    /** Where the class is weakest; its logit where the probability hardly changes. @param {Occluded} whole */
    finish({ saturated, scales, logit, clean }) {
      if (saturated) {
        const title = `Logit of ${first.class}: its probability hardly changes`;
        const map = heatmap(first, api, move, {
          title,
          scale: scales.logit,
          clean: clean.logit,
          words: short,
        });
        maps.splice(1, 0, map);
        maps[0].element.after(map.element);
        map.paint(logit);
      }
      const weakest = probability.flat().indexOf(Math.min(...known(probability)));
      move(Math.floor(weakest / count), weakest % count);
      words.prepend("Where it is weakest. ");
    },
  };
}

/**
 * @param {OcclusionPart} first
 * @param {string} api
 * @param {(row: number, column: number) => void} move
 * @param {Shades} shades
 */
function heatmap({ corners, square, grey }, api, move, shades) {
  const count = corners.length;
  const size = corners[count - 1] + square;
  const canvas = h("canvas", { width: count, height: count });
  // A pixel of the canvas stands for the centre of a square and fills the room to its neighbours.
  const inset = `${(50 * (square - corners[1])) / size}%`;
  canvas.style.inset = inset;
  canvas.style.width = canvas.style.height = `calc(100% - 2 * ${inset})`;
  const covering = h("div", { class: "covering", hidden: true });
  covering.style.width = covering.style.height = `${(100 * square) / size}%`;
  covering.style.background = `rgb(${grey} ${grey} ${grey})`;
  const picture = h("img", { src: address(`${api}/view.jpg`), alt: "", width: size, height: size });
  const over = h(
    "div",
    {
      class: "over read-here",
      role: "slider",
      tabindex: "0",
      "aria-label": `${shades.title}, with a place covered`,
      "aria-valuemin": 0,
      "aria-valuemax": count ** 2 - 1,
      "aria-valuenow": 0,
      onpointermove,
      onpointerdown: onpointermove,
      onkeydown,
      onfocus: () => move(...at),
    },
    picture,
    canvas,
    covering,
  );
  /** @type {[row: number, column: number]} */
  let at = [(count - 1) >> 1, (count - 1) >> 1];
  const clamped = (/** @type {number} */ place) => Math.min(count - 1, Math.max(0, place));

  /** @param {PointerEvent} event */
  function onpointermove({ clientX, clientY }) {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    const place = (/** @type {number} */ part) => clamped(Math.floor(part * count));
    move(place((clientY - top) / height), place((clientX - left) / width));
  }

  /** @param {KeyboardEvent} event */
  function onkeydown(event) {
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const step = steps[/** @type {keyof steps} */ (event.key)];
    if (!step) return;
    event.preventDefault(); // no scrolling
    move(clamped(at[0] + step[0]), clamped(at[1] + step[1]));
  }

  return {
    element: h("div", { class: "heat" }, h("p", {}, shades.title), over, legend(shades)),
    /** @param {Grid} grid */
    paint: (grid) => paint(canvas, grid, shades.scale),
    /** @param {number} row @param {number} column @param {string} words */
    cover(row, column, words) {
      at = [row, column];
      covering.hidden = false;
      covering.style.left = `${(100 * corners[column]) / size}%`;
      covering.style.top = `${(100 * corners[row]) / size}%`;
      over.setAttribute("aria-valuenow", String(row * count + column));
      over.setAttribute("aria-valuetext", words);
    },
  };
}

/** What the colours stand for, and where among them the uncovered picture is. @param {Shades} shades */
function legend({ scale: [low, high], clean, words }) {
  const colours = h("canvas", { width: 128, height: 1, "aria-hidden": "true" });
  const pen = colours.getContext("2d");
  for (let n = 0; n < 128 && pen; n++) {
    pen.fillStyle = colour(n / 127);
    pen.fillRect(n, 0, 1, 1);
  }
  const mark = h("i", { "aria-hidden": "true" });
  mark.style.left = `${(100 * (clean - low)) / (high - low || 1)}%`;
  const label = h("span", {}, `┃ uncovered ${words(clean)}`);
  return h(
    "div",
    { class: "shades" },
    h("div", {}, colours, mark),
    h("p", {}, h("span", {}, words(low)), label, h("span", {}, words(high))),
  );
}

/** @param {HTMLCanvasElement} canvas @param {Grid} grid @param {[low: number, high: number]} scale */
function paint(canvas, grid, [low, high]) {
  const pen = canvas.getContext("2d");
  if (!pen) return;
  for (let row = 0; row < grid.length; row++) {
    for (let column = 0; column < grid.length; column++) {
      const value = nearest(grid, row, column);
      if (value === null) continue;
      pen.fillStyle = colour((value - low) / (high - low || 1));
      pen.fillRect(column, row, 1, 1);
    }
  }
}

/**
 * The value there, or else of the coarse place above and left of it.
 * @param {Grid} grid
 * @param {number} row
 * @param {number} column
 */
function nearest(grid, row, column) {
  for (let step = 1; step <= COARSEST; step *= 2) {
    const value = grid[row - (row % step)][column - (column % step)];
    if (value !== null) return value;
  }
  return null;
}

/** @param {number} share of the way from the darkest colour to the brightest */
function colour(share) {
  const place = Math.max(0, Math.min(0.9999, share)) * (VIRIDIS.length - 1);
  const below = Math.floor(place);
  const mixed = VIRIDIS[below].map((value, n) => value + (place - below) * (VIRIDIS[below + 1][n] - value));
  return `rgb(${mixed.map(Math.round).join(" ")})`;
}

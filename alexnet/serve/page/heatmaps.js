/** Two heat maps over a picture, which fill as results come in, coarse ones first. */

import { address } from "./api.js";
import { h } from "./dom.js";
import { percent } from "./text.js";

const VIRIDIS = [
  [68, 1, 84],
  [59, 82, 139],
  [33, 145, 140],
  [94, 201, 98],
  [253, 231, 37],
];

/** @typedef {(number|null)[][]} Grid values by row and column; null where nothing is known yet */

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
  /** @type {Grid} */
  const probability = empty(count);
  /** @type {Grid} */
  const total = empty(count);
  /** @type {(string|null)[][]} */
  const predicted = empty(count);
  const words = h("p", { class: "read" });
  const left = heatmap(`probability of ${first.class}: ${percent(first.clean)} uncovered`, first, api);
  const right = heatmap(`total of ${layer} · ${channel}, the most active map`, first, api);
  place.replaceChildren(left.element, right.element, words);

  left.canvas.addEventListener("pointermove", ({ offsetX, offsetY }) => {
    const at = (/** @type {number} */ length, /** @type {number} */ offset) =>
      Math.min(count - 1, Math.max(0, Math.floor((offset / length) * count)));
    read(at(left.canvas.clientHeight, offsetY), at(left.canvas.clientWidth, offsetX), "Here");
  });

  /** @param {number} row @param {number} column @param {string} where */
  function read(row, column, where) {
    const value = probability[row][column];
    if (value === null) return;
    words.textContent =
      `${where}: ${first.class} ${percent(value)}, most probable ${predicted[row][column]}. ` +
      "Point at the left map to read it elsewhere.";
  }

  return {
    readWeakest() {
      const place = probability.flat().indexOf(Math.min(...known(probability)));
      read(Math.floor(place / count), place % count, "Where it is weakest");
    },
    /** @param {OcclusionPart} part */
    put(part) {
      part.rows.forEach((row, n) => {
        const column = part.columns[n];
        probability[row][column] = part.probability[n];
        total[row][column] = part.total[n];
        predicted[row][column] = part.most_probable[n];
      });
      paint(left.canvas, probability, Math.max(first.clean, 0.001));
      paint(right.canvas, total, Math.max(...known(total)));
    },
  };
}

/** @param {string} title @param {OcclusionPart} first @param {string} api */
function heatmap(title, { corners, square }, api) {
  const count = corners.length;
  const size = corners[count - 1] + square;
  const canvas = h("canvas", { width: count, height: count, role: "img", "aria-label": title });
  // A pixel of the canvas stands for the centre of a square and fills the room to its neighbours.
  const inset = `${(50 * (square - corners[1])) / size}%`;
  canvas.style.inset = inset;
  canvas.style.width = canvas.style.height = `calc(100% - 2 * ${inset})`;
  const picture = h("img", { src: address(`${api}/view.jpg`), alt: "" });
  const element = h(
    "div",
    { class: "heat" },
    h("p", {}, title),
    h("div", { class: "over" }, picture, canvas),
  );
  return { canvas, element };
}

/** @param {HTMLCanvasElement} canvas @param {Grid} grid @param {number} high the value of the brightest colour */
function paint(canvas, grid, high) {
  const pen = canvas.getContext("2d");
  if (!pen) return;
  const low = Math.min(...known(grid));
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
  for (const step of [1, 2, 4]) {
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

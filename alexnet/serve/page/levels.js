/** Values laid over a picture on one fixed scale: from −full, which speaks against, to +full, which speaks for. */

import { h } from "./dom.js";
import { short } from "./text.js";

/** @typedef {{ side: number, full: number, levels: string }} Levels a step of 1/127 of `full` for each pixel, base64 */

const NINTHS = [
  "top left",
  "top",
  "top right",
  "left",
  "middle",
  "right",
  "bottom left",
  "bottom",
  "bottom right",
];

/**
 * A picture in grey with the values over it, and below in words how much the full colour is and where most of them lie.
 * @param {string} picture the address of the view
 * @param {Levels} map
 * @param {string} unit of a value
 * @param {string} label
 */
export function overlaid(picture, map, unit, label) {
  const values = decoded(map);
  const place = mainPlace(values, map.side);
  const canvas = h("canvas", {
    width: map.side,
    height: map.side,
    role: "img",
    "aria-label": `${label}: ${place}`,
  });
  paint(canvas, values);
  const over = h("div", { class: "over grey" }, h("img", { src: picture, alt: "" }), canvas);
  const full = h("p", { class: "full" }, `Full colour: ${short(map.full)} ${unit}. ${place}.`);
  return h("div", { class: "overlaid" }, over, full);
}

/** What the colours mean, once for all maps. */
export function legend() {
  return h(
    "p",
    { class: "full-scale" },
    h("span", {}, "− full: speaks against"),
    h("i", { "aria-hidden": "true" }),
    h("span", {}, "speaks for: + full"),
  );
}

/** @param {Levels} map */
function decoded({ levels }) {
  return new Int8Array(Uint8Array.from(atob(levels), (letter) => letter.charCodeAt(0)).buffer);
}

/** @param {HTMLCanvasElement} canvas @param {Int8Array} values */
function paint(canvas, values) {
  const pen = canvas.getContext("2d");
  if (!pen) return;
  const style = getComputedStyle(document.documentElement);
  const [plus, minus] = ["--positive", "--negative"].map((name) => bytes(style.getPropertyValue(name)));
  const pixels = pen.createImageData(canvas.width, canvas.height);
  values.forEach((value, place) => {
    const opacity = Math.min(255, 2 * Math.abs(value));
    pixels.data.set([...(value < 0 ? minus : plus), opacity], 4 * place);
  });
  pen.putImageData(pixels, 0, 0);
}

/** Red, green and blue of "#00707f". @param {string} colour */
function bytes(colour) {
  return [1, 3, 5].map((place) => parseInt(colour.trim().slice(place, place + 2), 16) || 0);
}

/** Which ninth of the picture has most of what speaks for the class. @param {Int8Array} values @param {number} side */
function mainPlace(values, side) {
  const sums = Array(9).fill(0);
  values.forEach((value, place) => {
    const [row, column] = [Math.floor(place / side), place % side].map((at) => Math.floor((3 * at) / side));
    sums[3 * row + column] += Math.max(0, value);
  });
  const total = sums.reduce((a, b) => a + b, 0);
  if (!total) return "Nothing here speaks for it";
  const most = sums.indexOf(Math.max(...sums));
  return `Of what speaks for it, ${Math.round((100 * sums[most]) / total)} % is in the ninth at the ${NINTHS[most]}`;
}

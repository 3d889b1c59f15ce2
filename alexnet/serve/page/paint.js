/** Painting maps: bytes of the server's answer as pixels in the colour of their column. */

import { h } from "./dom.js";

/** @typedef {[red: number, green: number, blue: number]} Colour */

/** @type {Map<string, Uint8ClampedArray>} ramps that were made, by what they are for */
let ramps = new Map();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (ramps = new Map()));

/** A colour of the page. @param {string} name @returns {Colour} */
function colour(name) {
  const code = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return /** @type {Colour} */ ([1, 3, 5].map((place) => parseInt(code.slice(place, place + 2), 16)));
}

/**
 * The colour of every byte of a row: 0 is the colour of the ground, the largest value that of the column; negative
 * values have a colour of their own. One scale for all maps of a row.
 * @param {RowGlance} row
 * @param {number} column
 */
function rampOf({ low, high }, column) {
  const key = `${column} ${low} ${high}`;
  const known = ramps.get(key);
  if (known) return known;
  if (ramps.size > 200) ramps.clear(); // a live picture's scales are never the same
  const [ground, negative] = [colour("--sunk"), colour("--negative")];
  const positive = colour(low < 0 ? "--positive" : `--c${Math.max(0, column) % 4}`);
  const most = Math.max(high, -low) || 1;
  const ramp = new Uint8ClampedArray(1024);
  for (let byte = 0; byte < 256; byte++) {
    const value = (low + ((high - low) * byte) / 255) / most;
    const share = Math.abs(value) ** 0.7; // small values are seen better
    const to = value < 0 ? negative : positive;
    for (let part = 0; part < 3; part++)
      ramp[4 * byte + part] = ground[part] + share * (to[part] - ground[part]);
    ramp[4 * byte + 3] = 255;
  }
  ramps.set(key, ramp);
  return ramp;
}

/** @param {string} values in base64 */
const bytesOf = (values) => Uint8Array.from(atob(values), (letter) => letter.charCodeAt(0));

/**
 * @param {HTMLCanvasElement} canvas
 * @param {number} width
 * @param {number} height
 * @param {(place: number) => number} byteAt of the pixel of that number
 * @param {Uint8ClampedArray} ramp
 */
function fill(canvas, width, height, byteAt, ramp) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const pen = canvas.getContext("2d");
  if (!pen) return;
  const image = pen.createImageData(width, height);
  for (let place = 0; place < width * height; place++) {
    const byte = 4 * byteAt(place);
    image.data.set(ramp.subarray(byte, byte + 4), 4 * place);
  }
  pen.putImageData(image, 0, 0);
}

/** A map. @param {HTMLCanvasElement} canvas @param {RowGlance} row @param {StrongMap} map @param {number} column */
export function paintMap(canvas, row, map, column) {
  if (!map.values || !map.side) return;
  const bytes = bytesOf(map.values);
  fill(canvas, map.side, map.side, (place) => bytes[place], rampOf(row, column));
}

/**
 * The units of a column of a dense layer as stripes, of several that share a stripe the one farthest from 0.
 * @param {HTMLCanvasElement} canvas
 * @param {RowGlance} row
 * @param {number} column
 * @param {number} columns
 * @param {boolean} upright
 */
export function paintStripes(canvas, row, column, columns, upright) {
  if (!row.values) return;
  const all = bytesOf(row.values);
  const own = all.length / columns;
  const bytes = all.subarray(column * own, (column + 1) * own);
  const count = Math.min(96, own);
  const zero = (-255 * row.low) / (row.high - row.low || 1);
  const farthest = (/** @type {number} */ stripe) => {
    let best = bytes[Math.floor((stripe * own) / count)];
    for (
      let unit = Math.floor((stripe * own) / count);
      unit < Math.floor(((stripe + 1) * own) / count);
      unit++
    )
      if (Math.abs(bytes[unit] - zero) > Math.abs(best - zero)) best = bytes[unit];
    return best;
  };
  fill(canvas, upright ? 1 : count, upright ? count : 1, farthest, rampOf(row, column));
}

/** A map as an element of its own. @param {RowGlance} row @param {StrongMap} map @param {number} column */
export function mapCanvas(row, map, column) {
  const canvas = h("canvas", { class: "small-map", "aria-hidden": "true" });
  paintMap(canvas, row, map, column);
  return canvas;
}

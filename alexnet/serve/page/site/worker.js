/** The network at work, in a worker where the browser allows one: what it makes of pixels or of a record. */

import { Network } from "./engine.js";
import { recordOf } from "./resample.js";

/**
 * @typedef {object} Seen
 * @property {Uint8Array} record
 * @property {Record<string, Float32Array>} maps
 * @property {number[]} probabilities of the centre view
 */

/** @type {Network} */
let network;

/** @type {Record<string, (question: any) => any>} */
const ANSWERS = {
  /** @param {{ model: import("./engine.js").Model, bytes: ArrayBuffer }} question */
  load({ model, bytes }) {
    network = new Network(model, bytes);
    return true;
  },

  /** @param {{ pixels: import("./resample.js").Pixels }} question @returns {Seen} */
  look({ pixels }) {
    const { side, resample, rows } = network.model;
    const record = recordOf(pixels, side, resample);
    const maps = network.activations(network.view(record));
    const logits = /** @type {Float32Array} */ (maps.get(rows[rows.length - 1].name));
    return { record, maps: Object.fromEntries(maps), probabilities: network.probabilities(logits) };
  },

  /** The mean of the ten views ([A] §4.1). @param {{ record: Uint8Array }} question @returns {number[]} */
  tenViews({ record }) {
    const { side, input, rows, classes } = network.model;
    const [edge, middle] = [side - input, (side - input) >> 1];
    const corners = [0, edge].flatMap((top) => [0, edge].map((left) => ({ top, left })));
    const places = [...corners, { top: middle, left: middle }];
    const views = places.flatMap((place) => [place, { ...place, mirrored: true }]);
    const mean = classes.map(() => 0);
    for (const view of views) {
      const maps = network.activations(network.view(record, view));
      const logits = /** @type {Float32Array} */ (maps.get(rows[rows.length - 1].name));
      network.probabilities(logits).forEach((p, k) => (mean[k] += p / views.length));
    }
    return mean;
  },
};

/** @param {string} what @param {any} question */
export const answer = (what, question) => ANSWERS[what](question);

/** What need not be copied. @param {any} found @returns {Transferable[]} */
function buffersOf(found) {
  if (!found.maps) return [];
  return [found.record, ...Object.values(found.maps)].map((/** @type {Float32Array} */ one) => one.buffer);
}

/** Called where this is a worker of its own. */
export function listen() {
  addEventListener("message", ({ data: { number, what, question } }) => {
    try {
      const found = answer(what, question);
      postMessage({ number, answer: found }, { transfer: [...new Set(buffersOf(found))] });
    } catch (error) {
      postMessage({ number, fault: String(error) });
    }
  });
}

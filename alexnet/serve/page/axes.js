/** What curves and histograms have in common: the size of a chart, its ticks and labels. */

import { s } from "./dom.js";
import { short } from "./text.js";

export const WIDTH = 460;
export const HEIGHT = 240;
export const LEFT = 58;
export const RIGHT = 12;
export const TOP = 10;
export const BOTTOM = 36;

/**
 * A few round numbers from low to high.
 * @param {number} low
 * @param {number} high
 * @param {number} [most]
 * @param {number} [least] the smallest step
 */
export function ticks(low, high, most = 5, least = 0) {
  const span = high - low || 1;
  const rough = span / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const round = [1, 2, 5, 10].map((one) => one * power).find((one) => span / one <= most) ?? rough;
  const step = Math.max(round, least);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step / 1e6; value += step) {
    found.push(Number(value.toFixed(10))); // without the error that adding up steps brings
  }
  return found;
}

/** From values to positions from left to right. @param {number} first @param {number} last */
export function horizontal(first, last) {
  return (/** @type {number} */ value) =>
    LEFT + ((value - first) / (last - first || 1)) * (WIDTH - LEFT - RIGHT);
}

/** 3, not 3.00. @param {number} value */
export const plain = (value) => short(value).replace(/\.0+$/, "");

/**
 * Rules with their values at the left.
 * @param {number[]} values
 * @param {(value: number) => number} up from values to positions
 * @param {(value: number) => string} format
 */
export function rules(values, up, format) {
  return values.map((value) => [
    s("line", { class: "rule", x1: LEFT, x2: WIDTH - RIGHT, y1: up(value), y2: up(value) }),
    s("text", { class: "tick y", x: LEFT - 6, y: up(value) + 4 }, format(value)),
  ]);
}

/**
 * Values below the chart, and what they are.
 * @param {number[]} values
 * @param {(value: number) => number} across
 * @param {string} name
 */
export function below(values, across, name) {
  return [
    values.map((value) =>
      s("text", { class: "tick x", x: across(value), y: HEIGHT - BOTTOM + 15 }, plain(value)),
    ),
    s("text", { class: "axis", x: WIDTH - RIGHT, y: HEIGHT - 5 }, name),
  ];
}

/** A dashed line at a value. @param {number} x */
export function marker(x) {
  return s("line", { class: "marked", x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM });
}

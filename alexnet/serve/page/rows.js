/** What each row of a network does, in words and as a formula. */

import { h } from "./dom.js";
import { whole } from "./text.js";

/** @param {{ maps: number, side: number }} shape */
export const shapeOf = ({ maps, side }) => (side > 1 ? `${whole(maps)} × ${side} × ${side}` : whole(maps));

/** The softmax behind the last row, which the table leaves out. @param {Row} last @returns {Row} */
export function softmaxRow({ maps, columns }) {
  const shape = { maps, side: 1 };
  return {
    name: "softmax",
    row: "Softmax",
    kind: "softmax",
    ...shape,
    entering: shape,
    columns: columns && 1,
    constants: {},
  };
}

/** The short name of a row: what it does. @param {Row} row */
export function short({ name, row, kind }) {
  const names = new Map([
    ["Pool", `${kind.split(" ")[0]} pool`],
    ["Norm", "norm"],
    ["SpatialNorm", "map norm"],
    ["BatchNorm", "batch norm"],
    ["Dropout", "dropout"],
    ["Activation", kind === "relu" ? "ReLU" : kind],
    ["Softmax", "softmax"],
  ]);
  return names.get(row) ?? name;
}

const sub = (/** @type {Child} */ words) => h("sub", {}, words);
const sup = (/** @type {Child} */ words) => h("sup", {}, words);
const i = (/** @type {string} */ letter) => h("i", {}, letter);

/** @type {Record<string, (row: Row) => { formula: Child, words: string }>} */
const ROWS = {
  Conv: ({ constants: { kernel, stride, padding }, entering, maps }) => ({
    formula: [i("z"), " = ", i("b"), " + Σ ", i("w"), " · ", i("x")],
    words:
      `Each of ${whole(maps)} kernels slides over ${whole(entering.maps)} maps in steps of ${stride}. ` +
      `It multiplies a window of ${kernel} × ${kernel} values by its weights and adds them up, with a bias` +
      `${padding ? `; ${padding} zeros surround the map` : ""}.`,
  }),
  Local: ({ constants: { kernel } }) => ({
    formula: [i("z"), " = ", i("b"), " + Σ ", i("w"), " · ", i("x")],
    words: `Like a convolution of ${kernel} × ${kernel}, but each place has weights of its own.`,
  }),
  Dense: ({ entering, maps }) => ({
    formula: [i("z"), " = ", i("b"), " + Σ ", i("w"), " · ", i("x")],
    words:
      `Each of the ${whole(maps)} units multiplies ${whole(entering.maps * entering.side ** 2)} values below by ` +
      "a weight each, and adds them up with a bias. Only the columns that it reads count.",
  }),
  Activation: ({ kind }) => ({
    formula: kind === "relu" ? [i("a"), " = max(0, ", i("z"), ")"] : [i("a"), ` = ${kind}(`, i("z"), ")"],
    words: kind === "relu" ? "Negative values become 0 ([A] §3.1)." : "The non-linearity.",
  }),
  Norm: ({ constants: { k, alpha, beta, size, convention } }) => ({
    formula: [
      i("b"),
      " = ",
      i("a"),
      ` / (${k} + ${alpha}${convention === "mean" ? `/${size}` : ""} · Σ `,
      i("a"),
      sup("2"),
      ")",
      sup(String(beta)),
    ],
    words: `The sum runs over ${size} neighbouring maps at the same place: strong neighbours damp a value ([A] §3.3).`,
  }),
  SpatialNorm: ({ constants: { k, alpha, beta, size } }) => ({
    formula: [
      i("b"),
      " = ",
      i("a"),
      ` / (${k} + ${alpha}/${size}`,
      sup("2"),
      " · Σ ",
      i("a"),
      sup("2"),
      ")",
      sup(String(beta)),
    ],
    words: `The sum runs over ${size} × ${size} neighbours in the same map.`,
  }),
  BatchNorm: () => ({
    formula: [i("y"), " = ", i("γ"), " · (", i("x"), " − mean) / deviation + ", i("β")],
    words: "Each map is shifted and scaled by numbers learned in training.",
  }),
  Pool: ({ kind, constants: { kernel, stride } }) => ({
    formula: [i("p"), kind.startsWith("max") ? " = max " : " = mean ", i("b"), sub(`${kernel}×${kernel}`)],
    words:
      `The ${kind.startsWith("max") ? "largest" : "mean"} value of each window of ${kernel} × ${kernel}, ` +
      `in steps of ${stride}` +
      `${Number(stride) < Number(kernel) ? ": the windows overlap ([A] §3.4)" : ""}.`,
  }),
  Dropout: ({ constants: { keep } }) => ({
    formula: [i("y"), ` = ${keep} · `, i("x")],
    words:
      `In training each unit is left out with probability ${1 - Number(keep)}; here all take part, and each counts ` +
      `${keep} times ([A] §4.2).`,
  }),
  Softmax: ({ maps }) => ({
    formula: [i("p"), sub("k"), " = e", sup(["z", sub("k")]), " / Σ e", sup(["z", sub("j")])],
    words: `Turns ${whole(maps)} values into probabilities: positive, and together 1. The bars show the largest.`,
  }),
};

/** Everything about a row, for its explanation and its panel. @param {Row} row @returns {Child[]} */
export function aboutRow(row) {
  const { formula, words } = ROWS[row.row](row);
  const shapes = `${shapeOf(row.entering)} → ${shapeOf(row)}`;
  return [
    h("p", { class: "shapes" }, h("strong", {}, row.name), ` ${row.kind}, ${shapes}`),
    h("p", { class: "row-formula" }, formula),
    h("p", {}, words),
  ];
}

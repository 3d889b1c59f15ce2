/** A window of numbers as a grid of cells. One cell is chosen, by the pointer or with the arrow keys. */

import { h } from "./dom.js";
import { figures, signedFigures } from "./text.js";

/** Windows of at most so many rows show their numbers. */
const READABLE = 5;

/**
 * @typedef {object} Matrix
 * @property {HTMLElement} element
 * @property {(row: number, column: number) => void} mark the chosen cell
 */

/**
 * `kind`: "grey", values as brightness; "signed", squares whose area is the magnitude, hollow where negative; or the
 * colour of pixels.
 * @param {object} options
 * @param {string} options.title
 * @param {(number|null)[][]} options.values
 * @param {"grey"|"signed"|"red"|"green"|"blue"} options.kind
 * @param {number} [options.most] the magnitude of the largest square
 * @param {[number, number]|null} [options.winner]
 * @param {[number, number][]} [options.edited]
 * @param {(row: number, column: number) => void} options.onchoose
 * @returns {Matrix}
 */
export function matrix({ title, values, kind, most, winner, edited = [], onchoose }) {
  const known = values.flat().filter((value) => value !== null);
  const largest = most ?? Math.max(...known.map(Math.abs), 1e-12);
  const [low, high] =
    kind === "grey" ? [Math.min(0, ...known), Math.max(...known, Math.min(0, ...known) + 1e-12)] : [0, 255];
  const plain = values.length > READABLE || (values[0]?.length ?? 0) > READABLE;

  /** @param {number|null} value @param {number} row @param {number} column */
  function cell(value, row, column) {
    if (value === null) return h("span", { class: "cell beyond", title: "beyond the edge" });
    const classes = ["cell"];
    if (winner?.[0] === row && winner[1] === column) classes.push("winner");
    if (edited.some(([r, c]) => r === row && c === column)) classes.push("edited");
    const button = h("button", {
      type: "button",
      class: classes.join(" "),
      tabindex: -1,
      title: `row ${row}, column ${column}: ${figures(value)}`,
      "aria-label": `row ${row}, column ${column}: ${figures(value)}`,
      onclick: () => onchoose(row, column),
    });
    if (kind === "signed") {
      const square = h("i", { class: value < 0 ? "square less" : "square more", "aria-hidden": "true" });
      square.style.width =
        square.style.height = `${100 * Math.sqrt(Math.min(1, Math.abs(value) / largest))}%`;
      button.append(h("span", { class: "room" }, value !== 0 && square));
    } else {
      const level = Math.round((255 * (value - low)) / (high - low || 1));
      button.style.backgroundColor = shade(kind, level);
      button.style.color = dark(kind, level) ? "#fff" : "#000";
    }
    if (!plain) button.append(h("b", {}, kind === "signed" ? signedFigures(value) : figures(value)));
    return button;
  }

  const rows = values.map((line, row) =>
    h(
      "div",
      { class: "cells" },
      line.map((value, column) => cell(value, row, column)),
    ),
  );
  const grid = h(
    "div",
    {
      class: `matrix ${kind === "signed" ? "signed" : "pixels"}${plain ? " plain-cells" : ""}`,
      role: "group",
      "aria-label": title,
      onkeydown: move,
    },
    rows,
  );
  const at = (/** @type {number} */ row, /** @type {number} */ column) =>
    /** @type {HTMLElement|undefined} */ (rows[row]?.children[column]);

  /** @param {number} row @param {number} column */
  function mark(row, column) {
    for (const one of grid.querySelectorAll(".chosen")) {
      one.classList.remove("chosen");
      one.setAttribute("tabindex", "-1");
    }
    at(row, column)?.classList.add("chosen");
    if (at(row, column) instanceof HTMLButtonElement) at(row, column)?.setAttribute("tabindex", "0");
  }

  /** @param {KeyboardEvent} event */
  function move(event) {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!step || !(event.target instanceof HTMLElement)) return;
    event.stopPropagation(); // on the page the arrows lead to the next step
    event.preventDefault();
    const line = event.target.closest(".cells");
    let row = rows.indexOf(/** @type {HTMLDivElement} */ (line)) + step[0];
    let column = [...(line?.children ?? [])].indexOf(event.target) + step[1];
    while (at(row, column)?.classList.contains("beyond")) [row, column] = [row + step[0], column + step[1]];
    const next = at(row, column);
    if (!next) return;
    onchoose(row, column);
    next.focus();
  }

  return { element: h("figure", { class: "window" }, h("figcaption", {}, title), grid), mark };
}

/** @param {string} kind @param {number} level */
function shade(kind, level) {
  const [r, g, b] = { red: [1, 0, 0], green: [0, 1, 0], blue: [0.25, 0.4, 1] }[kind] ?? [1, 1, 1];
  return `rgb(${Math.round(r * level)} ${Math.round(g * level)} ${Math.round(b * level)})`;
}

/** Whether white can be read on it. @param {string} kind @param {number} level */
function dark(kind, level) {
  return level < ({ red: 235, green: 125, blue: 175 }[kind] ?? 118);
}

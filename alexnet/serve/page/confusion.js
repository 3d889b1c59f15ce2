/** The confusion matrix: which classes are taken for which; a cell leads to its pictures. */

import { get } from "./api.js";
import { h } from "./dom.js";
import { figure } from "./figure.js";
import { pages } from "./gallery.js";
import { go, note } from "./navigate.js";
import { outOf, whole } from "./text.js";

/**
 * @typedef {import("./gallery.js").Shelf} Shelf
 * @typedef {object} Matrix
 * @property {number[]} classes their numbers
 * @property {number[][]} counts of the pictures of each class (rows) those with each answer
 * @property {number[]} elsewhere answers that are none of the classes
 * @property {boolean} whole
 * @property {{ true: number, predicted: number, count: number, pictures: number }[]} pairs
 * @property {number} confused how many pairs there are
 */

/** @param {Shelf} shelf @param {URLSearchParams} query */
export async function confusion(shelf, query) {
  const { run, split, signal } = shelf;
  const classes = query.get("classes") ?? "";
  /** @type {Matrix} */
  const matrix = await get(`api/sides/own/errors/matrix?${new URLSearchParams({ split, classes })}`, signal);
  const cell = h("section", { id: "cell", hidden: true });
  const table = grid(run, matrix, query);

  /** Show the pictures of a cell below the matrix. @param {string} from @param {string} to */
  async function open(from, to) {
    for (const link of table.querySelectorAll("a")) {
      if (link.dataset.cell === `${from} ${to}`) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    cell.hidden = false;
    await cellPictures(cell, shelf, from, to, matrix);
  }

  /** @param {MouseEvent} event a click on a cell or a pair */
  async function chosen(event) {
    const link = event.target instanceof Element ? event.target.closest("a[data-cell]") : null;
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    event.stopPropagation(); // no other page: it opens here
    const [from, to] = /** @type {HTMLElement} */ (link).dataset.cell?.split(" ") ?? [];
    note({ true: from, answered: to, at: null });
    await open(from, to);
    cell.scrollIntoView({ block: "start" });
    cell.querySelector("h2")?.focus({ preventScroll: true });
  }

  const [from, to] = [query.get("true"), query.get("answered")];
  if (from !== null && to !== null) await open(from, to);
  return h(
    "div",
    { onclick: chosen },
    figure([!matrix.whole && chooser(run, matrix, query), table], {
      id: "matrix",
      title: "Confusion matrix",
      words:
        "A row for each class, a column for each answer: how many pictures of the class got it. ✓ marks right " +
        "answers, on the diagonal. Choose a cell to see its pictures; arrow keys move between cells.",
      json: () => ({ ...matrix, names: matrix.classes.map((number) => run.classes[number]) }),
      name: "confusion",
    }),
    cell,
    pairs(run, matrix, query),
  );
}

/** The address of a cell's pictures. @param {URLSearchParams} query @param {number} from @param {number} to */
function cellAddress(query, from, to) {
  const wanted = new URLSearchParams(query);
  wanted.set("show", "matrix");
  wanted.set("true", String(from));
  wanted.set("answered", String(to));
  wanted.delete("at");
  return `errors?${wanted}`;
}

/** @param {Run} run @param {Matrix} matrix @param {URLSearchParams} query */
function grid(run, { classes, counts, elsewhere, whole: all }, query) {
  const names = classes.map((number) => run.classes[number]);
  const link = (/** @type {number} */ row, /** @type {number} */ column) => {
    const [count, total] = [counts[row][column], counts[row].reduce((a, b) => a + b, elsewhere[row])];
    if (!count) return h("td", { role: "gridcell" }, "");
    const right = row === column;
    const [from, to] = [classes[row], classes[column]];
    const words = `${names[row]}, ${right ? "right" : `taken for ${names[column]}`}: ${outOf(count, total)}`;
    const content = right ? [h("span", { "aria-hidden": "true" }, "✓"), whole(count)] : whole(count);
    const element = h(
      "a",
      {
        href: cellAddress(query, from, to),
        tabindex: "-1",
        "aria-label": words,
        title: words,
        "data-cell": `${from} ${to}`,
      },
      content,
    );
    const cell = h("td", { role: "gridcell", class: right ? "right" : "wrong" }, element);
    cell.style.setProperty("--share", `${Math.round((100 * count) / total)}%`);
    return cell;
  };
  const head = h(
    "tr",
    {},
    h("td", { class: "corner" }, "class ↓ answer →"),
    names.map((name) => h("th", { scope: "col" }, h("span", {}, name))),
    !all && h("th", { scope: "col" }, h("span", {}, "others")),
  );
  const body = names.map((name, row) =>
    h(
      "tr",
      {},
      h("th", { scope: "row", title: name }, name),
      names.map((_, column) => link(row, column)),
      !all && h("td", {}, elsewhere[row] ? whole(elsewhere[row]) : ""),
    ),
  );
  const table = h(
    "table",
    { class: "confusion", role: "grid", "aria-label": "Pictures by class and answer" },
    h("thead", {}, head),
    h("tbody", {}, body),
  );
  rove(table);
  return h(
    "div",
    {},
    h("p", { class: "scroll-hint" }, "Scroll sideways to see all answers."),
    h("div", { class: "scroll" }, table),
  );
}

/** One tab stop for all cells; arrow keys go to the next cell that has pictures. @param {HTMLTableElement} table */
function rove(table) {
  const links = () => [...table.querySelectorAll("a")];
  const first = table.querySelector("a[aria-current]") ?? table.querySelector("a");
  first?.setAttribute("tabindex", "0");
  table.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    const here = event.target instanceof Element ? event.target.closest("td") : null;
    if (!way || !here) return;
    event.preventDefault();
    const at = (/** @type {HTMLTableCellElement} */ cell) => [
      /** @type {HTMLTableRowElement} */ (cell.parentElement).rowIndex,
      cell.cellIndex,
    ];
    const [row, column] = at(here);
    const ahead = links()
      .map((link) => ({ link, place: at(/** @type {HTMLTableCellElement} */ (link.closest("td"))) }))
      .map(({ link, place: [r, c] }) => ({ link, along: (r - row) * way[0] + (c - column) * way[1], r, c }))
      .filter(({ along, r, c }) => along > 0 && (way[0] ? c === column : r === row))
      .sort((a, b) => a.along - b.along);
    if (!ahead.length) return;
    for (const link of links()) link.setAttribute("tabindex", "-1");
    ahead[0].link.setAttribute("tabindex", "0");
    ahead[0].link.focus();
  });
}

/**
 * Which classes a part of a large matrix shows.
 * @param {Run} run
 * @param {Matrix} matrix
 * @param {URLSearchParams} query
 */
function chooser(run, { classes }, query) {
  /** @param {number[]} wanted */
  const show = (wanted) => {
    const next = new URLSearchParams(query);
    next.set("classes", wanted.join(","));
    go(`errors?${next}`);
  };
  const chip = (/** @type {number} */ number) =>
    h(
      "li",
      {},
      h(
        "button",
        {
          type: "button",
          "aria-label": `Take ${run.classes[number]} out`,
          onclick: () => show(classes.filter((one) => one !== number)),
        },
        `${run.classes[number]} ×`,
      ),
    );
  const input = h("input", {
    list: "all-classes",
    "aria-label": "A class to add",
    placeholder: "class to add",
  });
  const add = () => {
    const number = run.classes.indexOf(input.value.trim());
    if (number >= 0 && !classes.includes(number)) show([...classes, number]);
  };
  const options = run.classes.map((name) => h("option", { value: name }));
  return h(
    "div",
    { class: "part" },
    h("p", { class: "soft" }, `${classes.length} of ${whole(run.classes.length)} classes:`),
    h("ul", { class: "chips" }, classes.map(chip)),
    h(
      "form",
      { onsubmit: (/** @type {Event} */ event) => (event.preventDefault(), add()) },
      input,
      h("datalist", { id: "all-classes" }, options),
      h("button", {}, "Add"),
    ),
  );
}

/**
 * The pictures of a cell.
 * @param {HTMLElement} place
 * @param {Shelf} shelf
 * @param {string} from
 * @param {string} to
 * @param {Matrix} matrix
 */
async function cellPictures(place, shelf, from, to, { pairs }) {
  const [label, answer] = [shelf.run.classes[Number(from)], shelf.run.classes[Number(to)]];
  const all = pairs.find((pair) => pair.true === Number(from))?.pictures;
  const filters = { true: from, answered: to, order: "worst" };
  const found = pages(shelf, filters, ({ total }) =>
    all ? `${outOf(total, all)} pictures of ${label}` : `${whole(total)} pictures of ${label}`,
  );
  const title = from === to ? `${label}, answered rightly` : `${label} taken for ${answer}`;
  place.replaceChildren(h("h2", { tabindex: "-1" }, title), found.element);
  await found.ready;
}

/** The pairs that are confused most. @param {Run} run @param {Matrix} matrix @param {URLSearchParams} query */
function pairs(run, { pairs, confused }, query) {
  if (!pairs.length) return h("p", {}, "No picture got a wrong answer.");
  const one = (/** @type {Matrix["pairs"][0]} */ pair) =>
    h(
      "li",
      {},
      h(
        "a",
        {
          href: cellAddress(query, pair.true, pair.predicted),
          "data-cell": `${pair.true} ${pair.predicted}`,
        },
        `${run.classes[pair.true]} taken for ${run.classes[pair.predicted]}`,
      ),
      " ",
      h("span", {}, outOf(pair.count, pair.pictures)),
    );
  const more = confused > pairs.length ? `The first ${pairs.length} of ${whole(confused)} pairs. ` : "";
  const words = `${more}The share is of the pictures of the class.`;
  return h(
    "section",
    { id: "pairs" },
    h("h2", {}, "Most confused"),
    h("p", { class: "soft" }, words),
    h("ol", { class: "pairs" }, pairs.map(one)),
  );
}

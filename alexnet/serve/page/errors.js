/** What the network gets wrong: matrix, worst pictures, suspected labels, all pictures, a map; and a person's marks. */

import { get } from "./api.js";
import { confusion } from "./confusion.js";
import { h } from "./dom.js";
import { command, figure } from "./figure.js";
import { gallery, pages } from "./gallery.js";
import { pictureMap } from "./map.js";
import { marking } from "./marks.js";
import { go, reload } from "./navigate.js";
import { computed, passButton } from "./progress.js";
import { suspects } from "./suspects.js";
import { outOf, percent, whole } from "./text.js";

const AT_ONCE = 2000; // pictures that are classified without being asked

/**
 * @typedef {import("./gallery.js").Shelf} Shelf
 * @typedef {object} Errors
 * @property {string} split
 * @property {Record<string, number>} splits pictures of each
 * @property {{ views: number, pictures: number, wrong: number, interval: number[], seen: number|null }|null} found
 * @property {boolean} nearest whether the training pictures most like the wrong ones are known
 */

/** @type {Record<string, [string, (shelf: Shelf, query: URLSearchParams, errors: Errors) => Promise<Node>]>} */
const TABS = {
  matrix: ["Matrix", confusion],
  worst: ["Worst pictures", worst],
  suspects: ["Suspected labels", suspects],
  gallery: ["All pictures", gallery],
  map: ["Map", pictureMap],
};

/** @param {Page} page @returns {Promise<Shown>} */
export async function show({ run, query, signal }) {
  const heading = h("h1", {}, "Errors");
  if (!run.store) {
    const words = "There are no prepared pictures here. Start the explorer with --store STORE.";
    return { title: "Errors", content: h("article", {}, heading, h("p", { class: "missing" }, words)) };
  }
  const split = query.get("split") ?? run.store.split;
  const asked = query.get("show") ?? "matrix";
  const name = asked in TABS ? asked : "matrix";
  /** @type {[Errors, import("./marks.js").Marking]} */
  const [errors, marks] = await Promise.all([
    get(`api/sides/own/errors?${new URLSearchParams({ split })}`, signal),
    marking(signal),
  ]);
  const shelf = { run, split, marking: marks, signal };
  const shown = errors.found
    ? [marks.status, await TABS[name][1](shelf, query, errors)]
    : classify(errors, signal);
  const content = h(
    "article",
    { class: "errors" },
    heading,
    lead(errors, query),
    tabs(name, split, run),
    shown,
  );
  return { title: `Errors: ${TABS[name][0].toLowerCase()}`, content };
}

/** @param {Errors} errors @param {URLSearchParams} query */
function lead({ split, splits, found }, query) {
  const onchange = () => {
    const wanted = new URLSearchParams({ show: query.get("show") ?? "matrix", split: select.value });
    go(`errors?${wanted}`);
  };
  const options = Object.entries(splits).map(([name, count]) =>
    h("option", { value: name, selected: name === split }, `${name}, ${whole(count)} pictures`),
  );
  const select = h("select", { "aria-label": "Split" }, options);
  const others = Object.keys(splits).length > 1 && [
    " ",
    h("span", { class: "choose-split" }, select, h("button", { type: "button", onclick: onchange }, "Show")),
  ];
  if (!found) return h("p", { class: "lead" }, `The pictures of ${split}.`, others);
  const [low, high] = found.interval;
  const seen = found.seen ? ` The network was trained on ${outOf(found.seen, found.pictures)} of them.` : "";
  return h(
    "p",
    { class: "lead" },
    h("strong", {}, `${outOf(found.wrong, found.pictures)} wrong`),
    `, 95 % interval ${percent(low)} to ${percent(high)}; mean of ${found.views} views.${seen}`,
    others,
  );
}

/** @param {string} name @param {string} split @param {Run} run */
function tabs(name, split, run) {
  const link = (/** @type {string} */ one) => {
    const query = new URLSearchParams({ show: one, ...(split === run.store?.split ? {} : { split }) });
    return h("a", { href: `errors?${query}`, "aria-current": one === name && "page" }, TABS[one][0]);
  };
  return h("nav", { class: "views", "aria-label": "Views of the errors" }, Object.keys(TABS).map(link));
}

/**
 * Have all pictures of the split classified: few at once, many on request.
 * @param {Errors} errors
 * @param {AbortSignal} signal
 */
function classify({ split, splits }, signal) {
  const path = `api/sides/own/passes/evaluation?${new URLSearchParams({ split })}`;
  const what = `Classifying ${whole(splits[split])} pictures`;
  const words = `Every picture of ${split} is classified once by ten views; the answers are kept in the run folder.`;
  if (splits[split] > AT_ONCE) return passButton("Find the errors", words, [[what, path]], signal, reload);
  const place = h("div", { class: "missing" }, h("p", {}, words));
  computed(place, what, path, signal, { done: reload });
  return place;
}

/**
 * The wrong pictures, the lowest probability of the true class first.
 * @param {Shelf} shelf
 * @param {URLSearchParams} _
 * @param {Errors} errors
 */
async function worst(shelf, _, { nearest, found }) {
  const { run, split, signal } = shelf;
  const about = {
    id: "worst",
    title: "Worst pictures",
    words: "The wrong pictures, the lowest probability of the true class first.",
    command: command("errors", run.commands.run, run.store?.path ?? "STORE", "--split", split),
  };
  if (!found?.wrong) return figure(h("p", {}, "No picture got a wrong answer."), about);
  const wrong = pages(
    shelf,
    { right: "false", order: "worst" },
    ({ total, of }) => `${outOf(total, of)} wrong`,
  );
  await wrong.ready;
  const path = `api/sides/own/passes/nearest?${new URLSearchParams({ split })}`;
  const why =
    "Which training pictures the network takes to be most like each: a wrong label there shows up here.";
  const button =
    !nearest &&
    run.store?.splits.train &&
    passButton("Find the most alike training pictures", why, [["Training pictures", path]], signal, reload);
  return figure([button, wrong.element], about);
}

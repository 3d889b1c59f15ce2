/** Pictures with what the network takes them for: cards, pages of them, filters. */

import { address, get } from "./api.js";
import { pictureQuery, prepared } from "./chosen.js";
import { announce, h } from "./dom.js";
import { fault } from "./figure.js";
import { nameOf } from "./marks.js";
import { note } from "./navigate.js";
import { outOf, percent, whole } from "./text.js";

/**
 * @typedef {import("./marks.js").Marking} Marking
 * @typedef {{ picture: number, file: string, class: string }} Alike a training picture
 *
 * @typedef {object} Judged a picture with its answer, classes by number
 * @property {number} number
 * @property {string} file
 * @property {number} true
 * @property {number} answered
 * @property {number} true_probability
 * @property {number} answered_probability
 * @property {Alike[]|null} nearest
 *
 * @typedef {{ total: number, of: number, page: number, pages: number, pictures: Judged[] }} GalleryPage
 *
 * @typedef {object} Shelf what all pictures of a gallery have in common
 * @property {Run} run
 * @property {string} split
 * @property {Marking} marking
 * @property {AbortSignal} signal
 */

/** The living network with a prepared picture. @param {string} ident */
export const living = (ident) => `?${pictureQuery(ident)}`;

/** @param {string} split @param {number} number */
export const pictureOf = (split, number) => address(`api/store/${split}/${number}.jpg`);

/** @param {Shelf} shelf @param {Judged} picture */
export function card({ run, split, marking }, picture) {
  const { number, file, answered_probability: probability } = picture;
  const [label, answer] = [run.classes[picture.true], run.classes[picture.answered]];
  const right = picture.true === picture.answered;
  const ident = prepared(split, number);
  const verdict = right
    ? [sign(true), h("b", {}, label), ` ${percent(probability)}`]
    : [sign(false), h("b", {}, label), " taken for ", h("b", {}, answer)];
  const odds = right
    ? []
    : [`${label} ${percent(picture.true_probability)}, ${answer} ${percent(probability)}`];
  return h(
    "li",
    { class: right ? "card right" : "card wrong" },
    thumbnail(ident, split, number, file),
    h("p", { class: "verdict" }, verdict),
    odds.length > 0 && h("p", { class: "odds" }, odds),
    picture.nearest && alike(picture.nearest),
    marking.controls({ ident, file, label, likely: right ? [] : [answer] }),
  );
}

/** @param {string} ident @param {string} split @param {number} number @param {string} file */
export function thumbnail(ident, split, number, file) {
  const image = h("img", {
    src: pictureOf(split, number),
    loading: "lazy",
    width: 160,
    height: 160,
    alt: "",
  });
  const name = h("span", { class: "file", title: file }, nameOf(file));
  return h("a", { href: living(ident), title: `${file}: open it in the network` }, image, name);
}

/** A mark for right and wrong, told apart by its shape and its word. @param {boolean} right */
export const sign = (right) =>
  h(
    "span",
    { class: right ? "sign right" : "sign wrong" },
    h("span", { "aria-hidden": "true" }, right ? "✓ " : "✗ "),
    h("span", { class: "unseen" }, right ? "right: " : "wrong: "),
  );

/** @param {Alike[]} nearest */
function alike(nearest) {
  const one = (/** @type {Alike} */ { picture, file, class: name }) =>
    h(
      "a",
      { href: living(prepared("train", picture)), title: `${file}, ${name}` },
      h("img", {
        src: pictureOf("train", picture),
        loading: "lazy",
        width: 48,
        height: 48,
        alt: `like ${name}`,
      }),
      h("span", {}, name),
    );
  return h(
    "div",
    { class: "alike" },
    h("p", { class: "odds" }, "Most like these in training:"),
    nearest.map(one),
  );
}

/**
 * Pages of pictures. The element's `fetch` shows those of other filters, or another page.
 * @param {Shelf} shelf
 * @param {Record<string, string>} filters as the API names them
 * @param {(page: GalleryPage) => Child} words
 */
export function pages(shelf, filters, words) {
  const { signal, split } = shelf;
  const said = h("p", { class: "count", "aria-live": "polite" });
  const list = h("ul", { class: "cards" });
  const pager = h("nav", { class: "pager", "aria-label": "Pages of pictures" });
  const element = h("div", { class: "gallery" }, said, list, pager);
  let asked = 0;

  /** @param {Record<string, string>} wanted @param {number} page */
  async function show(wanted, page) {
    const mine = ++asked; // a later request counts
    try {
      const query = new URLSearchParams({ split, ...wanted, page: String(page) });
      /** @type {GalleryPage} */
      const found = await get(`api/sides/own/errors/pictures?${query}`, signal);
      if (mine !== asked) return;
      if (found.page >= found.pages) return show(wanted, found.pages - 1);
      said.replaceChildren(...h("p", {}, words(found)).childNodes);
      list.replaceChildren(...found.pictures.map((picture) => card(shelf, picture)));
      pager.replaceChildren(...turns(found));
      note({ at: found.page || null });
    } catch (error) {
      if (!signal.aborted) list.replaceChildren(h("li", {}, fault(error)));
    }

    /** @param {GalleryPage} found @returns {Node[]} */
    function turns({ page, pages }) {
      if (pages === 1) return [];
      const turn = (/** @type {string} */ label, /** @type {number} */ to) =>
        h("button", { type: "button", disabled: to < 0 || to >= pages, onclick: () => turned(to) }, label);
      return [
        turn("← Previous", page - 1),
        h("span", {}, `page ${whole(page + 1)} of ${whole(pages)}`),
        turn("Next →", page + 1),
      ];
    }

    /** @param {number} to */
    async function turned(to) {
      const forward = to > page;
      await show(wanted, to);
      element.scrollIntoView({ block: "start" });
      const [back, on] = pager.querySelectorAll("button");
      const next = forward && on && !on.disabled ? on : back && !back.disabled ? back : on;
      next?.focus({ preventScroll: true });
      announce(`page ${to + 1}`);
    }
  }
  return { element, ready: show(filters, Number(new URLSearchParams(location.search).get("at")) || 0), show };
}

const FILTERS = ["true", "answered", "right", "marked", "search"];

/** All pictures of the split, with filters. @param {Shelf} shelf @param {URLSearchParams} query */
export async function gallery(shelf, query) {
  const { run } = shelf;
  const classes = run.classes.map((name, number) => /** @type {[string, string]} */ ([String(number), name]));
  const chosen = Object.fromEntries(
    FILTERS.flatMap((name) => (query.get(name) ? [[name, query.get(name) ?? ""]] : [])),
  );
  const found = pages(shelf, chosen, ({ total, of }) =>
    total === of
      ? `All ${whole(of)} pictures of ${shelf.split}`
      : `${outOf(total, of)} of the pictures of ${shelf.split}`,
  );

  function changed() {
    const given = new FormData(form);
    const wanted = Object.fromEntries(
      FILTERS.map((name) => /** @type {[string, string]} */ ([name, String(given.get(name) ?? "").trim()])),
    );
    note({ ...Object.fromEntries(FILTERS.map((name) => [name, wanted[name] || null])), at: null });
    found.show(Object.fromEntries(Object.entries(wanted).filter(([, value]) => value)), 0);
  }

  /** @param {string} label @param {string} name @param {[string, string][]} options */
  const choose = (label, name, options) =>
    h(
      "label",
      {},
      label,
      h(
        "select",
        { name, onchange: changed },
        [["", "any"], ...options].map(([value, words]) =>
          h("option", { value, selected: value === (chosen[name] ?? "") }, words),
        ),
      ),
    );
  let typing = 0;
  const search = h("input", {
    type: "search",
    name: "search",
    value: chosen.search ?? "",
    placeholder: "class or file name",
    oninput: () => {
      clearTimeout(typing);
      typing = setTimeout(changed, 200);
    },
  });
  const form = h(
    "form",
    {
      class: "sieve",
      role: "search",
      onsubmit: (/** @type {Event} */ event) => (event.preventDefault(), changed()),
    },
    h("label", {}, "Search", search),
    choose("Class", "true", classes),
    choose("Answer", "answered", classes),
    choose("The answer is", "right", [
      ["true", "✓ right"],
      ["false", "✗ wrong"],
    ]),
    choose("Marked", "marked", [
      ["true", "marked"],
      ["false", "not marked"],
    ]),
  );
  await found.ready;
  return h("section", { id: "gallery" }, h("h2", {}, "All pictures"), form, found.element);
}

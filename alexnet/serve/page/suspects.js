/** Pictures whose label is suspect, as `alexnet check --run` finds them. */

import { get } from "./api.js";
import { prepared } from "./chosen.js";
import { h } from "./dom.js";
import { command, figure } from "./figure.js";
import { thumbnail } from "./gallery.js";
import { nameOf } from "./marks.js";
import { note, reload } from "./navigate.js";
import { passButton } from "./progress.js";
import { outOf, percent, whole } from "./text.js";

const SHOWN = 48;
const LEAVE_OUT = "leave out";

/**
 * @typedef {import("./gallery.js").Shelf} Shelf
 * @typedef {object} Suspect
 * @property {string} split
 * @property {string} file
 * @property {string} label
 * @property {string} suggested a class, or "leave out"
 * @property {string} why
 * @property {"yes"|"no"} apply
 * @property {number|null} label_probability
 * @property {number|null} suggested_probability
 * @property {number|null} number in its split; null if the file can't be read
 */

/** @param {Shelf} shelf @param {URLSearchParams} query */
export async function suspects(shelf, query) {
  const { run, signal, marking } = shelf;
  /** @type {{ suspects: Suspect[]|null, of: number }} */
  const found = await get("api/sides/own/errors/suspects", signal);
  const about = { title: "Suspected labels", id: "suspects", name: "suspects" };
  const made = run.store && command("check", run.store.path, "--run", run.commands.run);
  if (!found.suspects) {
    const words =
      `A classifier is fitted five times to what this network makes of all ${whole(found.of)} pictures, each time ` +
      "without a fifth of them, and judges those: a label is suspect if another class is more probable. Copies " +
      "under two labels, outliers and unreadable files are listed too.";
    const button = passButton(
      "Look for suspected labels",
      words,
      [["Suspected labels", "api/sides/own/passes/suspects"]],
      signal,
      reload,
    );
    return figure(button, { ...about, command: made ?? undefined });
  }
  const all = found.suspects;
  const list = h("ul", { class: "cards" });
  const more = h("button", { type: "button", onclick: () => draw(SHOWN) }, "Show more");
  let shown = 0;
  /** @param {number} count */
  function draw(count) {
    list.append(...all.slice(shown, shown + count).map((one) => card(one, marking)));
    shown = Math.min(all.length, shown + count);
    more.hidden = shown === all.length;
    note({ shown: shown > SHOWN ? shown : null });
  }
  draw(Number(query.get("shown")) || SHOWN);
  const words =
    `${outOf(all.length, found.of)} of the pictures of all splits, the most suspect first. Pictures with the ` +
    "right label are among them: look before you mark.";
  return figure([list, more], { ...about, words, json: () => all, command: made ?? undefined });
}

/** @param {Suspect} one @param {import("./marks.js").Marking} marking */
function card({ split, file, label, suggested, why, number, ...odds }, marking) {
  const out = suggested === LEAVE_OUT;
  const ident = number === null ? null : prepared(split, number);
  const said =
    odds.label_probability === null || odds.suggested_probability === null
      ? why
      : `${label} ${percent(odds.label_probability)}, ${out ? "another class" : suggested} ` +
        `${percent(odds.suggested_probability)}; ${reason(why)}`;
  return h(
    "li",
    { class: "card suspect" },
    ident && number !== null
      ? thumbnail(ident, split, number, file)
      : h("span", { class: "file", title: file }, nameOf(file)),
    h(
      "p",
      { class: "verdict" },
      label && h("b", {}, label),
      out ? " – leave it out?" : [" – or ", h("b", {}, suggested), "?"],
    ),
    h("p", { class: "odds" }, `${said} (${split})`),
    ident && marking.controls({ ident, file, label, likely: out ? [] : [suggested] }),
  );
}

/** @param {string} why */
const reason = (why) => ({ label: "not sure", "label, confident": "rather sure" })[why] ?? why;

/** Why: an answer as a sum over units and maps, what changes without some of them, and which pixels it rests on. */

import { address, get } from "./api.js";
import { attributions } from "./attributions.js";
import { chooser } from "./choose.js";
import { chosenPicture, pictureQuery } from "./chosen.js";
import { announce, h } from "./dom.js";
import { command, fault, figure } from "./figure.js";
import { legend, overlaid } from "./levels.js";
import { go, note } from "./navigate.js";
import { picker } from "./pick.js";
import { preparation } from "./prepare.js";
import { figures, percent, signed, whole } from "./text.js";

/**
 * @typedef {{ unit: number, added: number }} Added
 * @typedef {object} LayerSplit
 * @property {string} layer
 * @property {number} units
 * @property {number} contributing units that add something
 * @property {boolean} maps
 * @property {boolean} faces whether it is known what activates its units
 * @property {Added[]} strongest
 * @property {number} others
 * @property {number} biases
 * @property {number} remainder
 * @property {string[]} curved
 * @property {import("./levels.js").Levels|null} where
 */

/**
 * @typedef {object} Split
 * @property {number} number of the class
 * @property {string} target
 * @property {string|null} against
 * @property {string} what
 * @property {number} answer
 * @property {number} probability
 * @property {number} most_probable
 * @property {LayerSplit[]} layers
 * @property {Record<string, Added[]>} paths
 * @property {import("./attributions.js").Method[]} methods
 */

/** @typedef {{ number: number, class: string, before: number, after: number, logit_change: number }} Changed */

/** @param {Page} page @returns {Promise<Shown>} */
export async function show(page) {
  const { run, query, signal } = page;
  const looked = await chosenPicture(page);
  const choose = chooser(run, (chosen) => go(`why?${chosen}`), signal);
  if (!looked) return { title: "Why", content: h("article", {}, heading(), choose) };
  const [target, against] = ["class", "against"].map((name) => classNumber(run, query.get(name)));
  const asked = new URLSearchParams();
  if (target !== null) asked.set("class", String(target));
  if (against !== null) asked.set("against", String(against));
  /** @type {Split} */
  const split = await get(`${looked.api}/contributions?${asked}`, signal);
  const content = h(
    "article",
    { class: "why" },
    heading(),
    sentence(looked, split),
    questions(looked, split, against),
    sums(looked, split, query),
    split.layers.some((one) => !one.faces) && preparation(run, signal, showFaces),
    attributions(looked, split, query),
    h("section", {}, h("h2", {}, "Another picture"), choose),
  );
  return { title: `Why ${split.target}`, content };
}

function heading() {
  const lead =
    "The last layer is linear, so a class's logit is a sum: each unit below adds its activation times one weight.";
  return [h("h1", {}, "Why this answer?"), h("p", { class: "lead" }, lead)];
}

/**
 * A class by name, or by its number where names are not unique.
 * @param {Run} run
 * @param {string|null} word
 */
function classNumber({ classes }, word) {
  if (word === null) return null;
  const found = classes.indexOf(word);
  if (found >= 0) return found;
  return /^\d+$/.test(word) && Number(word) < classes.length ? Number(word) : null;
}

/** @param {Run} run @param {number} number */
export function classWord({ classes }, number) {
  return classes.indexOf(classes[number]) === number ? classes[number] : String(number);
}

/** @param {Looked} looked @param {Split} split */
function sentence({ run, name }, { number, target, against, what, answer, probability, most_probable }) {
  const rank =
    number === most_probable ? "the network's answer" : `the answer is ${run.classes[most_probable]}`;
  const than = against ? ` rather than ${against}` : "";
  return h(
    "p",
    {},
    h("strong", {}, `${target}${than}`),
    ` for ${name}: probability ${percent(probability)} (${rank}), ${what} `,
    h("strong", {}, signed(answer)),
    ".",
  );
}

/** @param {Looked} looked @param {Split} split @param {number|null} against */
function questions({ run, upload, name }, split, against) {
  const query = new URLSearchParams(pictureQuery(upload.id, upload.class ? undefined : name));
  const ask = (/** @type {number} */ target, /** @type {number|null} */ other) => {
    const changed = new URLSearchParams(query);
    changed.set("class", classWord(run, target));
    if (other !== null && other !== target) changed.set("against", classWord(run, other));
    const kept = new URLSearchParams(location.search);
    for (const key of ["off", "methods"]) if (kept.has(key)) changed.set(key, kept.get(key) ?? "");
    go(`why?${changed}`);
  };
  /** @type {[string, string][]} */
  const classes = run.classes.map((one, number) => [
    String(number),
    one + (number === split.most_probable ? " (the answer)" : one === upload.class ? " (its label)" : ""),
  ]);
  /** @type {[string, string][]} */
  const others = [["", "–"], ...classes.filter(([number]) => Number(number) !== split.number)];
  return h(
    "div",
    { class: "pickers" },
    picker("Why", classes, String(split.number), (chosen) => ask(Number(chosen), against)),
    picker("rather than", others, against === null ? "" : String(against), (chosen) =>
      ask(split.number, chosen ? Number(chosen) : null),
    ),
  );
}

// ── the sums, and switches ───────────────────────────────────────────────────────────────────────────────────────

/** @param {Looked} looked @param {Split} split @param {URLSearchParams} query */
function sums(looked, split, query) {
  const { run, api, signal } = looked;
  const off = new Set((query.get("off") ?? "").split(",").filter(Boolean)); // "fc7:12"
  const answers = h("div", { class: "changed", "aria-live": "polite" });
  /** @type {Map<string, HTMLButtonElement>} */
  const switches = new Map();
  let asked = 0;

  async function renew() {
    const own = ++asked;
    const edits = [...off].map((unit) => `${unit}=0`).join(" ") || `${split.layers[0].layer}:0*1`; // nothing changed
    const path = `${api}/intervention?${new URLSearchParams({ edits, class: String(split.number) })}`;
    try {
      /** @type {{ classes: Changed[] }} */
      const { classes } = await get(path, signal);
      if (own === asked) answers.replaceChildren(changed(classes, split.number, off, clear));
    } catch (error) {
      if (!signal.aborted) answers.replaceChildren(fault(error));
    }
  }

  /** @param {string} unit */
  function turn(unit) {
    if (!off.delete(unit)) off.add(unit);
    switches.get(unit)?.setAttribute("aria-checked", String(!off.has(unit)));
    note({ off: off.size ? [...off].join(",") : null });
    renew();
  }

  function clear() {
    for (const unit of [...off]) {
      off.delete(unit);
      switches.get(unit)?.setAttribute("aria-checked", "true");
    }
    note({ off: null });
    announce("All units are on again.");
    renew();
  }

  /** @param {string} layer @param {number} unit */
  function onOff(layer, unit) {
    const key = `${layer}:${unit}`;
    const button = h("button", {
      type: "button",
      role: "switch",
      class: "switch",
      "aria-label": `${layer} ${unit} is on`,
      onclick: () => turn(key),
    });
    button.setAttribute("aria-checked", String(!off.has(key)));
    switches.set(key, button);
    return button;
  }

  renew();
  const where = split.layers.find((one) => one.where);
  const view = address(`${api}/view.jpg`);
  const seen = where?.where
    ? overlaid(view, where.where, "of logit at a position", `Where ${where.layer} takes it from`)
    : h("img", { class: "view", src: view, alt: `What the network sees of ${looked.name}` });
  const title = where && h("h3", {}, `Where ${where.layer} takes it from`);
  const picture = h("div", { class: "seen" }, title, seen, where && legend());
  const lists = split.layers.map((one, place) => layerSum(looked, split, one, place, onOff));
  const content = h(
    "div",
    { class: "sums" },
    h("div", { class: "aside" }, picture, answers),
    h("div", { class: "splits" }, lists),
  );
  return figure(content, {
    id: "sums",
    title: `What adds up to ${split.answer < 0 ? "it" : signed(split.answer)}`,
    words:
      "Each line is a unit or a map: the patch that it likes best, what it adds to the logit, and a switch. " +
      "Switch it off, and the answer is computed without it.",
    json: () => split,
    command: command("see", "contributions", run.commands.run, "PICTURE", "--true", split.target),
    name: `${run.name}-contributions`,
  });
}

/**
 * @param {Looked} looked
 * @param {Split} split
 * @param {LayerSplit} one
 * @param {number} place
 * @param {(layer: string, unit: number) => Node} onOff
 */
function layerSum({ run, api }, split, one, place, onOff) {
  const most = Math.max(...one.strongest.map(({ added }) => Math.abs(added)), 1e-9);
  const rows = one.strongest.map(({ unit, added }) =>
    h(
      "li",
      { class: added < 0 ? "minus" : "plus" },
      face(run, api, one, unit),
      h(
        "div",
        { class: "added-line" },
        h("a", { href: `layer/${one.layer}/unit/${unit}` }, `${one.layer} · ${unit}`),
        h("span", { class: "added" }, signed(added)),
        bar(added, most),
        place === 0 && split.paths[unit] && h("small", {}, through(split, unit)),
      ),
      onOff(one.layer, unit),
    ),
  );
  const turn = one.strongest.findIndex(({ added }) => added < 0);
  if (turn > 0) rows.splice(turn, 0, h("li", { class: "gap", "aria-hidden": "true" }, "⋮"));
  const rest = one.contributing - one.strongest.length;
  const kind = one.maps ? "map" : "unit";
  /** @type {[string, number][]} */
  const last = [
    [`${whole(Math.max(0, rest))} other ${kind}${rest === 1 ? "" : "s"} that add something`, one.others],
    ["biases on the way", one.biases],
    [
      one.curved.length ? `remainder: ${one.curved.join(", ")} can't be split` : "remainder (rounding)",
      one.remainder,
    ],
  ];
  const shown = last.filter(([words, value]) => !words.startsWith("remainder (") || Math.abs(value) >= 0.005);
  return h(
    "section",
    { class: "split" },
    h(
      "h3",
      {},
      one.layer,
      " ",
      h(
        "small",
        {},
        `${whole(one.units)} ${kind}s, ${whole(one.contributing)} add something; the longest bar is ${figures(most)}`,
      ),
    ),
    h("ol", { class: "sum" }, rows),
    h(
      "dl",
      { class: "rest" },
      shown.map(([words, value]) => [h("dt", {}, words), h("dd", {}, signed(value))]),
      h("dt", {}, h("strong", {}, split.what)),
      h("dd", {}, h("strong", {}, signed(split.answer))),
    ),
  );
}

/**
 * What a unit stands for: the patch that it likes best, once that is known, and of a map what this picture makes of it.
 * @param {Run} run
 * @param {string} api
 * @param {LayerSplit} one
 * @param {number} unit
 */
function face(run, api, { layer, faces, maps }, unit) {
  const tile = `api/sides/own/layers/${layer}/units/${unit}/tile.png?v=${run.version}t`;
  return h(
    "span",
    { class: "best-patch" },
    faces ? small(tile) : h("span", { class: "blank", "data-src": tile }),
    maps && small(`${api}/maps/${layer}/${unit}.png`),
  );
}

/** @param {string} path */
function small(path) {
  return h("img", { src: address(path), width: 44, height: 44, loading: "lazy", alt: "" });
}

/** Called when a pass over the pictures is finished. @param {string} what */
function showFaces(what) {
  if (what !== "top") return;
  for (const blank of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-src]")))
    blank.replaceWith(small(blank.dataset.src ?? ""));
}

/** @param {number} value @param {number} most */
function bar(value, most) {
  const part = h("i", {});
  part.style.width = `${(50 * Math.abs(value)) / most}%`;
  part.style[value < 0 ? "right" : "left"] = "50%";
  return h("span", { class: "bar-signed", "aria-hidden": "true" }, part);
}

/** @param {Split} split @param {number} unit */
function through({ layers, paths }, unit) {
  const lower = layers[1]?.layer;
  return `of it through ${lower}: ${paths[unit].map(({ unit, added }) => `${unit} ${signed(added)}`).join(", ")}`;
}

/**
 * The most probable classes with all units, and without those that are off.
 * @param {Changed[]} classes
 * @param {number} target
 * @param {Set<string>} off
 * @param {() => void} clear
 */
function changed(classes, target, off, clear) {
  const line = (/** @type {Changed} */ one) => {
    const [after, before] = [h("i", { "aria-hidden": "true" }), h("b", { "aria-hidden": "true" })];
    after.style.width = `${100 * one.after}%`;
    before.style.left = `${100 * one.before}%`;
    const was =
      off.size > 0 && h("small", {}, ` was ${percent(one.before)}, logit ${signed(one.logit_change)}`);
    return h(
      "li",
      { class: one.number === target && "asked" },
      after,
      off.size > 0 && before,
      h("span", {}, one.class, was),
      h("span", {}, percent(one.after)),
    );
  };
  const count = `${off.size} ${off.size === 1 ? "unit" : "units"} off`;
  const button = h("button", { type: "button", onclick: clear }, "Switch all on");
  return h(
    "div",
    {},
    h("h3", {}, off.size ? `The answer with ${count}` : "The answer"),
    h("ol", { class: "bars" }, classes.slice(0, 6).map(line)),
    off.size > 0 && button,
  );
}

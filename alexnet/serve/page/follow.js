/** Follow one number: from a pixel through every row to the answer, with what each row reads and computes. */

import { get } from "./api.js";
import { chooser } from "./choose.js";
import { chosenPicture, followQuery } from "./chosen.js";
import { announce, h } from "./dom.js";
import { fault } from "./figure.js";
import { ALL, alongPath, edited, expanded, same, softmax, withIncoming } from "./follow_numbers.js";
import { named, mapName, shownStep, softmaxStep } from "./follow_steps.js";
import { go, note } from "./navigate.js";
import { passage } from "./paper.js";
import { pixels } from "./pixels.js";
import { figures, percent, signedFigures } from "./text.js";
import { terms } from "./tips.js";

/** @typedef {import("./follow_numbers.js").Step} Step */
/** @typedef {import("./follow_numbers.js").Place} Place */
/** @typedef {import("./follow_numbers.js").Edit} Edit */
/** @typedef {import("./follow_numbers.js").UnitAt} UnitAt */
/** @typedef {{ steps: Step[], answer: { logits: number[], temperature: number }|null }} Path */
/**
 * What a change did, through the whole network.
 * @typedef {{ values: Record<string, number>, logits: number[]|null }} Changed
 */

const PAUSE = 250; // milliseconds after the last edit until the network is asked
const SOFTMAX = "softmax";

/** @param {Page} page @returns {Promise<Shown>} */
export async function show(page) {
  const title = "Follow one number";
  const looked = await chosenPicture(page);
  if (!looked) {
    const lead =
      "Choose a picture. Then watch one of its numbers on its way: the pixels and weights that make it, what becomes " +
      "of it in every row, and what it adds to the answer.";
    const look = (/** @type {string} */ query) => go(`follow?${query}`);
    const heading = [h("h1", {}, title), h("p", { class: "lead" }, lead)];
    return { title, content: h("article", {}, heading, chooser(page.run, look, page.signal)) };
  }
  const number = new Followed(looked, page.query);
  await number.load();
  return { title, content: number.element };
}

/** `conv1.3.5.7`, as the API names units. @param {UnitAt} unit */
const unitName = ({ layer, unit, at }) => [layer, unit, ...(at ?? [])].join(".");

/** @param {string} words @returns {Edit[]} of weight.0.2.1=0.5,… */
function editsIn(words) {
  return [...words.matchAll(/(input|weight)\.(\d+)\.(?:(\d+)\.(\d+)|\*)=([-+.\deE]+)/g)].map((found) => ({
    what: found[1] === "weight" ? "weight" : "input",
    place: [Number(found[2]), Number(found[3] ?? ALL), Number(found[4] ?? ALL)],
    number: Number(found[5]),
  }));
}

/** @param {Edit[]} edits */
const editWords = (edits) =>
  edits
    .map(
      ({ what, place, number }) =>
        `${what}.${place[1] === ALL ? `${place[0]}.*` : place.join(".")}=${number}`,
    )
    .join(",");

/** The page: a path of steps, one of which is shown. */
class Followed {
  /** @param {Looked} looked @param {URLSearchParams} query */
  constructor(looked, query) {
    this.looked = looked;
    const [layer, unit, row, column] = ["layer", "unit", "row", "column"].map((name) => query.get(name));
    /** The number that was clicked, as the API names it; "" for the logit of the most probable class. */
    this.anchor = layer ? [layer, unit ?? 0, ...(row && column ? [row, column] : [])].join(".") : "";
    /** @type {string[]} units that the path was led through */
    this.via = (query.get("via") ?? "").split(",").filter(Boolean);
    this.shown = query.get("step") ?? layer ?? looked.run.network.layers[0].name;
    /** @type {string} the row in which numbers were changed */
    this.editedRow = query.get("changed") ?? "";
    this.edits = editsIn(query.get("edits") ?? "");
    /** @type {Path} */
    this.path = { steps: [], answer: null };
    /** @type {Changed|null} */
    this.changed = null;
    /** @type {Place|null} */
    this.chosen = null;
    this.waiting = 0;
    this.trail = h("ol", { class: "trail" });
    this.stage = h("section", { class: "follow-step", "aria-live": "off" });
    this.effect = h("section", { class: "effect" });
    this.editor = h("div", { class: "editor" });
    this.said = h("output", { "aria-live": "polite" });
    this.others = h("div", {});
    this.lead = h("p", { class: "lead" });
    this.element = h(
      "article",
      { class: "follow" },
      h("h1", {}, "Follow one number"),
      this.lead,
      h("nav", { "aria-label": "Steps" }, this.trail, this.stepButtons()),
      this.stage,
      this.editor,
      this.effect,
      this.others,
    );
    document.addEventListener("keydown", (event) => this.onkey(event), { signal: looked.signal });
  }

  async load() {
    const query = new URLSearchParams({ unit: this.anchor, via: this.via.join() });
    this.path = await get(`${this.looked.api}/follow?${query}`, this.looked.signal);
    const { steps } = this.path;
    const anchor = steps.find((one) => one.layer === this.anchor.split(".")[0]) ?? steps[steps.length - 1];
    this.anchor = unitName(anchor);
    if (!this.place(this.shown)) this.shown = anchor.layer;
    const row = anchor.at?.[0] ?? null;
    note({ layer: anchor.layer, unit: anchor.unit, row, column: anchor.at?.[1] ?? null, step: this.shown });
    if (!steps.some((one) => one.layer === this.editedRow)) this.edits = [];
    this.render();
    if (this.edits.length) this.askNetwork();
  }

  get count() {
    const { steps, answer } = this.path;
    return steps.length + (answer && this.reachesAnswer ? 1 : 0);
  }

  get reachesAnswer() {
    const last = this.looked.run.network.layers.at(-1)?.name;
    return this.path.steps.at(-1)?.layer === last;
  }

  /** The number of a step by its row's name; undefined if there is none. @param {string} name */
  place(name) {
    const found =
      name === SOFTMAX ? this.path.steps.length : this.path.steps.findIndex((one) => one.layer === name);
    return found >= 0 && found < this.count ? { n: found } : undefined;
  }

  get at() {
    return this.place(this.shown)?.n ?? 0;
  }

  get editedAt() {
    return this.path.steps.findIndex((one) => one.layer === this.editedRow);
  }

  get allEdits() {
    const step = this.path.steps[this.editedAt];
    return step ? expanded(step, this.edits) : [];
  }

  /** The numbers along the path, this number alone being changed. */
  get values() {
    return alongPath(this.path.steps, this.editedAt, this.allEdits);
  }

  /** The edits of a step, with the number that comes from the one before. @param {number} n */
  editsOf(n) {
    if (!this.edits.length || n < this.editedAt) return [];
    if (n === this.editedAt) return this.allEdits;
    return withIncoming(this.path.steps[n], [], this.values[n - 1]);
  }

  // ── next steps ────────────────────────────────────────────────────────────────────────────────

  /** @param {number} n */
  goTo(n) {
    if (n < 0 || n >= this.count) return;
    this.shown = this.path.steps[n]?.layer ?? SOFTMAX;
    this.chosen = null;
    note({ step: this.shown });
    this.render();
    announce(this.title(n));
  }

  /** Lead the path through another unit, and go there. @param {UnitAt} unit */
  async through(unit) {
    const order = this.path.steps.map((one) => one.layer);
    const row = (/** @type {string} */ name) => order.indexOf(name.split(".")[0]);
    const [here, anchor] = [this.at, row(this.anchor)];
    const to =
      here < this.path.steps.length && unit.layer === this.path.steps[here + 1]?.layer ? here + 1 : here - 1;
    const up = to > here;
    // The path changes to one side of this step; on the other it stays as it is.
    if (up ? anchor > here : anchor < here) this.anchor = unitName(this.path.steps[here]);
    const kept = this.via.filter((one) => (up ? row(one) >= 0 && row(one) < to : row(one) > to));
    this.via = [...kept, unitName(unit)];
    note({ via: this.via.join() || null, step: unit.layer });
    this.shown = unit.layer;
    this.chosen = null;
    this.forget();
    try {
      await this.load();
      announce(this.title(this.at));
    } catch (error) {
      if (!this.looked.signal.aborted) this.stage.replaceChildren(fault(error));
    }
  }

  /** @param {KeyboardEvent} event */
  onkey(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey && !event.shiftKey;
    if (
      !step ||
      !plain ||
      (event.target instanceof Element && event.target.closest("input, select, textarea"))
    )
      return;
    event.preventDefault();
    this.goTo(this.at + step);
  }

  stepButtons() {
    this.before = h("button", { type: "button", onclick: () => this.goTo(this.at - 1) });
    this.after = h("button", { type: "button", class: "primary", onclick: () => this.goTo(this.at + 1) });
    return h("p", { class: "step-buttons" }, this.before, this.after);
  }

  // ── changing numbers ────────────────────────────────────────────────────────────────────────

  /** @param {Edit[]} edits */
  edit(edits) {
    this.editedRow = edits.length ? this.shown : "";
    this.edits = edits;
    this.changed = null;
    note({ changed: this.editedRow || null, edits: editWords(edits) || null });
    this.render(true);
    clearTimeout(this.waiting);
    if (edits.length) this.waiting = setTimeout(() => this.askNetwork(), PAUSE);
  }

  forget() {
    this.edits = [];
    this.editedRow = "";
    this.changed = null;
    note({ changed: null, edits: null });
  }

  /** What the edits do in the whole network. */
  async askNetwork() {
    const step = this.path.steps[this.editedAt];
    const edits = this.edits;
    const watch = this.path.steps.slice(this.editedAt).map(unitName).join();
    const query = new URLSearchParams({ unit: unitName(step), edits: editWords(edits), watch });
    try {
      const found = await get(`${this.looked.api}/follow/changed?${query}`, this.looked.signal);
      if (edits === this.edits) this.changed = found;
      this.renderEffect();
      if (this.shown === SOFTMAX) this.renderStage();
    } catch (error) {
      if (!this.looked.signal.aborted) this.effect.append(fault(error));
    }
  }

  // ── drawing ─────────────────────────────────────────────────────────────────────────────────

  /** @param {number} n */
  title(n) {
    const step = this.path.steps[n];
    return step ? `${named(step)}: ${figures(this.values[n])}` : "softmax";
  }

  /** @param {boolean} [editing] whether the fields stay as they are */
  render(editing = false) {
    const anchor = this.path.steps.find((one) => unitName(one) === this.anchor);
    if (anchor) {
      this.lead.replaceChildren(
        `You follow ${named(anchor)} in the picture “${this.looked.name}”: `,
        h("strong", {}, figures(anchor.value)),
        ". Each step shows what a row of the network reads and what it makes of it. ",
        h("kbd", {}, "←"),
        " ",
        h("kbd", {}, "→"),
        " lead on.",
      );
    }
    this.renderTrail();
    this.renderStage();
    if (!editing) this.renderEditor();
    this.renderEffect();
    if (!editing) this.renderOthers();
  }

  renderTrail() {
    const values = this.values;
    const chip = (/** @type {number} */ n, /** @type {string} */ name, /** @type {string} */ value) =>
      h(
        "li",
        {},
        h(
          "button",
          {
            type: "button",
            class: `chip${n >= this.editedAt && this.edits.length ? " touched" : ""}`,
            "aria-current": n === this.at && "step",
            onclick: () => this.goTo(n),
          },
          h("span", {}, name),
          h("small", {}, value),
        ),
      );
    const focused = this.trail.contains(document.activeElement);
    const chips = this.path.steps.map((step, n) => chip(n, step.layer, figures(values[n])));
    if (this.count > chips.length) chips.push(chip(chips.length, SOFTMAX, ""));
    this.trail.replaceChildren(...chips);
    const current = /** @type {HTMLElement|null} */ (this.trail.querySelector("[aria-current]"));
    if (current) {
      requestAnimationFrame(
        () =>
          (this.trail.scrollLeft = current.offsetLeft - (this.trail.clientWidth - current.clientWidth) / 2),
      );
      if (focused) current.focus({ preventScroll: true });
    }
    const name = (/** @type {number} */ n) => this.path.steps[n]?.layer ?? SOFTMAX;
    if (!this.before || !this.after) return;
    this.before.textContent = this.at > 0 ? `← ${name(this.at - 1)}` : "← the first step";
    this.after.textContent = this.at + 1 < this.count ? `${name(this.at + 1)} →` : "the last step →";
    this.before.disabled = this.at === 0;
    this.after.disabled = this.at + 1 >= this.count;
  }

  renderStage() {
    const step = this.path.steps[this.at];
    const column = step ? Math.floor((step.unit * step.columns) / step.maps) : 0;
    const content = step ? this.ownStep(step) : this.answerStep();
    const focus = this.focusInStage();
    this.stage.replaceChildren(
      h("div", { class: `step-content c${step && step.columns > 1 ? column : 0}` }, content),
      aside(step),
    );
    focus?.();
  }

  /** What gives the focus back to the same thing when the step is drawn again. */
  focusInStage() {
    const active = document.activeElement;
    if (!active || !this.stage.contains(active)) return undefined;
    const label =
      active.getAttribute("aria-label") ?? active.querySelector(".who")?.textContent ?? active.tagName;
    const group = active.closest("[role=group]")?.getAttribute("aria-label");
    const position = label.split(":")[0];
    return () => {
      const where = group
        ? this.stage.querySelector(`[role=group][aria-label="${CSS.escape(group)}"]`)
        : this.stage;
      const all = /** @type {HTMLElement[]} */ ([...(where?.querySelectorAll("button, select") ?? [])]);
      const found = all.find((one) =>
        (one.getAttribute("aria-label") ?? one.querySelector(".who")?.textContent ?? one.tagName).startsWith(
          position,
        ),
      );
      found?.focus({ preventScroll: true });
    };
  }

  /** @param {Step} step */
  ownStep(step) {
    const value = this.values[this.at];
    const view = {
      looked: this.looked,
      step,
      edits: this.editsOf(this.at),
      value,
      chosen: this.chosenPlace(step),
      choose: (/** @type {Place} */ place) => {
        this.chosen = place;
        this.renderStage();
        this.renderEditor();
      },
    };
    const own = step.layer === this.looked.run.network.layers.at(-1)?.name;
    const weighted = this.looked.run.network.layers.some((one) => one.name === step.layer);
    const name = own ? `${named(step)}, ${this.looked.run.classes[step.unit] ?? ""}` : named(step);
    return [
      h(
        "h2",
        {},
        weighted ? h("a", { href: `layer/${step.layer}/unit/${step.unit}` }, name) : name,
        h("small", {}, step.kind),
      ),
      h(
        "p",
        { class: "value-now" },
        h("strong", {}, figures(value)),
        value !== step.value && h("small", {}, ` was ${figures(step.value)}`),
      ),
      shownStep(view),
    ];
  }

  /** @param {Step} step @returns {Place} */
  chosenPlace(step) {
    return this.chosen ?? step.from;
  }

  answerStep() {
    const { answer, steps } = this.path;
    if (!answer) return [];
    const unit = steps[steps.length - 1].unit;
    const logits = [...answer.logits];
    logits[unit] = this.values[steps.length - 1];
    const found = this.changed?.logits ?? logits;
    return [
      h("h2", {}, "The answer", h("small", {}, "softmax")),
      this.changed && h("p", { class: "soft" }, "With your changes, through the whole network."),
      softmaxStep(this.looked.run, answer.logits, found, answer.temperature, unit),
    ];
  }

  renderEditor() {
    const step = this.path.steps[this.at];
    this.editor.replaceChildren(...(step ? [sandbox(this, step)] : []));
  }

  renderEffect() {
    const { steps, answer } = this.path;
    const values = this.values;
    const from = this.editedAt;
    this.said.textContent = this.edits.length ? this.inShort(values) : "";
    if (!this.edits.length) return this.effect.replaceChildren();
    const rows = steps.slice(from).map((step, n) => {
      const exact = this.changed?.values[unitName(step)];
      return h(
        "tr",
        {},
        h("th", { scope: "row" }, named(step)),
        [step.value, values[from + n], exact].map((one) =>
          h("td", { class: "number" }, one === undefined ? "…" : figures(one)),
        ),
      );
    });
    const head = ["", "before", "this number alone", "the whole network"].map((words, n) =>
      words ? h("th", { scope: "col", class: n > 0 && "number" }, words) : h("td", {}),
    );
    const table = h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows));
    const weight = this.edits.some((one) => one.what === "weight");
    const shared = steps[from].row === "Conv";
    const exact =
      weight && shared
        ? "“The whole network”: a kernel is shared, so its change was made at every position of the map."
        : "“The whole network”: every unit that reads what you changed was computed again.";
    const reset = h("button", { type: "button", onclick: () => this.edit([]) }, "Undo all changes");
    const content = h(
      "div",
      {},
      h("h2", {}, "What your change does"),
      h(
        "p",
        { class: "soft" },
        "“This number alone”: all else stays as it was, computed here on the page. ",
        exact,
      ),
      h(
        "div",
        { class: "scroll", tabindex: "0", role: "group", "aria-label": "Numbers before and after" },
        table,
      ),
      answer && this.changed?.logits && this.answers(answer, this.changed.logits),
      h("p", {}, reset),
    );
    return this.effect.replaceChildren(content);
  }

  /** What the change does, in a line. @param {number[]} values */
  inShort(values) {
    const { steps, answer } = this.path;
    const step = steps[this.editedAt];
    const told = `${named(step)}: ${figures(step.value)} → ${figures(values[this.editedAt])}.`;
    if (!answer || !this.changed?.logits) return told;
    const unit = steps[steps.length - 1].unit;
    const [before, after] = [answer.logits, this.changed.logits].map(
      (logits) => softmax(logits, answer.temperature)[unit],
    );
    return `${told} ${this.looked.run.classes[unit] ?? unit}: ${percent(before, 2)} → ${percent(after, 2)}.`;
  }

  /** @param {{ logits: number[], temperature: number }} answer @param {number[]} after */
  answers({ logits, temperature }, after) {
    const unit = this.path.steps[this.path.steps.length - 1].unit;
    return h(
      "details",
      { open: true },
      h("summary", {}, "The answer with your change"),
      softmaxStep(this.looked.run, logits, after, temperature, unit).slice(2),
    );
  }

  renderOthers() {
    const step = this.path.steps[this.at];
    this.others.replaceChildren(...(step ? [readers(this, step), otherNumber(this, step)] : []));
  }
}

/** The papers' words about a step. @param {Step|undefined} step */
function aside(step) {
  const found = passage(passageKey(step));
  if (!found) return h("aside", {});
  return h(
    "aside",
    { class: "paper", "aria-label": "What the paper says" },
    h("h3", {}, terms(found.where)),
    h("p", {}, terms(found.words)),
    found.quote && h("blockquote", {}, found.quote),
    h("p", { class: "soft" }, "Code: ", h("code", {}, found.code)),
  );
}

/** @param {Step|undefined} step */
function passageKey(step) {
  if (!step) return SOFTMAX;
  if (step.row === "Conv" && step.below.name === "picture") return "first";
  if (step.row === "Conv" && step.reads < step.below.maps) return "columns";
  if (step.row === "Activation") return step.rule === "relu" ? "relu" : "tanh";
  return step.row === "Pool" ? (step.rule ?? "max") : step.row;
}

/** Fields for the input and the weight that are chosen. @param {Followed} page @param {Step} step */
function sandbox(page, step) {
  const place = page.chosenPlace(step);
  const [k, row, column] = place;
  const edits = page.editsOf(page.at);
  const block = step.blocks?.find((one) => one.place === k);
  const term = step.terms?.find((one) => same(one.place, place));
  const map = block?.map ?? term?.map ?? k;
  const known = edited(step, edits, "input", place);
  if (known === null) return h("p", { class: "soft" }, "Beyond the edge: it counts as 0.");
  const mean = block?.mean?.[row][column] ?? 0;
  const weighted = Boolean(block?.weights ?? term);

  /** @param {"input"|"weight"} what @param {string} words @param {number} shift what the page shows on top */
  function field(what, words, shift) {
    const now = edited(step, edits, what, place) ?? 0;
    const input = h("input", {
      type: "number",
      step: "any",
      value: Number((now + shift).toPrecision(shift ? 5 : 4)),
      oninput: change,
    });
    function change() {
      if (input.value === "" || !Number.isFinite(input.valueAsNumber)) return;
      const own = page.editedAt === page.at ? page.edits : [];
      const others = own.filter((one) => one.what !== what || !same(one.place, place));
      page.edit([...others, { what, place, number: input.valueAsNumber - shift }]);
    }
    return h("label", {}, `${words} `, input);
  }
  const silence = () => {
    const own = page.editedAt === page.at ? page.edits : [];
    const others = own.filter((one) => one.what !== "weight" || one.place[0] !== k);
    page.edit([...others, { what: "weight", place: [k, ALL, ALL], number: 0 }]);
    page.renderEditor();
  };
  const inWindow = (block?.inputs.length ?? 1) > 1 || step.below.side > 1;
  const where = inWindow ? ` at row ${step.top + row}, column ${step.left + column}` : "";
  const below = page.path.steps[page.at - 1];
  const unit = {
    layer: step.below.name,
    unit: map,
    at: /** @type {[number, number]|null} */ (
      step.below.side > 1 ? [step.top + row, step.left + column] : null
    ),
  };
  const lead =
    below &&
    !same(place, step.from) &&
    h(
      "button",
      { type: "button", onclick: () => page.through(unit) },
      `Follow ${mapName(step, map)} instead`,
    );
  return h(
    "fieldset",
    {},
    h("legend", {}, "Try it: change a number"),
    h("p", {}, `${mapName(step, map)}${where}`, lead && " ", lead),
    h(
      "p",
      { class: "fields" },
      field("input", mean ? "pixel (0–255)" : "input", mean),
      weighted && field("weight", "weight", 0),
    ),
    block?.weights && h("button", { type: "button", onclick: silence }, `Set this map's kernel to 0`),
    page.said,
    mean !== 0 && h("p", { class: "soft" }, `The mean ${figures(mean)} is taken off the pixel first.`),
  );
}

/** The units of the next row that read the number. @param {Followed} page @param {Step} step */
function readers(page, step) {
  const next = page.path.steps[page.at + 1];
  if (!next) {
    const end = page.reachesAnswer
      ? null
      : h(
          "p",
          { class: "missing" },
          "No unit reads this number: the windows of the next row end before it, or its weights are missing.",
        );
    return h("section", {}, end);
  }
  const weighted = ["Conv", "Local", "Dense"].includes(next.row);
  const pool = next.row === "Pool";
  if (!weighted && step.readers.length < 2) return h("section", {});
  const last = next.layer === page.looked.run.network.layers.at(-1)?.name;
  const found = step.readers.some((one) => unitName(one) === unitName(next))
    ? step.readers
    : [...step.readers, { ...next, effect: NaN }];
  const items = found.map((one) => {
    const effect = Number.isNaN(one.effect)
      ? ""
      : pool
        ? one.effect
          ? "passes it on"
          : "passes on another"
        : `adds ${signedFigures(one.effect)}`;
    const name = last ? (page.looked.run.classes[one.unit] ?? one.unit) : named(one);
    return h(
      "li",
      {},
      h(
        "button",
        {
          type: "button",
          class: "reader",
          "aria-current": unitName(one) === unitName(next) && "true",
          onclick: () => page.through(one),
        },
        h("span", {}, name),
        h("small", {}, effect && `${effect} · `, `value ${figures(one.value)}`),
      ),
    );
  });
  const words = pool
    ? "The windows of the next row that hold this number. Choose one to go on there."
    : "Those of the next row to which this number adds most, or from which it takes most. Choose one to go on there.";
  const number = h("input", { type: "number", min: 0, max: next.maps - 1, value: next.unit });
  const other = (/** @type {Event} */ event) => {
    event.preventDefault();
    page.through({ layer: next.layer, unit: Number(number.value), at: next.at });
  };
  return h(
    "section",
    {},
    h("h2", {}, `Who reads it in ${next.layer}`),
    h("p", { class: "soft" }, words),
    h("ol", { class: "readers" }, items),
    weighted &&
      h(
        "form",
        { class: "other", onsubmit: other },
        h("label", {}, `Another unit of ${next.layer} `, number),
        h("button", {}, "Go on there"),
      ),
  );
}

/** Another number: a click on the map, or row, unit and position. @param {Followed} page @param {Step} step */
function otherNumber(page, step) {
  const { looked, path } = page;
  const side = step.side;
  const to = (
    /** @type {string} */ layer,
    /** @type {number} */ unit,
    /** @type {[number, number]|[]} */ at = [],
  ) => go(followQuery(looked, layer, unit, ...at));
  const rows = h(
    "select",
    {
      onchange: () =>
        to(
          rows.value,
          Math.min(step.unit, (path.steps.find((one) => one.layer === rows.value)?.maps ?? 1) - 1),
        ),
    },
    path.steps.map((one) => h("option", { selected: one.layer === step.layer }, one.layer)),
  );
  const field = (/** @type {string} */ words, /** @type {number} */ value, /** @type {number} */ count) =>
    h("input", { type: "number", min: 0, max: count - 1, value, "aria-label": words, required: true });
  const unit = field("Unit", step.unit, step.maps);
  const [row, column] = ["Row", "Column"].map((words, n) => field(words, step.at?.[n] ?? 0, side));
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    const moved = Number(unit.value) !== step.unit;
    const at = /** @type {[number, number]} */ ([Number(row.value), Number(column.value)]);
    const stayed = step.at && at[0] === step.at[0] && at[1] === step.at[1];
    to(step.layer, Number(unit.value), step.at && !(moved && stayed) ? at : []);
  };
  const mark = h("i", { class: "outline", "aria-hidden": "true" });
  if (step.at)
    Object.assign(mark.style, {
      top: `${(100 * step.at[0]) / side}%`,
      left: `${(100 * step.at[1]) / side}%`,
      width: `${100 / side}%`,
      height: `${100 / side}%`,
    });
  return h(
    "section",
    { class: "other-number" },
    h("h2", {}, "Another number"),
    step.at &&
      h(
        "p",
        { class: "soft" },
        `Click a pixel of this map, ${step.layer} · ${step.unit}, or name another number.`,
      ),
    step.at && h("div", { class: "on-map drawn large" }, pixels(looked, step.layer, step.unit, side), mark),
    h(
      "form",
      { class: "other", onsubmit: submit },
      h("label", {}, "Row of the network ", rows),
      h("label", {}, `Unit (0–${step.maps - 1}) `, unit),
      step.at && [h("label", {}, "Row ", row), h("label", {}, "Column ", column)],
      h("button", {}, "Follow it"),
    ),
  );
}

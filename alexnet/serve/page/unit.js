/** A unit: what activates it, what it is connected to, how it formed. */

import { address, followWeights, get } from "./api.js";
import { pictureQuery, prepared } from "./chosen.js";
import { histogram } from "./bars.js";
import { connections } from "./connections.js";
import { h } from "./dom.js";
import { evolution } from "./evolution.js";
import { commandLine, commands, figure, unitCommand } from "./figure.js";
import { layerLinks, notAnalysed } from "./layer.js";
import { reload } from "./navigate.js";
import { passButton } from "./progress.js";
import { percent, short, whole } from "./text.js";

/** @param {Page} page @returns {Promise<Shown>} */
export async function show({ run, words: [name, number], signal }) {
  const api = `api/sides/own/layers/${name}/units/${number}`;
  /** @type {UnitPage} */
  const unit = await get(api, signal);
  const neighbour = (/** @type {number} */ other) =>
    other >= 0 && other < unit.layer.maps ? `layer/${name}/unit/${other}` : undefined;
  const [before, after] = [neighbour(unit.unit - 1), neighbour(unit.unit + 1)];
  const content = h(
    "article",
    { class: `unit c${unit.column}` },
    layerLinks(run, name),
    h(
      "h1",
      {},
      h("a", { href: `layer/${name}` }, name),
      ` · ${unit.unit}`,
      unit.class && h("small", {}, unit.class),
      " ",
      h(
        "span",
        { class: "steps" },
        step("←", "The previous unit", before),
        step("→", "The next unit", after),
      ),
    ),
    h("p", { class: "lead" }, lead(unit)),
    unit.strongest ? strongest(run, unit, api) : notAnalysed(run, signal),
    h(
      "div",
      { class: "plates" },
      unit.histogram && activations(run, unit),
      unit.strongest && !unit.histogram && activationsNotAnalysed(signal),
      unit.filters && filters(run, unit, api),
    ),
    run.store && evolution(run, run.store, unit, api, signal),
    connections(unit),
    run.store &&
      commands("This page on the command line", commandLine(unitCommand(run, run.store, unit, "top"))),
  );
  followWeights(signal, run.version, reload);
  return {
    title: `${name} · ${unit.unit}`,
    content,
    ways: { left: before, right: after, up: `layer/${name}` },
  };
}

/** @param {string} sign @param {string} label @param {string|undefined} href */
function step(sign, label, href) {
  if (!href) return h("span", { class: "step", "aria-hidden": "true" }, sign);
  return h("a", { href, "aria-label": label, class: "step" }, sign);
}

/** @param {UnitPage} unit */
function lead({ layer, column, histogram }) {
  const where = layer.columns > 1 ? `In column ${column + 1} of ${layer.columns}. ` : "";
  const sees = `It sees ${layer.sees} × ${layer.sees} pixels of the picture.`;
  const active =
    histogram && ` Active on ${percent(histogram.active, 0)} of ${whole(histogram.pictures)} pictures.`;
  return where + sees + (active ?? "");
}

/** @param {Run} run @param {UnitPage} unit @param {string} api */
function strongest(run, unit, api) {
  if (!unit.strongest?.length || !run.store)
    return h("p", { class: "missing" }, "No picture activates this unit.");
  const { split } = run.store;
  const image = (/** @type {Ranked} */ { rank }, /** @type {string} */ shown) => {
    const src = address(`${api}/strongest/${rank}/${shown}.png?v=${run.version}`);
    return h("img", { src, loading: "lazy", width: 96, height: 96, alt: "" });
  };
  const tile = (/** @type {Ranked} */ one) => {
    const label = `Picture ${one.picture}, ${one.class}, activation ${short(one.value)}: open it`;
    const link = { href: `picture?${pictureQuery(prepared(split, one.picture))}`, "aria-label": label };
    return h(
      "li",
      {},
      h("a", link, image(one, "projection"), image(one, "patch")),
      h("span", {}, one.class),
      h("span", { class: "value" }, short(one.value)),
    );
  };
  return figure(h("ol", { class: "patches" }, unit.strongest.map(tile)), {
    title: "What activates it most",
    words:
      "The nine strongest pictures, as in [Z] Fig. 2: below, the patch that the unit sees; above, the unit " +
      "projected down to the pixels by the deconvnet. Choose one to open the whole picture.",
    png: `${api}/top.png`,
    json: () => unit.strongest,
    command: unitCommand(run, run.store, unit, "top"),
    name: `${run.name}-${unit.layer.name}-${unit.unit}`,
  });
}

/** @param {Run} run @param {UnitPage} unit */
function activations(run, unit) {
  if (!unit.histogram || !run.store) return null;
  const names = { xName: "largest activation in a picture", yName: "pictures" };
  const drawn = histogram({ ...unit.histogram, ...names });
  return figure(drawn, {
    title: "How often it is active",
    words: "Before the non-linearity: at 0 or below the unit is silent.",
    png: () => /** @type {SVGSVGElement} */ (drawn.querySelector("svg")),
    json: () => unit.histogram,
    command: unitCommand(run, run.store, unit, "activations"),
    name: `${run.name}-${unit.layer.name}-${unit.unit}-activations`,
  });
}

/** @param {AbortSignal} signal */
function activationsNotAnalysed(signal) {
  const words = "How often this unit is active has not been analysed yet.";
  const path = "api/sides/own/passes/spread";
  return passButton("Analyse its activations", words, [["Activations", path]], signal, reload);
}

/** @param {Run} run @param {UnitPage} unit @param {string} api */
function filters(run, { layer, unit, inputs }, api) {
  const first = inputs?.layer === "picture";
  const image = h("img", {
    class: first ? "filter" : "filters",
    src: address(`${api}/filters.png?v=${run.version}`),
    loading: "lazy",
    alt: `Filters of ${layer.name} ${unit}`,
  });
  return figure(image, {
    title: first ? "Its kernel" : "Its filters",
    words: first
      ? "In colour, scaled by its largest weight."
      : `One for each map of ${inputs?.layer}; the strongest first, white the largest positive weight.`,
    png: `${api}/filters.png`,
    json: () => inputs,
    name: `${run.name}-${layer.name}-${unit}-filters`,
  });
}

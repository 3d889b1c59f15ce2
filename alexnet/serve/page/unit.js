/** A unit: what activates it, what it is connected to, how it formed. */

import { address, compute, followWeights, get } from "./api.js";
import { pictureQuery, prepared } from "./chosen.js";
import { histogram } from "./bars.js";
import { connections } from "./connections.js";
import { h } from "./dom.js";
import { evolution } from "./evolution.js";
import { command, commandLine, commands, fault, figure, unitCommand } from "./figure.js";
import { layerLinks, seen } from "./layer.js";
import { reload } from "./navigate.js";
import { pinButton, pinned, pinsOf, withPins } from "./pins.js";
import { preparation } from "./prepare.js";
import { progressLine } from "./progress.js";
import { percent, short, whole } from "./text.js";

/** @param {Page} page @returns {Promise<Shown>} */
export async function show({ run, words: [name, number], query, signal }) {
  const api = `api/sides/own/layers/${name}/units/${number}`;
  /** @type {UnitPage} */
  const unit = await get(api, signal);
  const pins = pinsOf(query);
  const neighbour = (/** @type {number} */ other) =>
    other >= 0 && other < unit.layer.maps ? withPins(`layer/${name}/unit/${other}`, pins) : undefined;
  const [before, after] = [neighbour(unit.unit - 1), neighbour(unit.unit + 1)];
  const up = withPins(`layer/${name}`, pins);
  const content = h(
    "article",
    { class: `unit c${unit.column}` },
    layerLinks(run, name, pins),
    h(
      "h1",
      {},
      h("a", { href: up }, name),
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
    h("p", { class: "lead" }, lead(run, unit)),
    h("p", {}, pinButton(`${name}.${unit.unit}`, pins)),
    unit.inputs?.layer === "picture" && unit.filters && filters(run, unit, api),
    unit.strongest && strongest(run, unit, api),
    unit.negative && negative(run, unit, api),
    preparation(run, signal),
    h(
      "div",
      { class: "plates" },
      unit.histogram && activations(run, unit),
      run.store && optimised(run, unit, api),
      unit.inputs?.layer !== "picture" && unit.filters && filters(run, unit, api),
    ),
    run.store && evolution(run, run.store, unit, api),
    connections(unit, pins),
    await pinned(run, pins, signal),
    run.store &&
      commands(
        "This page on the command line",
        commandLine(unitCommand(run, run.store, unit, "top", "--negative")),
      ),
  );
  followWeights(signal, run.version, reload);
  return { title: `${name} · ${unit.unit}`, content, ways: { left: before, right: after, up } };
}

/** @param {string} sign @param {string} label @param {string|undefined} href */
function step(sign, label, href) {
  if (!href) return h("span", { class: "step", "aria-hidden": "true" }, sign);
  return h("a", { href, "aria-label": label, class: "step" }, sign);
}

/** @param {Run} run @param {UnitPage} unit */
function lead(run, { layer, column, rectified, histogram, part }) {
  const where = layer.columns > 1 ? `In column ${column + 1} of ${layer.columns}. ` : "";
  const sees = `It sees ${seen(layer, run.network.input)}.`;
  const active =
    histogram &&
    ` ${rectified ? "Active" : "Above 0"} on ${percent(histogram.active, 0)} of ${whole(histogram.pictures)} pictures.`;
  return [where + sees + (active ?? ""), part && h("span", { id: "part" }, ` ${partWords(part)}`)];
}

/** @param {NonNullable<UnitPage["part"]>} part */
function partWords({ part, iou, random, pictures, least_iou }) {
  const detects = iou > Math.max(least_iou, random);
  const found = detects ? `It detects ${part}` : `It detects no part; nearest is ${part}`;
  const chance = `detectors have over ${least_iou} and more than any unit with random weights (${random.toFixed(3)})`;
  return `${found}: overlap (IoU) ${iou.toFixed(3)} over ${whole(pictures)} pictures; ${chance}.`;
}

/** @param {Run} run @param {UnitPage} unit @param {string} api */
function strongest(run, unit, api) {
  if (!unit.strongest?.length || !run.store)
    return h("p", { class: "missing" }, "No picture activates this unit: it is dead.");
  return figure(patches(run, unit.strongest, `${api}/strongest`), {
    title: unit.rectified ? "What activates it most" : `What speaks most for ${unit.class ?? "it"}`,
    words:
      "The nine strongest pictures, as in [Z] Fig. 2: below, the patch that the unit sees; above, the unit " +
      "projected down to the pixels by the deconvnet. Choose one to open the whole picture.",
    png: `${api}/top.png`,
    json: () => ({ strongest: unit.strongest, negative: unit.negative }),
    command: unitCommand(run, run.store, unit, "top", "--negative"),
    name: `${run.name}-${unit.layer.name}-${unit.unit}`,
  });
}

/** @param {Run} run @param {UnitPage} unit @param {string} api */
function negative(run, unit, api) {
  if (!unit.negative?.length) return h("p", { class: "soft" }, "No picture makes it negative.");
  const after = unit.rectified ? "All of these the ReLU turns into 0. " : "";
  return figure(patches(run, unit.negative, `${api}/negative`), {
    id: "negative",
    title: unit.rectified ? "What makes it most negative" : `What speaks most against ${unit.class ?? "it"}`,
    words: `${after}The nine pictures with the lowest values, where the map is lowest; the most negative first.`,
  });
}

/** @param {Run} run @param {Ranked[]} ranked @param {string} api */
function patches(run, ranked, api) {
  const split = run.store?.split ?? "";
  const image = (/** @type {Ranked} */ { rank }, /** @type {string} */ shown) => {
    const src = address(`${api}/${rank}/${shown}.png?v=${run.version}t`);
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
  return h("ol", { class: "patches" }, ranked.map(tile));
}

/** Pictures that are being optimised: each continues when the page is drawn again. @type {Map<string, Element>} */
const making = new Map();

/** @param {string} path */
async function make(path) {
  const { element, listeners } = progressLine("Making it");
  making.set(path, element);
  try {
    await compute(path, listeners, new AbortController().signal);
    making.delete(path);
    if (element.isConnected) reload();
  } catch (error) {
    making.delete(path);
    element.replaceWith(fault(error));
  }
}

/** The picture made for it. @param {Run} run @param {UnitPage} unit @param {string} api */
function optimised(run, { layer, unit, class: name, optimised }, api) {
  const path = `${api}/optimised`;
  const place = h("div", {});
  const start = () => {
    make(path);
    place.replaceChildren(making.get(path) ?? "");
  };
  const what = name ?? `${layer.name} · ${unit}`;
  if (optimised !== null) {
    const src = address(`${path}.png?v=${run.version}`);
    place.append(h("img", { class: "view", src, alt: `The picture made for ${what}` }));
    place.append(h("p", { class: "full" }, `Its activation, in the mean over the map: ${short(optimised)}.`));
  } else {
    place.append(making.get(path) ?? h("button", { type: "button", onclick: start }, "Make the picture"));
  }
  const units = name ? ["--classes", name] : ["--layer", layer.name, "--channels", String(unit)];
  return figure(place, {
    id: "optimised",
    title: "What it would like to see",
    words: "Noise, changed in 256 steps so that the unit is more and more active.",
    png: optimised === null ? undefined : `${api}/optimised.png`,
    command: command("see", "visualise", run.commands.run, ...units),
    name: `${run.name}-${layer.name}-${unit}-optimised`,
  });
}

/** @param {Run} run @param {UnitPage} unit */
function activations(run, unit) {
  if (!unit.histogram || !run.store) return null;
  const names = { xName: unit.rectified ? "largest activation in a picture" : "logit", yName: "pictures" };
  const drawn = histogram({ ...unit.histogram, ...names });
  return figure(drawn, {
    title: unit.rectified ? "How often it is active" : "How its values are spread",
    words: unit.rectified
      ? "Before the ReLU: at 0 or below the unit is silent."
      : "Before the softmax. No ReLU follows, so values below 0 count as much as those above.",
    png: () => /** @type {SVGSVGElement} */ (drawn.querySelector("svg")),
    json: () => unit.histogram,
    command: unitCommand(run, run.store, unit, "activations"),
    name: `${run.name}-${unit.layer.name}-${unit.unit}-activations`,
  });
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
      ? `${layer.kernel} × ${layer.kernel} weights for red, green and blue as colours; mid-grey is 0.`
      : `One for each map of ${inputs?.layer}; the strongest first, white the largest positive weight.`,
    png: `${api}/filters.png`,
    json: () => inputs,
    name: `${run.name}-${layer.name}-${unit}-filters`,
  });
}

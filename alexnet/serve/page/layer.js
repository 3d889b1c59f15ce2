/** A layer: its units, each by the patch that activates it most. */

import { address, followWeights, get } from "./api.js";
import { h } from "./dom.js";
import { command, commandLine, commands } from "./figure.js";
import { reload } from "./navigate.js";
import { pinned, pinsOf, withPins } from "./pins.js";
import { preparation } from "./prepare.js";
import { roving } from "./roving.js";
import { percent, short, whole } from "./text.js";

/** @param {Page} page @returns {Promise<Shown>} */
export async function show({ run, words: [name], signal, query }) {
  /** @type {LayerPage} */
  const layer = await get(`api/sides/own/layers/${name}`, signal);
  const layers = run.network.layers.map((one) => one.name);
  const place = layers.indexOf(name);
  const pins = pinsOf(query);
  const to = (/** @type {string|undefined} */ other) =>
    other ? withPins(`layer/${other}`, pins) : undefined;
  const order = query.get("order") ?? "number";
  const kernels = showsKernels(run, layer);
  const sheet = h(
    "ol",
    { class: layer.classes ? "sheet named" : "sheet" },
    sorted(layer, order).map((unit) => cell(run, layer, unit, pins)),
  );
  const content = h(
    "article",
    {},
    layerLinks(run, name, pins),
    h("h1", {}, name, " ", h("small", {}, layer.kind)),
    h("p", { class: "lead" }, size(layer, run.network.input)),
    (layer.known || kernels) && sheetHead(layer, kernels, order, pins),
    !layer.known && preparation(run, signal),
    roving(sheet, `${whole(layer.maps)} units of ${name}`),
    layer.known && preparation(run, signal),
    await pinned(run, pins, signal),
    run.store &&
      commands(
        "This page on the command line",
        commandLine(command("see", "top", run.commands.run, run.store.path, "--layers", name)),
      ),
  );
  followWeights(signal, run.version, reload);
  return {
    title: name,
    content,
    ways: { left: to(layers[place - 1]), right: to(layers[place + 1]), up: "." },
  };
}

/** Links to the layers, from the picture up. @param {Run} run @param {string} here @param {string[]} pins */
export function layerLinks(run, here, pins) {
  const links = run.network.layers.map(({ name }) =>
    h("a", { href: withPins(`layer/${name}`, pins), "aria-current": name === here && "true" }, name),
  );
  return h("nav", { class: "layers", "aria-label": "Layers" }, links);
}

/** Whether its units are known by their kernels, as the first layer's are. @param {Run} run @param {Layer} layer */
const showsKernels = (run, layer) => layer.name === run.network.layers[0].name && layer.kernel !== null;

/** @param {Layer} layer @param {number} input */
function size(layer, input) {
  const { maps, side, columns, every, parameters, macs } = layer;
  const units = side > 1 ? `${whole(maps)} maps of ${side} × ${side} units` : `${whole(maps)} units`;
  const parts = columns > 1 ? ` in ${columns} columns` : "";
  const stride = every ? `, stride ${every} px` : "";
  const costs = `${whole(parameters)} parameters, ${whole(macs)} multiply-adds`;
  return `${units}${parts}. A unit sees ${seen(layer, input)}${stride}. ${costs}.`;
}

/** What a unit can see of the view, whose edges cut its window. @param {Layer} layer @param {number} input */
export function seen({ sees, every }, input) {
  if (sees < input) return `${sees} × ${sees} of the view's ${input} × ${input} pixels`;
  const whole = `the whole view of ${input} × ${input} pixels`;
  return every ? `up to ${whole}` : whole;
}

/** @param {LayerPage} layer @param {boolean} kernels @param {string} order @param {string[]} pins */
function sheetHead(layer, kernels, order, pins) {
  const link = (/** @type {string} */ key, /** @type {string} */ words) =>
    h(
      "a",
      { href: withPins(`layer/${layer.name}?order=${key}`, pins), "aria-current": key === order && "true" },
      words,
    );
  const size = layer.kernel;
  const shown = kernels
    ? `Each unit by its kernel: ${size} × ${size} weights for red, green and blue, drawn as a colour; mid-grey is 0. `
    : `Each unit by the patch, of ${whole(layer.pictures ?? 0)} pictures, that activates it most. `;
  return h(
    "p",
    { class: "order" },
    shown,
    layer.known && [
      deadWords(layer),
      " Order: ",
      link("number", "number"),
      " · ",
      link("strength", "strength"),
    ],
    layer.active && [" · ", link("rare", "rarest first")],
  );
}

/** @param {LayerPage} layer */
function deadWords({ dead, rectified, pictures }) {
  if (!rectified) return "";
  const count = dead?.length ?? 0;
  if (!count) return "None is dead.";
  const are = count === 1 ? "is" : "are";
  return `${whole(count)} ${are} dead: none of the ${whole(pictures ?? 0)} pictures activates them.`;
}

/** @param {LayerPage} layer @param {string} order */
function sorted({ maps, strongest, active }, order) {
  const units = Array.from({ length: maps }, (_, unit) => unit);
  if (order === "strength" && strongest) return units.sort((a, b) => strongest[b] - strongest[a]);
  if (order === "rare" && active) return units.sort((a, b) => active[a] - active[b]);
  return units;
}

/** @param {Run} run @param {LayerPage} layer @param {number} unit @param {string[]} pins */
function cell(run, layer, unit, pins) {
  const column = Math.floor((unit * layer.columns) / layer.maps);
  const dead = layer.dead?.includes(unit);
  const known = showsKernels(run, layer) || (layer.known && !dead);
  const name = layer.classes?.[unit];
  const active = layer.active ? `, active on ${percent(layer.active[unit], 0)}` : "";
  const path = `layer/${layer.name}/unit/${unit}`;
  // The version changes once the pictures have been analysed, so that a browser doesn't show what it has kept.
  const version = `${run.version}${layer.known ? "t" : ""}`;
  const src = address(`api/sides/own/layers/${layer.name}/units/${unit}/tile.png?v=${version}`);
  const link = {
    href: withPins(path, pins),
    "aria-label": `${layer.name} unit ${unit}${name ? `, ${name}` : ""}${dead ? ", dead" : ""}`,
    title: layer.strongest && `strongest ${short(layer.strongest[unit])}${active}`,
  };
  return h(
    "li",
    { class: `c${column}${dead ? " dead" : ""}` },
    h(
      "a",
      link,
      known
        ? h("img", { src, loading: "lazy", width: 96, height: 96, alt: "" })
        : h("span", { class: "blank" }),
      h("span", { class: "number" }, name ?? unit),
    ),
  );
}

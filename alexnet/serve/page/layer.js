/** A layer: its units, each by the patch that activates it most. */

import { address, followWeights, get } from "./api.js";
import { h } from "./dom.js";
import { command, commandLine, commands } from "./figure.js";
import { reload } from "./navigate.js";
import { passButton } from "./progress.js";
import { percent, short, whole } from "./text.js";

/** @type {[string, string][]} */
const PASSES = [
  ["Strongest pictures", "api/sides/own/passes/top"],
  ["Activations", "api/sides/own/passes/spread"],
];

/** @param {Page} page @returns {Promise<Shown>} */
export async function show({ run, words: [name], signal, query }) {
  /** @type {LayerPage} */
  const layer = await get(`api/sides/own/layers/${name}`, signal);
  const layers = run.network.layers.map((one) => one.name);
  const place = layers.indexOf(name);
  const to = (/** @type {string|undefined} */ other) => (other ? `layer/${other}` : undefined);
  const order = query.get("order") ?? "number";
  const content = h(
    "article",
    {},
    layerLinks(run, name),
    h("h1", {}, name, " ", h("small", {}, layer.kind)),
    h("p", { class: "lead" }, size(layer)),
    layer.known ? sheetHead(layer, order) : notAnalysed(run, signal),
    h(
      "ol",
      { class: layer.classes ? "sheet named" : "sheet" },
      sorted(layer, order).map((unit) => cell(run, layer, unit)),
    ),
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

/** Links to the layers, from the picture up. @param {Run} run @param {string} here */
export function layerLinks(run, here) {
  const links = run.network.layers.map(({ name }) =>
    h("a", { href: `layer/${name}`, "aria-current": name === here && "true" }, name),
  );
  return h("nav", { class: "layers", "aria-label": "Layers" }, links);
}

/** @param {Layer} layer */
function size({ maps, side, columns, sees, every, parameters, macs }) {
  const units = side > 1 ? `${whole(maps)} maps of ${side} × ${side} units` : `${whole(maps)} units`;
  const parts = columns > 1 ? ` in ${columns} columns` : "";
  const stride = every ? `, stride ${every} px` : "";
  const costs = `${whole(parameters)} parameters, ${whole(macs)} multiply-adds`;
  return `${units}${parts}. A unit sees ${sees} × ${sees} pixels${stride}. ${costs}.`;
}

/** What to do if the pictures have not been analysed. @param {Run} run @param {AbortSignal} signal */
export function notAnalysed({ store }, signal) {
  if (!store) {
    const option = h("code", {}, "--store STORE");
    const why =
      "What activates these units is unknown: there are no prepared pictures. Start the explorer with ";
    return h("p", { class: "missing" }, why, option, ".");
  }
  const words =
    `Not analysed yet. One pass over the ${whole(store.splits[store.split])} pictures of ${store.split} finds ` +
    "what activates every unit of every layer most; the result is kept in the run folder.";
  return passButton("Analyse the pictures", words, PASSES, signal, reload);
}

/** @param {LayerPage} layer @param {string} order */
function sheetHead(layer, order) {
  const link = (/** @type {string} */ key, /** @type {string} */ words) =>
    h("a", { href: `layer/${layer.name}?order=${key}`, "aria-current": key === order && "true" }, words);
  const count = layer.dead?.length ?? 0;
  const dead = count
    ? `${whole(count)} ${count === 1 ? "is" : "are"} dead: nothing activates them`
    : "None is dead";
  const words = `Each unit by the patch, of ${whole(layer.pictures ?? 0)} pictures, that activates it most. ${dead}.`;
  return h(
    "p",
    { class: "order" },
    `${words} Order: `,
    link("number", "number"),
    " · ",
    link("strength", "strength"),
    layer.active && [" · ", link("rare", "rarest first")],
  );
}

/** @param {LayerPage} layer @param {string} order */
function sorted({ maps, strongest, active }, order) {
  const units = Array.from({ length: maps }, (_, unit) => unit);
  if (order === "strength" && strongest) return units.sort((a, b) => strongest[b] - strongest[a]);
  if (order === "rare" && active) return units.sort((a, b) => active[a] - active[b]);
  return units;
}

/** @param {Run} run @param {LayerPage} layer @param {number} unit */
function cell(run, layer, unit) {
  const column = Math.floor((unit * layer.columns) / layer.maps);
  const dead = layer.dead?.includes(unit);
  const kernel = layer.name === run.network.layers[0].name && layer.kernel; // which it is known by
  const known = kernel || (layer.known && !dead);
  const name = layer.classes?.[unit];
  const active = layer.active ? `, active on ${percent(layer.active[unit], 0)}` : "";
  const path = `layer/${layer.name}/unit/${unit}`;
  // The version changes once the pictures have been analysed, so that a browser doesn't show what it has kept.
  const version = `${run.version}${layer.known ? "t" : ""}`;
  const src = address(`api/sides/own/layers/${layer.name}/units/${unit}/tile.png?v=${version}`);
  const link = {
    href: path,
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

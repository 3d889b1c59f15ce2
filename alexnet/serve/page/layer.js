/** A layer: its units as a sheet of what excites them most. */

import { address, get } from "./api.js";
import { h, percent, short, whole } from "./dom.js";
import { command, copyable, looking } from "./figure.js";

const PASSES = [
  ["Strongest pictures", "api/sides/own/passes/top"],
  ["Activations", "api/sides/own/passes/spread"],
];

/** @param {{run: any, words: string[], signal: AbortSignal, query: URLSearchParams}} told */
export async function show({ run, words: [name], signal, query }) {
  const layer = await get(`api/sides/own/layers/${name}`, signal);
  const layers = run.network.layers.map((one) => one.name),
    place = layers.indexOf(name);
  const order = query.get("order") ?? "number";
  const content = h(
    "article",
    {},
    layerNav(layers, name),
    h("h1", {}, name, " ", h("small", {}, layer.kind)),
    h("p", { class: "lead" }, size(layer)),
    !layer.known && wanting(run, signal),
    layer.known && sheetHead(layer, order),
    h(
      "ol",
      { class: layer.classes ? "sheet named" : "sheet" },
      sorted(layer, order).map((unit) => cell(run, layer, unit)),
    ),
    run.store &&
      h(
        "section",
        { class: "commands" },
        h("h2", {}, "This page on the command line"),
        copyable(command("see", "top", run.commands.run, run.store.path, "--layers", name)),
      ),
  );
  return {
    title: name,
    content,
    ways: {
      left: layers[place - 1] && `layer/${layers[place - 1]}`,
      right: layers[place + 1] && `layer/${layers[place + 1]}`,
      up: ".",
    },
  };
}

/** The layers, from the picture up. */
export function layerNav(layers, here) {
  return h(
    "nav",
    { class: "layers", "aria-label": "Layers" },
    layers.map((one) => h("a", { href: `layer/${one}`, "aria-current": one === here && "true" }, one)),
  );
}

function size(layer) {
  const maps =
    layer.side > 1
      ? `${whole(layer.maps)} maps of ${layer.side} × ${layer.side} units`
      : `${whole(layer.maps)} units`;
  const columns = layer.columns > 1 ? ` in ${layer.columns} columns` : "";
  return `${maps}${columns}. A unit sees ${layer.sees} × ${layer.sees} pixels${layer.every ? `, its neighbour ${layer.every} further` : ""}. ${whole(layer.parameters)} parameters, ${whole(layer.macs)} multiply-adds.`;
}

/** What to do where the pictures were not looked at yet. */
export function wanting(run, signal) {
  if (!run.store)
    return h(
      "p",
      { class: "wanting" },
      "What excites these units is not known: no prepared pictures are at hand. Start the explorer with ",
      h("code", {}, "--store STORE"),
      ".",
    );
  const count = run.store.parts[run.store.part];
  return looking(
    "Look at the pictures",
    `What excites these units was not looked for yet. One pass over the ${whole(count)} pictures of part “${run.store.part}” finds it for every unit of every layer, and is kept in the run folder.`,
    PASSES,
    signal,
    async () => (await import("./main.js")).go(location.href),
  );
}

function sheetHead(layer, order) {
  const link = (key, words) =>
    h("a", { href: `layer/${layer.name}?order=${key}`, "aria-current": key === order && "true" }, words);
  const dead = layer.dead.length
    ? `${whole(layer.dead.length)} of them nothing excited (dead).`
    : "None is dead.";
  return h(
    "p",
    { class: "order" },
    `Each unit by the patch, of ${whole(layer.pictures)} pictures, that excited it most. ${dead} Order: `,
    link("number", "number"),
    " · ",
    link("strength", "strength"),
    layer.active && [" · ", link("rare", "rarest first")],
  );
}

function sorted(layer, order) {
  const units = Array.from({ length: layer.maps }, (_, unit) => unit);
  if (order === "strength" && layer.strongest)
    return units.sort((a, b) => layer.strongest[b] - layer.strongest[a]);
  if (order === "rare" && layer.active) return units.sort((a, b) => layer.active[a] - layer.active[b]);
  return units;
}

function cell(run, layer, unit) {
  const column = Math.floor((unit * layer.columns) / layer.maps),
    dead = layer.dead?.includes(unit);
  const drawn = layer.known || (layer.name === run.network.layers[0].name && layer.kernel);
  const words = `${layer.name} unit ${unit}${layer.classes ? `, ${layer.classes[unit]}` : ""}${dead ? ", dead" : ""}`;
  const title = layer.strongest
    ? `strongest ${short(layer.strongest[unit])}${layer.active ? `, active on ${percent(layer.active[unit], 0)}` : ""}`
    : "";
  return h(
    "li",
    { class: `c${column}${dead ? " dead" : ""}` },
    h(
      "a",
      { href: `layer/${layer.name}/unit/${unit}`, "aria-label": words, title },
      drawn
        ? h("img", {
            src: address(
              `api/sides/own/layers/${layer.name}/units/${unit}/tile.png?v=${run.version}${layer.known ? "t" : ""}`,
            ),
            loading: "lazy",
            width: 96,
            height: 96,
            alt: "",
          })
        : h("span", { class: "blank" }),
      h("span", { class: "number" }, layer.classes ? layer.classes[unit] : unit),
    ),
  );
}

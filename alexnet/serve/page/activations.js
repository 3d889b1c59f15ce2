/** Layer by layer: the units that a picture activates most, all maps, and projections of units. */

import { address } from "./api.js";
import { followQuery } from "./chosen.js";
import { h } from "./dom.js";
import { command, copyable, download } from "./figure.js";
import { computed } from "./progress.js";
import { percent, short } from "./text.js";

/** @param {Looked} looked */
export function activations(looked) {
  const place = h("div", { class: "rows" });
  computed(place, "Layers", `${looked.api}/layers`, looked.signal, {
    done: (found) => place.replaceChildren(...grouped(looked, found)),
  });
  const words =
    "The most active units, and all maps on one scale. Choose a unit to see what in the picture activates it.";
  return h(
    "section",
    { id: "layers" },
    h("h2", {}, "Layer by layer"),
    h("p", { class: "soft" }, words),
    place,
  );
}

/**
 * A row for each layer with weights; the rows that follow it, until the next, are folded below.
 * @param {Looked} looked
 * @param {Activations[]} found
 */
function grouped(looked, found) {
  const weighted = new Set(looked.run.network.layers.map((layer) => layer.name));
  /** @type {Activations[][]} */
  const groups = [];
  for (const layer of found) {
    if (weighted.has(layer.name) || !groups.length) groups.push([layer]);
    else groups[groups.length - 1].push(layer);
  }
  return groups.map(([layer, ...then]) => {
    const names = `then ${then.map((one) => one.name).join(", ")}`;
    const rows = () => then.map((one) => h("div", { class: "then" }, row(looked, one)));
    return h("div", { class: "row" }, row(looked, layer), then.length > 0 && folded(names, rows));
  });
}

/** Content that is made when it is first opened. @param {string} words @param {() => Node[]} make */
function folded(words, make) {
  const details = h("details", {}, h("summary", {}, words));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(...make());
  });
  return details;
}

/** @param {Looked} looked @param {Activations} layer */
function row(looked, layer) {
  const { name, maps, side, active } = layer;
  const place = h("div", { class: "projected", "aria-live": "polite" });
  const choose = (/** @type {number} */ unit) => project(looked, layer, unit, place);
  const size = side > 1 ? `${maps} × ${side} × ${side}` : `${maps}`;
  return [
    h("h3", {}, name, h("small", {}, `${size}, ${percent(active, 0)} active`)),
    h(
      "div",
      { class: "strongest" },
      layer.strongest.map((one) => unitButton(looked, layer, one, choose)),
    ),
    place,
    folded(`all ${maps} ${side > 1 ? "maps" : "units"}`, () => allMaps(looked, layer, choose)),
  ];
}

/**
 * @param {Looked} looked
 * @param {Activations} layer
 * @param {{ unit: number, value: number }} one
 * @param {(unit: number) => void} choose
 */
function unitButton({ run, api }, { name, maps, side, columns }, { unit, value }, choose) {
  const src = address(`${api}/maps/${name}/${unit}.png`);
  const last = run.network.layers.at(-1)?.name === name; // its units are classes
  return h(
    "button",
    {
      type: "button",
      class: `map c${Math.floor((unit * columns) / maps)}`,
      "aria-label": `${name} unit ${unit}, ${short(value)}: project it`,
      onclick: () => choose(unit),
    },
    side > 1 && h("img", { src, loading: "lazy", width: 56, height: 56, alt: "" }),
    h("span", {}, last ? run.classes[unit] : unit, h("small", {}, short(value))),
  );
}

/** @param {Looked} looked @param {Activations} layer @param {(unit: number) => void} choose */
function allMaps({ api }, layer, choose) {
  const path = `${api}/maps/${layer.name}.png`;
  const sheet = h("img", {
    class: "maps",
    src: address(path),
    alt: `All ${layer.maps} maps of ${layer.name}`,
  });
  sheet.addEventListener("click", (event) => choose(unitAt(event, sheet, layer)));
  const number = h("input", { type: "number", min: 0, max: layer.maps - 1, onchange });
  function onchange() {
    if (number.value !== "" && number.checkValidity()) choose(Number(number.value));
  }
  const which = h("label", {}, "Project unit ", number);
  return [sheet, h("p", { class: "save" }, download("PNG", path, `${layer.name}.png`), which)];
}

/** Which map of the sheet was clicked. @param {MouseEvent} event @param {Element} sheet @param {Activations} layer */
function unitAt(event, sheet, { maps, per_row }) {
  const rows = Math.ceil(maps / per_row);
  const columns = Math.min(per_row, maps);
  const column = Math.floor((event.offsetX / sheet.clientWidth) * columns);
  const row = Math.floor((event.offsetY / sheet.clientHeight) * rows);
  return Math.min(maps - 1, row * per_row + column);
}

/**
 * Show what in the picture activates a unit, by a method that can be chosen.
 * @param {Looked} looked
 * @param {Activations} layer
 * @param {number} unit
 * @param {Element} place
 */
function project(looked, { name }, unit, place) {
  const { run, api, signal } = looked;
  if (signal.aborted) return;
  const options = ["deconvnet", "guided", "gradient"].map((one) => h("option", {}, one));
  const method = h("select", { "aria-label": "Method", onchange: draw }, options);
  const image = h("img", { width: 224, height: 224, alt: `What activates ${name} ${unit}` });
  const picture = h("img", { width: 224, height: 224, src: address(`${api}/view.jpg`), alt: "The picture" });
  const save = h("a", { class: "button", download: `${name}-${unit}.png` }, "PNG");
  const same = h("div", {});
  function draw() {
    const path = `${api}/projection/${name}/${unit}.png?method=${method.value}`;
    image.src = address(path);
    save.href = address(`${path}&figure=true`);
    const other = method.value === "deconvnet" ? [] : ["--method", method.value];
    const where = ["--layer", name, "--channels", String(unit), ...other];
    same.replaceChildren(copyable(command("see", "project", run.commands.run, "PICTURE", ...where)));
  }
  draw();
  const weighted = run.network.layers.some((one) => one.name === name);
  const title = `${name} · ${unit}`;
  place.replaceChildren(
    h("div", { class: "pair" }, image, picture),
    h(
      "p",
      {},
      weighted ? h("a", { href: `layer/${name}/unit/${unit}` }, title) : title,
      " by ",
      method,
      " ",
      save,
      " ",
      h("a", { href: followQuery(looked, name, unit) }, "Follow its number"),
    ),
    same,
  );
}

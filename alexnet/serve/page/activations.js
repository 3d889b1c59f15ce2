/** A row of the network, looking at a picture: what it does, its most active units, all maps, projections of units. */

import { address, compute } from "./api.js";
import { followQuery } from "./chosen.js";
import { h } from "./dom.js";
import { command, copyable, download, fault } from "./figure.js";
import { note } from "./navigate.js";
import { stagesOf } from "./network_layout.js";
import { mapCanvas } from "./paint.js";
import { picker } from "./pick.js";
import { pixels } from "./pixels.js";
import { aboutRow, softmaxRow } from "./rows.js";
import { percent, short } from "./text.js";

/** The panel of the row that is chosen. @param {Run} run */
export function rowPanel({ network: { rows } }) {
  const about = h("div", { class: "about-row" });
  const shown = h("div", { class: "shown-row" });
  const element = h("section", { id: "row", "aria-label": "The chosen row" }, about, shown);
  /** @type {WeakMap<Looked, Promise<Activations[]>>} */
  const known = new WeakMap();
  let name = "";

  /** @param {Looked} looked */
  function layersOf(looked) {
    const found = known.get(looked) ?? compute(`${looked.api}/layers`, {}, looked.signal);
    known.set(looked, found);
    return found;
  }

  /** What a live frame excites. @param {Glance|null} glance */
  function refresh(glance) {
    const row = glance?.rows[name];
    if (!row) return;
    const one = (/** @type {StrongMap} */ map, /** @type {number} */ column) =>
      h(
        "li",
        { class: `c${column}` },
        map.values && mapCanvas(row, map, column),
        h("span", {}, map.unit, h("small", {}, short(map.value))),
      );
    const list = row.strongest.flatMap((maps, column) => maps.map((map) => one(map, column)));
    shown.replaceChildren(
      h("p", { class: "soft" }, `${percent(row.active, 0)} of its units are active.`),
      h("ol", { class: "small-maps" }, list),
    );
  }

  /** @param {string} row @param {Looked|null} looked @param {Glance|null} glance @param {boolean} live */
  async function show(row, looked, glance, live) {
    name = row;
    const found = rows.find((one) => one.name === row) ?? softmaxRow(rows[rows.length - 1]);
    about.replaceChildren(...h("div", {}, aboutRow(found)).childNodes);
    if (live) refresh(glance);
    if (live || !looked || !glance?.rows[row]) return live || shown.replaceChildren();
    try {
      const layer = (await layersOf(looked)).find((/** @type {Activations} */ one) => one.name === row);
      if (layer && name === row && !looked.signal.aborted) shown.replaceChildren(...rowOf(looked, layer));
    } catch (error) {
      if (!looked.signal.aborted) shown.replaceChildren(fault(error));
    }
  }

  return { element, show, refresh };
}

/** Content that is made when it is first opened. @param {string} words @param {() => Node[]} make */
function folded(words, make) {
  const details = h("details", {}, h("summary", {}, words));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(...make());
  });
  return details;
}

/** @param {Looked} looked @param {Activations} layer @returns {Node[]} */
function rowOf(looked, layer) {
  const { maps, side, active } = layer;
  const place = h("div", { class: "projected", "aria-live": "polite" });
  function choose(/** @type {number} */ unit) {
    note({ unit });
    project(looked, layer, unit, place);
  }
  const noted = new URLSearchParams(location.search).get("unit");
  if (noted && Number(noted) < maps) project(looked, layer, Number(noted), place);
  return [
    h(
      "p",
      { class: "soft" },
      `${percent(active, 0)} of its ${side > 1 ? "maps" : "units"} are active; the strongest:`,
    ),
    h(
      "div",
      { class: "strongest" },
      layer.strongest.map((one) => unitButton(looked, layer, one, choose)),
    ),
    h(
      "p",
      {},
      h(
        "a",
        { href: followQuery(looked, layer.name, layer.strongest[0]?.unit ?? 0) },
        "Follow one of its numbers",
      ),
      " from the pixels to the answer.",
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
  const shown = last ? run.classes[unit] : String(unit);
  return h(
    "button",
    {
      type: "button",
      class: `map c${Math.floor((unit * columns) / maps)}`,
      "aria-label": `${shown} ${short(value)}: ${name} unit ${unit}, project it`,
      onclick: () => choose(unit),
    },
    side > 1 && h("img", { src, loading: "lazy", width: 56, height: 56, alt: "" }),
    h("span", {}, shown, " ", h("small", {}, short(value))),
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
function project(looked, { name, side }, unit, place) {
  const { run, api, signal } = looked;
  if (signal.aborted) return;
  const query = new URLSearchParams(location.search);
  const options = ["deconvnet", "guided", "gradient"];
  let method = options.find((one) => one === query.get("method")) ?? options[0];
  const methods = picker(
    "by",
    options.map((one) => [one, one]),
    method,
    (chosen) => {
      method = chosen;
      note({ method });
      draw();
    },
  );
  const image = h("img", { width: 224, height: 224, alt: `What activates ${name} ${unit}` });
  const picture = h("img", { width: 224, height: 224, src: address(`${api}/view.jpg`), alt: "The picture" });
  const save = h("a", { class: "button", download: `${name}-${unit}.png` }, "PNG");
  const same = h("div", {});
  function draw() {
    const path = `${api}/projection/${name}/${unit}.png?method=${method}`;
    image.src = address(path);
    save.href = address(`${path}&figure=true`);
    const other = method === "deconvnet" ? [] : ["--method", method];
    const where = ["--layer", name, "--channels", String(unit), ...other];
    same.replaceChildren(copyable(command("see", "project", run.commands.run, "PICTURE", ...where)));
  }
  draw();
  const stage = stagesOf(run.network).find(({ rows }) => rows.some((one) => one.name === name));
  const title = `${name} · ${unit}`;
  place.replaceChildren(
    h("div", { class: "pair" }, image, picture, side > 1 && pixels(looked, name, unit, side)),
    h(
      "div",
      { class: "by" },
      stage ? h("a", { href: `layer/${stage.layer.name}/unit/${unit}` }, title) : title,
      methods,
      save,
      " ",
      h(
        "a",
        { href: followQuery(looked, name, unit) },
        side > 1 ? "Follow its largest number" : "Follow its number",
      ),
      side > 1 && ", or click a pixel of the map.",
    ),
    same,
  );
}

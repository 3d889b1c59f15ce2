/** How a unit formed: the picture that activated it most after each snapshot. */

import { address } from "./api.js";
import { h } from "./dom.js";
import { figure, unitCommand } from "./figure.js";
import { short } from "./text.js";

/**
 * @param {Run} run
 * @param {Store} store
 * @param {UnitPage} unit
 * @param {string} api
 */
export function evolution(run, store, unit, api) {
  if (unit.snapshots.length < 2) return null;
  const about = {
    title: "How it formed",
    words: "The picture that activated it most after each snapshot, as in [Z] Fig. 4.",
    command: unitCommand(run, store, unit, "evolution", "--split", store.split),
    name: `${run.name}-${unit.layer.name}-${unit.unit}-evolution`,
    id: "evolution",
  };
  if (unit.evolution?.length) {
    const saves = { png: `${api}/evolution.png`, json: () => unit.evolution };
    return figure(slider(run, unit.evolution, api, unit.rectified), { ...about, ...saves });
  }
  return null; // `preparation` offers to make it
}

/**
 * @param {Run} run
 * @param {NonNullable<UnitPage["evolution"]>} found
 * @param {string} api
 * @param {boolean} rectified whether the unit is silent at 0 and below
 */
function slider(run, found, api, rectified) {
  const last = found.length - 1;
  const words = h("output", {});
  const image = (/** @type {string} */ alt) => h("img", { width: 192, height: 192, alt });
  const [projection, patch] = [image("projection"), image("patch")];
  const range = h("input", {
    type: "range",
    min: 0,
    max: last,
    value: last,
    step: 1,
    "aria-label": "Epoch",
    oninput: move,
  });
  function move() {
    const place = Number(range.value);
    const one = found[place];
    projection.src = address(`${api}/evolution/${place}/projection.png?v=${run.version}`);
    patch.src = address(`${api}/evolution/${place}/patch.png?v=${run.version}`);
    const silent = rectified && one.value <= 0;
    const value = silent
      ? `silent; nearest to active on ${one.class}, ${short(one.value)}`
      : `${one.class}, ${short(one.value)}`;
    words.textContent = `epoch ${one.epoch}: ${value}`;
    patch.classList.toggle("silent", silent);
    projection.classList.toggle("silent", silent);
    range.setAttribute("aria-valuetext", words.textContent);
  }
  move();
  const stops = found.map((one) => h("li", {}, one.epoch));
  return h(
    "div",
    { class: "slider" },
    h("div", { class: "pair" }, projection, patch),
    h("label", {}, range, words),
    h("ol", { class: "stops", "aria-hidden": "true" }, stops),
  );
}

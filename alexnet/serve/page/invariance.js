/** Invariance ([Z] Fig. 5): how the prediction and the features change when a picture is shifted, scaled, rotated. */

import { address } from "./api.js";
import { probabilities } from "./bars.js";
import { curves } from "./curves.js";
import { h } from "./dom.js";
import { command, download, figure } from "./figure.js";
import { computed } from "./progress.js";
import { saveJson } from "./save.js";
import { percent } from "./text.js";

const NAMES = { translation: "Shift", scale: "Scale", rotation: "Rotate" };

/** @param {Looked} looked */
export function invariance({ run, api, signal }) {
  const start = h("button", { type: "button", class: "primary", onclick }, "Shift, scale and rotate it");
  const place = h("div", {}, start);
  function onclick() {
    start.remove();
    computed(place, "Transformed pictures", `${api}/invariance`, signal, {
      done: (found) => place.replaceChildren(tabs(found, api)),
    });
  }
  return figure(place, {
    title: "Shifted, scaled, rotated",
    words:
      "The picture shifted, enlarged and rotated ([Z] Fig. 5): how the probabilities change, and how far " +
      "the features of the first and the last hidden layer move.",
    command: command("see", "invariance", run.commands.run, "PICTURE"),
    name: "invariance",
    id: "invariance",
  });
}

/** @param {Invariance} found @param {string} api */
function tabs(found, api) {
  const shown = h("div", {});
  const buttons = found.curves.map((curve) =>
    h("button", { type: "button", onclick: () => choose(curve) }, NAMES[curve.kind]),
  );
  /** @param {InvarianceCurve} curve */
  function choose(curve) {
    buttons.forEach((button, n) => button.setAttribute("aria-pressed", String(found.curves[n] === curve)));
    shown.replaceChildren(transformed(curve, found.layers, api));
  }
  choose(found.curves[0]);
  const json = h("button", { type: "button", onclick: () => saveJson(found, "invariance.json") }, "JSON");
  const png = download("PNG", `${api}/invariance.png`, "invariance.png");
  const group = h("div", { class: "tabs", role: "group", "aria-label": "Transformation" }, buttons);
  return h("div", {}, group, shown, h("div", { class: "save" }, png, json));
}

/** @param {InvarianceCurve} curve @param {string[]} layers @param {string} api */
function transformed({ kind, unit, amounts, classes, distances }, layers, api) {
  const unchanged = kind === "scale" ? 0 : amounts.indexOf(0);
  const image = h("img", { class: "view", width: 224, height: 224, alt: "The transformed picture" });
  const labels = h("div", {});
  const words = h("output", {});
  const range = h("input", {
    type: "range",
    min: 0,
    max: amounts.length - 1,
    value: unchanged,
    step: 1,
    "aria-label": NAMES[kind],
    oninput: () => set(Number(range.value)),
  });

  /** @param {number} place */
  function set(place) {
    range.value = String(place);
    image.src = address(`${api}/invariance/${kind}/${place}.jpg`);
    words.textContent = `${amounts[place].toFixed(kind === "scale" ? 2 : 0)} ${unit}`;
    range.setAttribute("aria-valuetext", words.textContent);
    const here = classes.map((one) => ({ class: one.class, probability: one.probability[place] }));
    labels.replaceChildren(probabilities(here.sort((a, b) => b.probability - a.probability)));
  }

  const probability = curves({
    x: amounts,
    xName: unit,
    yName: "probability",
    low: 0,
    high: 1,
    format: (value) => percent(value, 0),
    lines: classes.slice(0, 3).map((one) => ({ name: one.class, y: one.probability })),
    picked: set,
  });
  const distance = curves({
    x: amounts,
    xName: unit,
    yName: "distance of features, relative",
    low: 0,
    lines: layers.map((layer) => ({ name: layer, y: distances[layer] })),
  });
  set(unchanged);
  const slider = h("div", {}, image, h("label", {}, range, words), labels);
  return h("div", { class: "transformed" }, slider, h("div", {}, probability, distance));
}

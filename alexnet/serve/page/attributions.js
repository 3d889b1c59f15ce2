/** Which pixels a logit rests on: the methods of attribution side by side, each on a labelled scale. */

import { address } from "./api.js";
import { h } from "./dom.js";
import { command, figure } from "./figure.js";
import { legend, overlaid } from "./levels.js";
import { note } from "./navigate.js";
import { computed } from "./progress.js";
import { short } from "./text.js";

/** @typedef {{ name: string, signed: boolean, scale: string, slow: boolean }} Method */

const FIRST = ["grad-cam", "input-x-gradient", "lrp"];

/** @type {Record<string, string>} */
const WORDS = {
  gradient: "How the logit answers to a small change of each pixel.",
  "input-x-gradient": "Each pixel times its gradient.",
  "integrated-gradients": "Gradients on the way from the mean picture to this one; they add up to the logit.",
  smoothgrad: "The mean gradient of 50 noisy copies.",
  deconvnet: "The class's unit projected down as in [Z].",
  guided: "Gradients that pass only where both signals are positive.",
  "grad-cam": "The last convolution's maps, weighted by their gradients: coarse, but of the class.",
  "grad-cam++": "Grad-CAM with weights for each position.",
  lrp: "The logit handed down from row to row, each unit paying those that fed it.",
  occlusion: "How far the logit falls where a grey square covers the picture.",
  rise: "The mean probability over 500 random masks that leave the pixel.",
};

/** @param {Looked} looked @param {import("./why.js").Split} split @param {URLSearchParams} query */
export function attributions(looked, split, query) {
  const wanted = new Set((query.get("methods") ?? FIRST.join(",")).split(","));
  const cards = h("div", { class: "attributions" });
  /** @type {Map<string, Element>} */
  const shown = new Map();

  /** @param {Method} method */
  function add(method) {
    if (!shown.has(method.name)) shown.set(method.name, card(looked, split, method));
    const order = split.methods.map(({ name }) => shown.get(name)).filter((one) => one !== undefined);
    cards.replaceChildren(...order);
  }

  const boxes = split.methods.map((method) => {
    const box = h("input", { type: "checkbox", checked: wanted.has(method.name), onchange });
    function onchange() {
      if (box.checked) wanted.add(method.name);
      else wanted.delete(method.name);
      note({ methods: [...wanted].join(",") });
      if (box.checked) return add(method);
      shown.get(method.name)?.remove();
      shown.delete(method.name);
    }
    return h("label", { class: "check" }, box, " ", method.name, method.slow && h("small", {}, "slow"));
  });
  for (const method of split.methods) if (wanted.has(method.name)) add(method);
  return figure([h("fieldset", { class: "checks" }, h("legend", {}, "Methods"), boxes), legend(), cards], {
    id: "attributions",
    title: `Which pixels speak for ${split.target}`,
    words:
      "The colours run from −full to +full in every map. What “full” is in its unit stands below each map; half a " +
      "percent of the pixels exceed it. Methods without a sign show only what speaks for the class.",
    command: command("see", "attribution", looked.run.commands.run, "PICTURE", "--true", split.target),
  });
}

/** @param {Looked} looked @param {import("./why.js").Split} split @param {Method} method */
function card({ api, signal }, split, method) {
  const place = h("div", { class: "place" });
  const view = address(`${api}/view.jpg`);
  const path = `${api}/attribution/${encodeURIComponent(method.name)}?class=${split.number}`;
  const start = () => {
    place.replaceChildren();
    computed(place, method.name, path, signal, {
      done: ({ map, remainder }) => {
        place.append(overlaid(view, map, method.scale, `${method.name} of ${split.target}`));
        if (remainder !== null)
          place.append(h("p", { class: "full" }, `Unaccounted for: ${short(remainder)} logit.`));
      },
    });
  };
  if (method.slow) place.append(h("button", { type: "button", onclick: start }, "Compute it"));
  else start();
  const signs = method.signed ? "for and against" : "for only";
  return h(
    "section",
    { class: "attribution" },
    h("h3", {}, method.name, " ", h("small", {}, signs)),
    h("p", { class: "soft" }, WORDS[method.name]),
    place,
  );
}

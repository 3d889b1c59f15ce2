/** What a unit is connected to: the layers below and above it. */

import { spectrum } from "./bars.js";
import { h } from "./dom.js";
import { short } from "./text.js";

const COLOURS = ["red", "green", "blue"];

/** @param {UnitPage} unit */
export function connections({ layer, inputs, outputs }) {
  if (!inputs && !outputs) return null;
  return h(
    "section",
    {},
    h("h2", {}, "Connections"),
    h(
      "p",
      { class: "soft" },
      "A bar for each channel: the norm of the weights between the two. The strongest are links.",
    ),
    inputs && one("Inputs from", inputs, layer.columns),
    outputs && one("Outputs to", outputs, layer.columns),
  );
}

/** @param {string} title @param {Connections} found @param {number} columns */
function one(title, { layer, strengths, strongest }, columns) {
  const picture = layer === "picture";
  const name = (/** @type {number} */ channel) =>
    picture ? COLOURS[channel] : h("a", { href: `layer/${layer}/unit/${channel}` }, `${layer} · ${channel}`);
  const items = strongest.map((channel) =>
    h("li", {}, name(channel), " ", h("small", {}, short(strengths[channel]))),
  );
  return h(
    "div",
    {},
    h("h3", {}, `${title} `, picture ? "the picture" : h("a", { href: `layer/${layer}` }, layer)),
    !picture && spectrum(strengths, strongest, columns, `Strengths of ${strengths.length} connections`),
    h("ul", { class: "connections" }, items),
  );
}

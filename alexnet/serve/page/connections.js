/** What a unit is connected to, with signs: the layers below and above it. */

import { spectrum } from "./bars.js";
import { h } from "./dom.js";
import { withPins } from "./pins.js";
import { signed } from "./text.js";

const COLOURS = ["red", "green", "blue"];

/** @param {UnitPage} unit @param {string[]} pins */
export function connections({ layer, inputs, outputs }, pins) {
  if (!inputs && !outputs) return null;
  const single = (inputs ?? outputs)?.single && (outputs ?? inputs)?.single;
  const words = single
    ? "A bar for each weight, up where it is positive and down where it is negative."
    : "A bar for each channel: the sum of the weights between the two, what a map that is 1 everywhere adds. " +
      "Up is positive, down negative.";
  return h(
    "section",
    { id: "connections" },
    h("h2", {}, "Connections"),
    h("p", { class: "soft" }, words),
    inputs && one("Inputs from", ["excited by", "inhibited by"], inputs, layer.columns, pins),
    outputs &&
      one(
        "Outputs to",
        outputs.names ? ["speaks for", "speaks against"] : ["excites", "inhibits"],
        outputs,
        layer.columns,
        pins,
      ),
  );
}

/**
 * @param {string} title
 * @param {[string, string]} verbs
 * @param {Connections} found
 * @param {number} columns
 * @param {string[]} pins
 */
function one(title, verbs, { layer, sums, for: most, against, names }, columns, pins) {
  const picture = layer === "picture";
  const name = (/** @type {number} */ channel) =>
    picture
      ? COLOURS[channel]
      : h(
          "a",
          { href: withPins(`layer/${layer}/unit/${channel}`, pins) },
          names ? names[channel] : `${layer} · ${channel}`,
        );
  const list = (/** @type {string} */ verb, /** @type {number[]} */ channels, /** @type {string} */ kind) =>
    h(
      "div",
      { class: kind },
      h("h4", {}, h("span", { "aria-hidden": "true" }, kind === "plus" ? "▲ " : "▼ "), verb),
      channels.length
        ? h(
            "ul",
            { class: "connections" },
            channels.map((channel) => h("li", {}, name(channel), " ", h("small", {}, signed(sums[channel])))),
          )
        : h("p", { class: "soft" }, "none"),
    );
  const count = (/** @type {number} */ sign) => sums.filter((sum) => sum * sign > 0).length;
  const spoken = `${sums.length} connections: ${count(1)} positive, ${count(-1)} negative`;
  return h(
    "div",
    {},
    h(
      "h3",
      {},
      `${title} `,
      picture ? "the picture" : h("a", { href: withPins(`layer/${layer}`, pins) }, layer),
    ),
    !picture && spectrum(sums, [...most, ...against], columns, spoken),
    h("div", { class: "signs" }, list(verbs[0], most, "plus"), list(verbs[1], against, "minus")),
  );
}

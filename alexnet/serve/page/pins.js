/** Units that are pinned, to be compared side by side. The address keeps them: ?pins=conv5.12,fc7.3 */

import { address, get } from "./api.js";
import { h } from "./dom.js";
import { note, reload } from "./navigate.js";
import { percent, short } from "./text.js";

const MOST = 6;

/** @param {URLSearchParams} query @returns {string[]} as "conv5.12" */
export const pinsOf = (query) =>
  (query.get("pins") ?? "").split(",").filter((pin) => /^[^,]+\.\d+$/.test(pin));

/** An address of a page of units, with the pins. @param {string} href @param {string[]} pins */
export function withPins(href, pins) {
  return pins.length ? `${href}${href.includes("?") ? "&" : "?"}pins=${pins.join(",")}` : href;
}

/** @param {string[]} pins */
function keep(pins) {
  note({ pins: pins.length ? pins.join(",") : null });
  reload();
}

/** @param {string} pin @param {string[]} pins */
export function pinButton(pin, pins) {
  const there = pins.includes(pin);
  const full = pins.length >= MOST && !there;
  const change = () => keep(there ? pins.filter((one) => one !== pin) : [...pins, pin]);
  const title = full ? `${MOST} units are pinned already` : null;
  const words = there ? "Unpin" : "Pin to compare";
  const properties = { type: "button", class: "pin", "aria-pressed": String(there), disabled: full, title };
  return h("button", { ...properties, onclick: change }, words);
}

/**
 * The pinned units side by side.
 * @param {Run} run
 * @param {string[]} pins
 * @param {AbortSignal} signal
 */
export async function pinned(run, pins, signal) {
  if (!pins.length) return null;
  const cards = await Promise.all(pins.map((pin) => card(run, pin, pins, signal)));
  return h(
    "section",
    { class: "pinned", id: "pinned" },
    h("h2", {}, "Pinned units"),
    h("div", { class: "pin-cards" }, cards),
  );
}

/** @param {Run} run @param {string} pin @param {string[]} pins @param {AbortSignal} signal */
async function card(run, pin, pins, signal) {
  const place = pin.lastIndexOf(".");
  const [layer, number] = [pin.slice(0, place), pin.slice(place + 1)];
  const api = `api/sides/own/layers/${layer}/units/${number}`;
  const remove = () => keep(pins.filter((one) => one !== pin));
  const off = h("button", { type: "button", class: "plain", onclick: remove }, "Unpin");
  try {
    /** @type {UnitPage} */
    const unit = await get(api, signal);
    const name = `${layer} · ${unit.class ?? number}`;
    const image = (/** @type {Ranked} */ { rank }) =>
      h("img", {
        src: address(`${api}/strongest/${rank}/patch.png?v=${run.version}t`),
        width: 96,
        height: 96,
        loading: "lazy",
        alt: "",
      });
    const classes = [...new Set((unit.strongest ?? []).map((one) => one.class))];
    const facts = [
      unit.histogram && `active on ${percent(unit.histogram.active, 0)}`,
      unit.strongest?.length && `strongest ${short(unit.strongest[0].value)}`,
      classes.length > 0 && `on ${classes.slice(0, 4).join(", ")}${classes.length > 4 ? " …" : ""}`,
      unit.part &&
        unit.part.iou > Math.max(unit.part.least_iou, unit.part.random) &&
        `detects ${unit.part.part}`,
    ];
    return h(
      "section",
      { class: `pin-card c${unit.column}` },
      h("h3", {}, h("a", { href: withPins(`layer/${layer}/unit/${number}`, pins) }, name)),
      h("div", { class: "nine" }, (unit.strongest ?? []).map(image)),
      h("p", {}, facts.filter(Boolean).join("; ")),
      off,
    );
  } catch (error) {
    return h("section", { class: "pin-card" }, h("h3", {}, pin), h("p", {}, String(error)), off);
  }
}

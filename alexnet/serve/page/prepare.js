/**
 * Passes over the pictures that pages of units need: begun by one button, or by themselves where they are short. They
 * go on while other pages are shown, and a page that waits for them is made again as each is finished.
 */

import { compute, get } from "./api.js";
import { announce, h } from "./dom.js";
import { fault } from "./figure.js";
import { reload } from "./navigate.js";
import { progressLine } from "./progress.js";
import { whole } from "./text.js";

/** @typedef {{ missing: string[], seconds: number, automatic: boolean }} Preparation */

/** @type {Record<string, string>} */
const NAMES = {
  top: "what activates each unit",
  spread: "how often",
  evolution: "how units formed",
  evaluation: "the errors of one and ten views",
  neighbours: "similar training pictures",
  parts: "which parts units look at",
};

/** Of the passes that run; kept when a page is left. @type {HTMLElement|null} */
let line = null;
/** Why the last ones ended; then a page doesn't begin them again by itself. @type {unknown} */
let failed = null;

/**
 * What the page that is shown does when a pass is finished, given its name, and at the end, given "".
 * @type {((what: string) => void)|null}
 */
let heard = null;

/**
 * What is still to be prepared, how long it takes, or how far it is.
 * @param {Run} run
 * @param {AbortSignal} signal
 * @param {(what: string) => void} [made] what the page does when a pass is finished: by default it is made again
 */
export function preparation(run, signal, made = reload) {
  const place = h("div", { class: "preparation", "aria-busy": "true" });
  heard = made;
  signal.addEventListener("abort", () => heard === made && (heard = null));
  if (line) place.append(line);
  else if (run.store && run.weights) offer(run, place, signal);
  else if (!run.store) place.append(withoutPictures());
  return place;
}

function withoutPictures() {
  const why =
    "What activates these units is unknown: there are no prepared pictures. Start the explorer with ";
  return h("p", { class: "missing" }, why, h("code", {}, "--store STORE"), ".");
}

/** @param {Run} run @param {HTMLElement} place @param {AbortSignal} signal */
async function offer(run, place, signal) {
  try {
    /** @type {Preparation} */
    const found = await get("api/sides/own/preparation", signal);
    if (!found.missing.length) place.removeAttribute("aria-busy");
    if (!found.missing.length) return;
    if (line)
      place.append(line); // begun by another page meanwhile
    else if (found.automatic && !failed && run.state.word !== "training") begin(place);
    else place.append(button(run, found, place));
  } catch (error) {
    if (!signal.aborted) place.append(fault(error));
  }
}

/** @param {Run} run @param {Preparation} found @param {HTMLElement} place */
function button({ store }, { missing, seconds }, place) {
  const count = whole(store?.splits[store.split] ?? 0);
  const words = `Not prepared yet: ${missing.map((what) => NAMES[what]).join(", ")}. `;
  const kept = `The network looks at the ${count} pictures of ${store?.split}; the results are kept in the run folder.`;
  const start = h("button", { type: "button", class: "primary", onclick: () => begin(place) });
  start.textContent = `Prepare everything (about ${roughly(seconds)})`;
  return h("div", { class: "missing" }, failed !== null && fault(failed), h("p", {}, words, kept), start);
}

/** @param {number} seconds */
function roughly(seconds) {
  const minutes = Math.max(1, Math.round(seconds / 60));
  if (minutes >= 90) return `${Math.round(minutes / 60)} hours`;
  return minutes === 1 ? "1 minute" : `${minutes} minutes`;
}

/** @param {HTMLElement} place */
async function begin(place) {
  const { element, listeners } = progressLine("Preparing");
  line = element;
  failed = null;
  place.replaceChildren(element);
  try {
    const part = (/** @type {string} */ what) => heard?.(what);
    const listen = { ...listeners, part };
    await compute("api/sides/own/passes/everything", listen, new AbortController().signal);
  } catch (error) {
    failed = error;
  }
  line = null;
  announce(failed === null ? "Everything is prepared." : "Not everything could be prepared.");
  element.parentElement?.removeAttribute("aria-busy");
  element.replaceWith(failed === null ? "" : fault(failed));
  heard?.("");
}

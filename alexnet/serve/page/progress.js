/** Computations that take a while: where they are in the queue, how much is done, what they give. */

import { compute } from "./api.js";
import { h } from "./dom.js";
import { fault } from "./figure.js";
import { duration, whole } from "./text.js";

/** A line that shows the progress of a computation. @param {string} what */
export function progressLine(what) {
  const words = h("span", {}, `${what} …`);
  const bar = h("progress", { max: "1", "aria-label": what });
  const element = h("p", { class: "progress" }, bar, words);
  /** @type {Listeners} */
  const listeners = {
    place: ({ before }) =>
      (words.textContent = before ? `${what}: ${whole(before)} before you` : `${what} …`),
    progress: ({ done, total, seconds_left, step }) => {
      if (done || total > 1) bar.value = done / total;
      else bar.removeAttribute("value"); // it is unknown how much is done
      const left = seconds_left ? `, ${duration(seconds_left)} left` : "";
      const name = step ? `${what}, ${step}` : what;
      words.textContent = total > 1 ? `${name}: ${whole(done)} of ${whole(total)}${left}` : `${name} …`;
    },
  };
  return { element, listeners };
}

/**
 * Compute something, with its progress shown in `place` until the result is there.
 * @param {HTMLElement} place
 * @param {string} what
 * @param {string} path
 * @param {AbortSignal} signal
 * @param {{ part?: (part: any) => void, done: (result: any) => void }} listeners
 */
export async function computed(place, what, path, signal, { part, done }) {
  const line = progressLine(what);
  place.append(line.element);
  try {
    const result = await compute(path, { ...line.listeners, part }, signal);
    line.element.remove();
    done(result);
  } catch (error) {
    if (!signal.aborted) line.element.replaceWith(fault(error));
  }
}

/**
 * A button that has passes over many pictures made, one after the other, with their progress, and then calls `made`.
 * @param {string} label
 * @param {string} words why
 * @param {[what: string, path: string][]} passes
 * @param {AbortSignal} signal
 * @param {() => void} made
 */
export function passButton(label, words, passes, signal, made) {
  const button = h("button", { type: "button", class: "primary", onclick: start }, label);
  const place = h("div", { class: "missing" }, h("p", {}, words), button);
  async function start() {
    try {
      for (const [what, path] of passes) {
        const line = progressLine(what);
        place.replaceChildren(line.element);
        await compute(path, line.listeners, signal);
      }
      made();
    } catch (error) {
      if (!signal.aborted) place.replaceChildren(fault(error));
    }
  }
  return place;
}

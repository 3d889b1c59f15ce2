/** A line at the foot of the window that says what the page is waiting for. */

import { h } from "./dom.js";

/** @type {string[]} what is waited for, the newest last */
const waits = [];
const place = h("div", { class: "notice", role: "status" });

/** Say something until a promise settles. @template T @param {string} words @param {Promise<T>} waited */
export async function notice(words, waited) {
  waits.push(words);
  show();
  try {
    return await waited;
  } finally {
    waits.splice(waits.indexOf(words), 1);
    setTimeout(show, 300); // the next try may fail at once: no flicker
  }
}

function show() {
  const words = waits.at(-1) ?? "";
  if (!place.isConnected) document.body.append(place);
  if (place.textContent !== words) place.textContent = words;
}

/** A worker made of modules of the bundle, which also exists where the page is opened from a disk. */

import { answer } from "./worker.js";

const MODULES = ["engine.js", "multiply.js", "resample.js", "worker.js"].map((name) => `site/${name}`);

/**
 * A function that asks the worker; without one the page itself does the work.
 * @returns {(what: string, question: any) => Promise<any>}
 */
export function workerFrom() {
  try {
    return askerOf(new Worker(URL.createObjectURL(new Blob([source()], { type: "text/javascript" }))));
  } catch {
    return async (what, question) => answer(what, question);
  }
}

/** The modules as the bundle has them, and a call that starts them. */
function source() {
  const { definitions, linked } = /** @type {any} */ (window).alexnetBundle;
  const own = MODULES.map((name) => `${JSON.stringify(name)}: ${definitions[name]}`);
  return `"use strict"; (${linked})({ ${own.join(", ")} })("site/worker.js").listen();`;
}

/** @param {Worker} worker */
function askerOf(worker) {
  /** @type {Map<number, { resolve: (answer: any) => void, reject: (fault: Error) => void }>} */
  const asked = new Map();
  let count = 0;
  worker.addEventListener("message", ({ data: { number, answer, fault } }) => {
    const waiting = asked.get(number);
    asked.delete(number);
    if (fault) waiting?.reject(new Error(fault));
    else waiting?.resolve(answer);
  });
  return (/** @type {string} */ what, /** @type {any} */ question) =>
    new Promise((resolve, reject) => {
      asked.set(++count, { resolve, reject });
      worker.postMessage({ number: count, what, question });
    });
}

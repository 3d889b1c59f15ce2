/** Requests to the explorer's JSON API. Addresses are relative to the page's base, which may begin with a token. */

import { notice } from "./notice.js";
import { whole } from "./text.js";

const AGAIN = 2; // seconds
const GONE =
  "The explorer does not answer: it was stopped, or the connection is interrupted. " +
  "This page continues by itself once it answers again.";

/** @param {string} path */
export const address = (path) => new URL(path, document.baseURI).href;

/** What the explorer refused, in its own words. */
export class Refused extends Error {}

/** The JSON at an address. @param {string} path @param {AbortSignal} [signal] @returns {Promise<any>} */
export async function get(path, signal) {
  return read(await patient(path, { signal }));
}

/** @param {string} path @param {BodyInit|null} body @param {AbortSignal} [signal] @returns {Promise<any>} */
export async function post(path, body = null, signal) {
  return read(await patient(path, { method: "POST", body, signal }));
}

/**
 * The response to a request, which waits as long as it takes: while too many others wait, and while the explorer can't
 * be reached.
 * @param {string} path
 * @param {RequestInit} options
 * @param {(place: { before: number }) => void} [place] gets the number of requests before this one
 */
async function patient(path, options, place) {
  for (;;) {
    const response = await reached(path, options);
    if (response.status !== 503) return response;
    const { before = 1 } = await response.json().catch(() => ({}));
    place?.({ before });
    const words = `The network is busy: ${whole(before)} before you. This page waits and asks again.`;
    const after = Number(response.headers.get("retry-after")) || AGAIN;
    await notice(words, pause(after, options.signal));
  }
}

/** @param {string} path @param {RequestInit} options @returns {Promise<Response>} */
async function reached(path, options) {
  for (;;) {
    try {
      return await fetch(address(path), options);
    } catch (error) {
      if (options.signal?.aborted || !(error instanceof TypeError)) throw error;
      await notice(GONE, pause(AGAIN, options.signal));
    }
  }
}

/**
 * About so many seconds; not all pages are to ask again at the same moment. Rejects when the signal is aborted.
 * @param {number} seconds
 * @param {AbortSignal|null} [signal]
 * @returns {Promise<void>}
 */
function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    setTimeout(resolve, 1000 * seconds * (0.5 + Math.random()));
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

/** @param {Response} response */
async function read(response) {
  if (response.ok) return response.json();
  throw new Refused(await reason(response));
}

/** @param {Response} response @returns {Promise<string>} */
async function reason(response) {
  try {
    return (await response.json()).error;
  } catch {
    return `${response.status} ${response.statusText}`;
  }
}

/**
 * Have something computed, and follow its progress. Resolves to the result; throws Refused with the server's words.
 * Aborting the signal cancels the computation too. Where the explorer's queue was full, or the connection
 * broke, it is asked for again, and parts come again.
 * @param {string} path
 * @param {Listeners} listeners
 * @param {AbortSignal} signal
 * @returns {Promise<any>}
 */
export async function compute(path, listeners, signal) {
  for (;;) {
    const response = await patient(path, { method: "POST", signal }, listeners.place);
    if (!response.ok) throw new Refused(await reason(response));
    let words = GONE;
    for await (const { kind, value } of events(response)) {
      if (kind === "done") return value;
      if (kind === "failed") {
        if (value.before === undefined) throw new Refused(value.error);
        listeners.place?.(value);
        words = "";
      }
      if (kind === "place" || kind === "progress" || kind === "part") listeners[kind]?.(value);
    }
    signal.throwIfAborted();
    await notice(words, pause(AGAIN, signal));
  }
}

/** Server-sent events of a response, one after the other. (EventSource can't POST.) @param {Response} response */
async function* events(response) {
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const broken = { done: true, value: "" };
  let text = "";
  for (;;) {
    const { done, value } = await reader.read().catch(() => broken);
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop() ?? ""; // the beginning of a block whose end has not arrived
    for (const block of blocks) {
      const found = /^event: (\w+)\ndata: (.*)$/s.exec(block);
      if (found) yield { kind: found[1], value: JSON.parse(found[2]) };
    }
  }
}

/** Pictures that the explorer draws wait like everything else, instead of being shown as broken. */
document.addEventListener(
  "error",
  ({ target }) => {
    if (target instanceof HTMLImageElement && target.src.startsWith(address("api/"))) drawAgain(target);
  },
  true,
);

/** @param {HTMLImageElement} image */
async function drawAgain(image) {
  const source = image.src;
  const left = new AbortController();
  const wanted = () => image.isConnected && image.src === source;
  try {
    const response = await patient(source, { signal: left.signal }, () => wanted() || left.abort());
    if (!response.ok || !wanted()) return;
    image.src = URL.createObjectURL(await response.blob());
    image.addEventListener("load", () => URL.revokeObjectURL(image.src), { once: true });
  } catch {
    // it is no longer shown
  }
}

/**
 * A version of all that is known of the run (`stamp`) and of its weights alone.
 * @typedef {{ stamp: string, version: string }} Stamp
 */

/** @type {EventSource|null} one for all pages: browsers open only a few connections to a host */
let source = null;
/** @type {Stamp|null} */
let last = null;
/** @type {Position|null} */
let position = null;
const heard = new EventTarget();

/**
 * Follow the run until the signal is aborted. The browser reconnects by itself after the explorer was restarted.
 * @param {AbortSignal} signal
 * @param {(stamp: Stamp) => void} changed called when log or weights are new, and once at the beginning
 * @param {(now: Position|null) => void} [now] called with the position of a training inside its epoch
 */
export function follow(signal, changed, now = () => {}) {
  source ??= listen();
  heard.addEventListener("changed", () => last && changed(last), { signal });
  heard.addEventListener("now", () => now(position), { signal });
  queueMicrotask(() => {
    if (signal.aborted || !last) return;
    changed(last);
    now(position);
  });
}

/** @param {AbortSignal} signal @param {string} version of the weights that are shown @param {() => void} renew */
export function followWeights(signal, version, renew) {
  follow(signal, (stamp) => stamp.version !== version && renew());
}

function listen() {
  const source = new EventSource(address("api/events"));
  source.addEventListener("changed", (event) => {
    const next = JSON.parse(event.data);
    if (next.stamp === last?.stamp) return; // connected again
    last = next;
    heard.dispatchEvent(new Event("changed"));
  });
  source.addEventListener("now", (event) => {
    position = JSON.parse(event.data);
    heard.dispatchEvent(new Event("now"));
  });
  return source;
}

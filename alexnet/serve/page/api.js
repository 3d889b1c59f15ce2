/** Requests to the explorer's JSON API. Addresses are relative to the page's base, which may begin with a token. */

/** @param {string} path */
export const address = (path) => new URL(path, document.baseURI).href;

/** What the explorer refused, in its own words. */
export class Refused extends Error {}

/** The JSON at an address. @param {string} path @param {AbortSignal} [signal] @returns {Promise<any>} */
export async function get(path, signal) {
  return read(await fetch(address(path), { signal }));
}

/** @param {string} path @param {BodyInit|null} body @param {AbortSignal} [signal] @returns {Promise<any>} */
export async function post(path, body = null, signal) {
  return read(await fetch(address(path), { method: "POST", body, signal }));
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
 * Aborting the signal cancels the computation too.
 * @param {string} path
 * @param {Listeners} listeners
 * @param {AbortSignal} signal
 * @returns {Promise<any>}
 */
export async function compute(path, listeners, signal) {
  const response = await fetch(address(path), { method: "POST", signal });
  if (!response.ok) throw new Refused(await reason(response));
  for await (const { kind, value } of events(response)) {
    if (kind === "failed") throw new Refused(value.error);
    if (kind === "done") return value;
    if (kind === "place" || kind === "progress" || kind === "part") listeners[kind]?.(value);
  }
  throw new Refused("the explorer closed the connection");
}

/** Server-sent events of a response, one after the other. (EventSource can't POST.) @param {Response} response */
async function* events(response) {
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
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

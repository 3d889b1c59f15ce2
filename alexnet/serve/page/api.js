/** Asking the explorer's JSON API. Every address is relative to the page's base, which may begin with a token. */

/** @param {string} path @returns {string} */
export const address = (path) => new URL(path, document.baseURI).href;

export class Refused extends Error {}

/** The JSON at an address. @param {string} path @param {AbortSignal} [signal] @returns {Promise<any>} */
export async function get(path, signal) {
  return read(await fetch(address(path), { signal }));
}

/** @param {string} path @param {BodyInit|null} body @param {AbortSignal} [signal] @returns {Promise<any>} */
export async function post(path, body = null, signal) {
  return read(await fetch(address(path), { method: "POST", body, signal }));
}

async function read(response) {
  if (response.ok) return response.json();
  throw new Refused(await reason(response));
}

async function reason(response) {
  try {
    return (await response.json()).error;
  } catch {
    return `${response.status} ${response.statusText}`;
  }
}

/**
 * Have something computed and hear how it goes. Ends with the result; throws Refused with the server's words.
 * Aborting the signal ends the computing too.
 * @param {string} path
 * @param {{place?: (p: {before: number}) => void, progress?: (p: {done: number, total: number, seconds_left: number|null}) => void, part?: (p: any) => void}} hear
 * @param {AbortSignal} signal
 * @returns {Promise<any>}
 */
export async function compute(path, hear, signal) {
  const response = await fetch(address(path), { method: "POST", signal });
  if (!response.ok) throw new Refused(await reason(response));
  for await (const { kind, value } of events(response)) {
    if (kind === "failed") throw new Refused(value.error);
    if (kind === "done") return value;
    hear[kind]?.(value);
  }
  throw new Refused("the explorer ended the connection");
}

/** Server-sent events of a response, one after the other. */
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const whole = text.split("\n\n");
    text = whole.pop() ?? "";
    for (const one of whole) {
      const found = /^event: (\w+)\ndata: (.*)$/s.exec(one);
      if (found) yield { kind: found[1], value: JSON.parse(found[2]) };
    }
  }
}

/** Call `changed` whenever the run is new, `now` with the place of a training inside its epoch, or null; comes back by itself after the explorer was restarted. @param {() => void} changed @param {AbortSignal} signal @param {(place: any) => void} now */
export function follow(changed, signal, now = () => {}) {
  const source = new EventSource(address("api/events"));
  source.addEventListener("changed", changed);
  source.addEventListener("now", (told) => now(JSON.parse(told.data)));
  signal.addEventListener("abort", () => source.close());
}

/**
 * What stands for ../api.js in a static copy: answers come from the files of the copy, or, for a picture that somebody
 * brings, from the network in the browser.
 *
 * A file of the copy holds the answers of a scope ("pictures/val.12"). Images in it are data: addresses. One whose
 * file has not come yet gets a stand-in that is replaced in the document as soon as it has.
 */

import { Brought } from "./brought.js";
import { galleryPage } from "./gallery.js";
import { mendLink } from "./place.js";
import { Refused } from "./refused.js";

export { Refused };

/**
 * @typedef {object} Site what the exporter wrote
 * @property {[pattern: string, scope: string][]} rules the first that matches an address gives its scope
 * @property {Record<string, string[]>} defaults of parameters
 * @property {Record<string, string>} files by scope
 * @property {Record<string, string>} embedded files of the page that it reads, which a browser refuses on a disk
 * @property {{ file: string, bytes: number } | null} network
 * @property {string} why the network can't run here
 * @property {string} command that starts the explorer itself
 */

/** @type {Site} */
const site = /** @type {any} */ (window).alexnetSite;
/** @type {Record<string, Record<string, any>>} */
const scopes = {};
/** @type {Record<string, string>} as the files of the copy have them: JSON, deflated, in base64 */
const packed = {};
Object.assign(window, { alexnetScopes: packed });
const rules = site.rules.map(([pattern, scope]) => /** @type {const} */ ([new RegExp(pattern), scope]));
const STAND_IN = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E#";
const ABSENT =
  "data:image/svg+xml," +
  encodeURIComponent(
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 96 96' width='96' height='96'>" +
      "<rect width='96' height='96' fill='#888' fill-opacity='.2'/></svg>",
  );

const brought = new Brought(site, scriptOf);

/** @param {string} path */
function notHere(path) {
  const what = /\/units\/\d+$/.test(path) ? "This unit" : "This";
  return new Refused(`${what} is not in this copy; the explorer itself has it: ${site.command}`);
}

// ── files ───────────────────────────────────────────────────────────────────────────────────────

/** What a copy has in one version and size only. */
const ALIKE = ["v", "thumbnail"];

/** An address as the exporter wrote it: without a version and defaults, parameters in order. @param {string} path */
function canonical(path) {
  const url = new URL(path, "http://copy/");
  const given = [...url.searchParams].filter(
    ([name, value]) => !ALIKE.includes(name) && value && !site.defaults[name]?.includes(value),
  );
  const query = new URLSearchParams(given.sort()).toString();
  return decodeURIComponent(url.pathname.slice(1)) + (query && `?${query}`);
}

/** @param {string} key an address in its canonical form */
function scopeOf(key) {
  for (const [pattern, scope] of rules) {
    const found = pattern.exec(key.split("?")[0]);
    if (found) return scope.replace("$1", found[1]);
  }
  return "";
}

/** @type {Map<string, Promise<void>>} */
const coming = new Map();

/** Load a script of the copy, once. @param {string} file @returns {Promise<void>} */
function scriptOf(file) {
  const known = coming.get(file);
  if (known) return known;
  const loading = /** @type {Promise<void>} */ (
    new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = new URL(file, document.baseURI).href;
      script.onload = () => resolve();
      script.onerror = () => reject(new Refused(`${file} can't be read: was the copy moved or cut short?`));
      document.head.append(script);
    })
  );
  coming.set(file, loading);
  return loading;
}

/** @type {Map<string, Promise<void>>} */
const loads = new Map();

/** The answers of a scope, loaded once however many wait for them. @param {string} scope */
function load(scope) {
  const known = loads.get(scope) ?? unpack(scope);
  loads.set(scope, known);
  return known;
}

/** @param {string} scope */
async function unpack(scope) {
  await scriptOf(site.files[scope]);
  const bytes = Uint8Array.from(atob(packed[scope]), (letter) => letter.charCodeAt(0));
  delete packed[scope];
  const text = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  scopes[scope] = await new Response(text).json();
}

/** What is known at an address; undefined if that is nothing. @param {string} key @param {string} [method] */
async function found(key, method = "") {
  const scope = scopeOf(key);
  if (site.files[scope] && !scopes[scope]) await load(scope);
  return scopes[scope]?.[method + key];
}

/** A page of the gallery of errors. @param {string} key */
async function gallery(key) {
  if (!key.includes("/errors/pictures")) return undefined;
  const run = await found("api/run");
  return galleryPage(key, scopes[scopeOf(key)], run.classes);
}

/** A prepared picture of which the copy has nothing else: the network here looks at it. @param {string} key */
async function stored(key) {
  const [, split, number] = /^api\/pictures\/([^/]+)\.(\d+)$/.exec(key) ?? [];
  const image = split && site.network && (await found(`api/store/${split}/${number}.jpg`));
  return image ? brought.hold(`${split}.${number}`, await (await fetch(image)).blob()) : undefined;
}

// ── what ../api.js exports ──────────────────────────────────────────────────────────────────────

/** An address that the browser can show. @param {string} path */
export function address(path) {
  if (!path.startsWith("api/")) return site.embedded[path] ?? new URL(path, document.baseURI).href;
  const key = canonical(path);
  const image = brought.image(key);
  if (image) return image;
  const scope = scopeOf(key);
  if (!site.files[scope]) return ABSENT;
  return scopes[scope] ? shown(scopes[scope][key]) : STAND_IN + encodeURIComponent(key);
}

/** An answer as an address: images are, numbers become one. @param {any} answer */
function shown(answer) {
  if (answer === undefined || typeof answer === "string") return answer ?? ABSENT;
  return `data:application/json,${encodeURIComponent(JSON.stringify(answer))}`;
}

/** @param {string} path @param {AbortSignal} [signal] @returns {Promise<any>} */
export async function get(path, signal) {
  const key = canonical(path);
  const answer =
    (await brought.get(key)) ?? (await found(key)) ?? (await gallery(key)) ?? (await stored(key));
  signal?.throwIfAborted();
  if (answer === undefined) throw notHere(key);
  return structuredClone(answer);
}

/** @param {string} path @param {BodyInit|null} [body] @param {AbortSignal} [signal] @returns {Promise<any>} */
export async function post(path, body = null, signal) {
  const answer = await brought.post(canonical(path), body);
  signal?.throwIfAborted();
  if (answer === undefined) throw notHere(path);
  return answer;
}

/** @param {string} path @param {Listeners} listeners @param {AbortSignal} signal @returns {Promise<any>} */
export async function compute(path, listeners, signal) {
  const key = canonical(path);
  const own = await brought.compute(key, listeners);
  signal.throwIfAborted();
  if (own) return own;
  const answer = await found(key, "POST ");
  signal.throwIfAborted();
  if (!answer) throw notHere(key);
  for (const part of answer.parts) listeners.part?.(structuredClone(part));
  return structuredClone(answer.done);
}

/** Nothing changes in a copy. */
export function follow() {}
export function followWeights() {}

// ── the document ────────────────────────────────────────────────────────────────────────────────

/** @param {Element} element */
function mend(element) {
  for (const name of ["src", "href"]) {
    const written = element.getAttribute(name);
    if (written?.startsWith(STAND_IN)) complete(element, name, written);
    else if (written === ABSENT && element.matches("a")) element.setAttribute("hidden", "");
  }
  if (!element.matches("a[href]")) return;
  mendLink(element);
  const [saved, href] = ["download", "href"].map((name) => element.getAttribute(name));
  if (saved?.endsWith(".png") && href?.startsWith("data:image/webp"))
    element.setAttribute("download", saved.replace(/png$/, "webp"));
}

/** Put the image in the place of its stand-in. @param {Element} element @param {string} name @param {string} standIn */
async function complete(element, name, standIn) {
  const image = await found(decodeURIComponent(standIn.slice(STAND_IN.length))).catch(() => undefined);
  if (element.getAttribute(name) === standIn) element.setAttribute(name, shown(image));
}

const watched = "[src], [href]";
new MutationObserver((changes) => {
  for (const { type, target, addedNodes } of changes) {
    for (const node of type === "attributes" ? [target] : addedNodes) {
      if (!(node instanceof Element)) continue;
      if (node.matches(watched)) mend(node);
      if (type === "childList") node.querySelectorAll(watched).forEach(mend);
    }
  }
}).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ["src", "href"] });
document.querySelectorAll(watched).forEach(mend);

// An image that is drawn on a canvas is in no document, where the observer would see it.
const source = /** @type {PropertyDescriptor} */ (
  Object.getOwnPropertyDescriptor(HTMLImageElement.prototype, "src")
);
Object.defineProperty(HTMLImageElement.prototype, "src", {
  ...source,
  set(written) {
    source.set?.call(this, written);
    if (String(written).startsWith(STAND_IN)) complete(this, "src", written);
  },
});

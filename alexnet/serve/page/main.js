/** Which page is shown: addresses, links, keys. */

import { follow, followWeights, get } from "./api.js";
import { announce, h } from "./dom.js";
import { fault } from "./figure.js";
import { go, reload } from "./navigate.js";

const PAGES = [
  { name: "home", pattern: /^(?:picture)?$/, load: () => import("./home.js") },
  { name: "layer", pattern: /^layer\/([^/]+)$/, load: () => import("./layer.js") },
  { name: "unit", pattern: /^layer\/([^/]+)\/unit\/(\d+)$/, load: () => import("./unit.js") },
  { name: "why", pattern: /^why$/, load: () => import("./why.js") },
  { name: "follow", pattern: /^follow$/, load: () => import("./follow.js") },
  { name: "errors", pattern: /^errors$/, load: () => import("./errors.js") },
  { name: "compare", pattern: /^compare$/, load: () => import("./compare.js") },
  { name: "training", pattern: /^training$/, load: () => import("./training.js") },
  { name: "tour", pattern: /^tour(?:\/(\w+))?$/, load: () => import("./tour.js") },
  { name: "teach", pattern: /^teach$/, load: () => import("./teach.js") },
];

/** Pages that renew themselves while a run trains; on the others there may be choices to lose, so they ask. */
const RENEWED = ["home", "layer", "unit", "compare", "training", "teach"];

/** Aborted when the page that is shown is left. */
let leaving = new AbortController();
/** @type {Ways} */
let ways = {};

/** @param {string} id */
const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
/** @returns {NodeListOf<HTMLAnchorElement>} */
const pageLinks = () => document.querySelectorAll("nav a[data-page]");

/** @param {boolean} moved whether the reader comes from another page, which moves the focus to the new one's heading */
async function show(moved) {
  leaving.abort();
  leaving = new AbortController();
  const signal = leaving.signal;
  const path = decodeURI(location.pathname.slice(new URL(document.baseURI).pathname.length));
  const page = PAGES.find((one) => one.pattern.test(path));
  mark(page?.name);
  ways = {};
  try {
    if (!page) return put(missing(path), moved);
    /** @type {Run} */
    const run = await get("api/run", signal); // waits where the explorer has stopped, which loading a module doesn't
    /** @type {{ show: (page: Page) => Promise<Shown> }} */
    const module = await page.load();
    name(run);
    const words = (page.pattern.exec(path) ?? []).slice(1);
    const shown = await module.show({ run, words, signal, query: new URLSearchParams(location.search) });
    if (signal.aborted) return; // another page was chosen meanwhile
    ways = shown.ways ?? {};
    document.title = `${shown.title} · ${run.name}`;
    put(shown.content, moved);
    announce(shown.title);
    if (!RENEWED.includes(page.name)) followWeights(signal, run.version, offerNewer);
  } catch (error) {
    if (signal.aborted) return;
    /** @type {string|undefined} */
    let before;
    follow(signal, ({ stamp }) => (stamp === (before ??= stamp) ? undefined : reload())); // perhaps it can be by then
    put(h("article", {}, h("h1", {}, "This can't be shown"), fault(error)), moved);
  }
}

function offerNewer() {
  if (document.querySelector(".newer")) return;
  const button = h("button", { type: "button", onclick: reload }, "Show the newer ones");
  const words = h(
    "p",
    { class: "missing newer", role: "status" },
    "The run has newer weights than this page. ",
    button,
  );
  element("main").prepend(words);
}

/** @param {string} path */
function missing(path) {
  document.title = "No such page · alexnet";
  const home = h("a", { href: "." }, "The network");
  const words = h("p", {}, `The explorer has no page at “${path}”. `, home, " is where everything begins.");
  return h("article", {}, h("h1", {}, "There is no such page"), words);
}

/** @param {Node} content @param {boolean} moved */
function put(content, moved) {
  const main = element("main");
  const height = main.offsetHeight;
  if (!moved) main.style.minHeight = `${height}px`; // a page that is made again keeps its place under the eye
  main.replaceChildren(content);
  setTimeout(() => (main.style.minHeight = ""), 1000);
  if (!moved) return;
  const heading = main.querySelector("h1");
  heading?.setAttribute("tabindex", "-1");
  heading?.focus({ preventScroll: true });
}

/** Show in the header which page this is. @param {string|undefined} name */
function mark(name) {
  for (const link of pageLinks()) {
    const here = link.dataset.page === name || (link.dataset.page === "layer" && name === "unit");
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** @param {Run} run */
function name(run) {
  element("run-name").textContent = run.name;
  element("run-state").textContent = run.state.word === "finished" ? "" : run.state.word;
  element("nav-teach").hidden = !run.teaches;
  element("nav-layers").setAttribute("href", `layer/${run.network.layers[0].name}`);
}

document.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
  const modified = event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0;
  if (!link || modified || link.hasAttribute("download") || link.hasAttribute("data-plain")) return;
  const written = link.getAttribute("href") ?? ""; // the property .href of a link in a drawing is no string
  const href = new URL(written, document.baseURI).href;
  if (written.startsWith("#") || !href.startsWith(document.baseURI) || href.includes("/api/")) return;
  event.preventDefault();
  go(link.hasAttribute("data-carries") ? `${href}${carried()}` : href);
});

/** The picture in the address, which pages about pictures pass on to one another. */
function carried() {
  const query = new URLSearchParams(location.search);
  const kept = new URLSearchParams(
    [...query].filter(([name]) => name === "picture" || name === "name"),
  ).toString();
  return kept && `?${kept}`;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (
    event.target instanceof Element &&
    event.target.closest("input, select, textarea, canvas, [role=slider]")
  )
    return;
  const way = new Map([
    ["ArrowLeft", ways.left],
    ["ArrowRight", ways.right],
    ["u", ways.up],
  ]).get(event.key);
  const page = pageLinks()[Number(event.key) - 1];
  if (way) go(way);
  else page?.click();
});

document.querySelector(".skip")?.addEventListener("click", (event) => {
  event.preventDefault();
  element("main").focus();
});

addEventListener("popstate", () => show(true));
addEventListener("renew", () => show(false));
show(false);
follow(new AbortController().signal, () => get("api/run").then(name, () => {})); // whether it still trains

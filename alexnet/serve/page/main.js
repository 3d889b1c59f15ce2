/** Which page is shown: addresses, links, keys. */

import { get } from "./api.js";
import { announce, h } from "./dom.js";
import { fault } from "./figure.js";

const PAGES = [
  { name: "home", pattern: /^$/, load: () => import("./home.js") },
  { name: "layer", pattern: /^layer\/([^/]+)$/, load: () => import("./layer.js") },
  { name: "unit", pattern: /^layer\/([^/]+)\/unit\/(\d+)$/, load: () => import("./unit.js") },
  { name: "picture", pattern: /^picture$/, load: () => import("./picture.js") },
  { name: "compare", pattern: /^compare$/, load: () => import("./compare.js") },
  { name: "training", pattern: /^training$/, load: () => import("./training.js") },
];

let leaving = new AbortController();
/** @type {{left?: string, right?: string, up?: string}} where the keys lead from the page that is shown */
let ways = {};

/** What a page gets: the run, its part of the address, a signal that it is left, and where it puts things. */
async function show() {
  leaving.abort();
  leaving = new AbortController();
  const signal = leaving.signal;
  const main = document.getElementById("main");
  const path = decodeURI(location.pathname.slice(new URL(document.baseURI).pathname.length));
  const page = PAGES.find((one) => one.pattern.test(path));
  mark(page?.name);
  ways = {};
  try {
    if (!page) throw new Error(`There is no page ${path}.`);
    const [run, module] = await Promise.all([get("api/run", signal), page.load()]);
    name(run);
    const found = await module.show({
      run,
      words: (page.pattern.exec(path) ?? []).slice(1),
      signal,
      query: new URLSearchParams(location.search),
    });
    if (signal.aborted) return;
    ways = found.ways ?? {};
    document.title = `${found.title} · ${run.name}`;
    main.replaceChildren(...[found.content].flat());
    found.shown?.();
    announce(found.title);
  } catch (error) {
    if (!signal.aborted) main.replaceChildren(h("h1", {}, "This can't be shown"), fault(error));
  }
}

function mark(name) {
  for (const link of document.querySelectorAll("nav a")) {
    const here = link.dataset.page === name || (link.dataset.page === "layer" && name === "unit");
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function name(run) {
  document.getElementById("run-name").textContent = run.name;
  document.getElementById("run-state").textContent = run.state.word === "finished" ? "" : run.state.word;
  document.getElementById("nav-layers").setAttribute("href", `layer/${run.network.layers[0].name}`);
}

/** Go to an address without loading the page anew. @param {string} href */
export function go(href) {
  history.pushState(null, "", new URL(href, document.baseURI));
  scrollTo(0, 0);
  return show();
}

document.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
  const plain = event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0;
  if (!link || plain || link.hasAttribute("download") || "plain" in link.dataset) return;
  const href = new URL(link.getAttribute("href"), document.baseURI).href; // of a link in a drawing .href is no string
  if (
    link.getAttribute("href").startsWith("#") ||
    !href.startsWith(document.baseURI) ||
    href.includes("/api/")
  )
    return;
  event.preventDefault();
  go(href);
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target instanceof Element && event.target.closest("input, select, textarea, [role=slider]"))
    return;
  const way = { ArrowLeft: ways.left, ArrowRight: ways.right, u: ways.up }[event.key];
  const page = document.querySelectorAll("nav a")[Number(event.key) - 1];
  if (way) go(way);
  else if (page) go(page.href);
});

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  document.getElementById("main").focus();
});

addEventListener("popstate", show);
show();

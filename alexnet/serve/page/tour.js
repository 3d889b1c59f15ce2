/** A tour through the paper in eight stops, each with what this run makes of it. */

import { chooser } from "./choose.js";
import { chosenPicture, prepared } from "./chosen.js";
import { h } from "./dom.js";
import { go } from "./navigate.js";
import { STOPS } from "./tour_stops.js";
import { terms } from "./tips.js";

/** @param {Page} page @returns {Promise<Shown>} */
export async function show(page) {
  const { run, signal, query, words } = page;
  const at = words[0] ? STOPS.findIndex((one) => one.name === words[0]) : 0;
  if (at < 0)
    throw new Error(
      `The tour has no stop "${words[0]}". It has: ${STOPS.map((one) => one.name).join(", ")}.`,
    );
  const picture = query.toString();
  const to = (/** @type {number} */ other) =>
    STOPS[other] && `tour/${STOPS[other].name}${picture && `?${picture}`}`;
  const chosen = new URLSearchParams(query);
  if (!chosen.has("picture") && run.store?.offered.length)
    chosen.set("picture", prepared(run.store.split, run.store.offered[0]));
  const looked = run.weights ? await chosenPicture({ ...page, query: chosen }) : null;
  const stop = STOPS[at];
  const { words: says, formula, lacks, live, codes } = await stop.make({ run, looked, signal });
  const look = (/** @type {string} */ other) => go(`tour/${stop.name}?${other}`);
  const content = h(
    "article",
    { class: "tour" },
    h(
      "nav",
      { "aria-label": "Stops of the tour" },
      h(
        "ol",
        { class: "stops-of-tour" },
        STOPS.map((one, n) =>
          h("li", {}, h("a", { href: to(n), "aria-current": n === at && "step" }, one.short)),
        ),
      ),
    ),
    h("h1", {}, stop.title, " ", h("small", {}, terms(stop.where))),
    h("p", { class: "lead" }, terms(says)),
    formula && h("p", { class: "formula" }, formula),
    lacks && h("p", { class: "missing" }, lacks),
    live,
    stop.pictured &&
      h(
        "details",
        { class: "another", open: !looked && run.weights },
        h("summary", {}, looked ? "Take another picture" : "Choose a picture to see this live"),
        chooser(run, look, signal),
      ),
    h(
      "p",
      { class: "code" },
      "The code: ",
      codes.map(([file, name], n) => [n > 0 && ", ", codeLink(file, name)]),
      ". Formulas and their tests are listed in ",
      h("code", {}, "docs/formulas.md"),
      ".",
    ),
    h(
      "nav",
      { class: "onward", "aria-label": "Onward" },
      at > 0 ? h("a", { href: to(at - 1), rel: "prev" }, `← ${STOPS[at - 1].title}`) : h("span", {}),
      h("span", { class: "soft" }, `${at + 1} of ${STOPS.length}`),
      at + 1 < STOPS.length
        ? h("a", { href: to(at + 1), rel: "next" }, `${STOPS[at + 1].title} →`)
        : h("a", { href: "." }, "To the network →"),
    ),
  );
  return { title: `${stop.title} · Tour`, content, ways: { left: to(at - 1), right: to(at + 1), up: "." } };
}

/** A link to a file of the code, which browsers open at a name in it. @param {string} file @param {string} name */
function codeLink(file, name) {
  const part = `#:~:text=${encodeURIComponent(name).replaceAll("-", "%2D")}`;
  return h(
    "a",
    { href: `api/code/${file}${part}`, target: "_blank", "data-plain": true },
    h("code", {}, file),
  );
}

/** The living network, and the run at a glance. */

import { follow, get } from "./api.js";
import { chosenPicture, pictureQuery, prepared } from "./chosen.js";
import { curveFigures } from "./curve_figures.js";
import { h } from "./dom.js";
import { command, commandLine, commands, fault } from "./figure.js";
import { kernels } from "./kernels.js";
import { living } from "./living.js";
import { pictureSections } from "./picture.js";
import { duration, percent, whole } from "./text.js";
import { terms } from "./tips.js";

/** @param {Page} page @returns {Promise<Shown>} */
export async function show(page) {
  const { run, query, signal } = page;
  const facts = h("p", { class: "facts" });
  const sections = h("div", { id: "picture" });
  const history = h("div", { id: "history" });
  let leaving = new AbortController();
  let chosen = "";
  const network = living(
    page,
    look,
    () => leaving.abort(),
    () => chosen && load(chosen),
  );

  /** Look at another picture. @param {string} query the part of the address that names it */
  function look(query) {
    const row = new URLSearchParams(location.search).get("row");
    window.history.pushState(
      null,
      "",
      `${new URL(".", document.baseURI)}?${query}${row ? `&row=${row}` : ""}`,
    );
    load(query);
  }

  /** @param {string} query */
  async function load(query) {
    // The same picture by new weights: the page keeps its length, so that what is read stays where it is.
    sections.style.minHeight = query === chosen ? `${sections.offsetHeight}px` : "";
    chosen = query;
    leaving.abort();
    leaving = new AbortController();
    const own = AbortSignal.any([leaving.signal, signal]);
    try {
      const looked = await chosenPicture({ ...page, query: new URLSearchParams(query), signal: own });
      if (!looked || own.aborted) return;
      network.show(looked, query);
      sections.replaceChildren(...pictureSections(looked));
    } catch (error) {
      if (!own.aborted) sections.replaceChildren(fault(error));
    }
  }

  /** @param {Run} now */
  async function drawRun(now) {
    /** @type {RunHistory} */
    const { epochs } = await get("api/sides/own/curves", signal);
    facts.replaceChildren(...factsOf(now));
    history.replaceChildren(
      ...[epochs.length > 0 && curveFigures(now, epochs), now.weights && kernels(now)].filter(
        (node) => node instanceof Node,
      ),
    );
  }

  await drawRun(run);
  const ident = query.get("picture");
  const first = ident ? pictureQuery(ident, query.get("name") ?? undefined) : example(run);
  if (run.weights && first) load(first);
  if (run.state.word !== "finished") {
    let known = run.version;
    follow(signal, async () => {
      const now = await get("api/run", signal);
      await drawRun(now);
      if (now.version !== known && (chosen || first)) load(chosen || first || ""); // by the new weights
      known = now.version;
    });
  }
  const report = command("report", run.commands.run, ...(run.store ? ["--store", run.store.path] : []));
  const content = h(
    "article",
    { class: "home" },
    h("div", { class: "head" }, h("h1", {}, run.name), facts),
    network.element,
    sections,
    h("section", { id: "run" }, h("h2", {}, "The run"), h("p", { class: "soft" }, terms(lead(run)))),
    history,
    recipe(run),
    commands("This page on the command line", commandLine(report)),
  );
  return { title: run.name, content, ways: { right: `layer/${run.network.layers[0].name}` } };
}

/** The picture that is shown before one is chosen. @param {Run} run */
const example = ({ store }) =>
  store?.offered.length ? pictureQuery(prepared(store.split, store.offered[0])) : null;

/** @param {Run} run */
function lead({ network, classes, pictures, state }) {
  const training = `${whole(pictures.train ?? 0)} training pictures`;
  const epochs = state.planned === null ? "" : `, ${state.epochs} epochs`;
  return `${network.name}, ${whole(classes.length)} classes, ${training}${epochs}. ${network.about}`;
}

/** @param {Run} run @returns {Node[]} */
function factsOf({ network, classes, state, weights }) {
  const fact = (/** @type {string} */ what, /** @type {string} */ value, /** @type {string} */ remark = "") =>
    h("span", {}, terms(what), " ", h("strong", {}, value), remark && ` ${remark}`);
  const { val } = state;
  return [
    h("span", {}, `${network.name}, ${whole(classes.length)} classes`),
    ...(val
      ? [
          fact("top-1 error", percent(val.top1_error, 2), `(centre, validation, ${val.when})`),
          fact("top-5 error", percent(val.top5_error, 2)),
          fact("nll", val.nll.toFixed(3)),
        ]
      : [h("span", {}, weights ? "imported weights" : "no epoch has ended yet: no maps to show")]),
    ...(state.seconds_left ? [fact("time left", duration(state.seconds_left))] : []),
  ];
}

/** @param {Run} run */
function recipe({ recipe, commands }) {
  const facts = Object.entries(recipe).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]);
  const trained = h("p", { class: "soft" }, "Trained by");
  return h(
    "section",
    {},
    h("h2", {}, "The recipe"),
    h("dl", {}, facts),
    trained,
    commandLine(commands.train),
  );
}

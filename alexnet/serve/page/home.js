/** The run at a glance. */

import { follow, get } from "./api.js";
import { curveFigures } from "./curve_figures.js";
import { h, readings } from "./dom.js";
import { command, commandLine, commands, figure } from "./figure.js";
import { kernels } from "./kernels.js";
import { reload } from "./navigate.js";
import { networkDrawing } from "./network.js";
import { duration, percent, whole } from "./text.js";
import { terms } from "./tips.js";

/** @param {Page} page @returns {Promise<Shown>} */
export async function show({ run, signal }) {
  /** @type {RunHistory} */
  const history = await get("api/sides/own/curves", signal);
  const report = command("report", run.commands.run, ...(run.store ? ["--store", run.store.path] : []));
  const content = h(
    "article",
    {},
    h("h1", {}, run.name),
    h("p", { class: "lead" }, terms(lead(run))),
    readings(headline(run).map(([what, ...rest]) => [terms(what), ...rest])),
    network(run),
    history.epochs.length > 0 && curveFigures(run, history.epochs),
    run.weights && kernels(run),
    recipe(run),
    commands("This page on the command line", commandLine(report)),
  );
  if (run.state.word !== "finished") follow(signal, afterTheFirst(reload));
  return { title: run.name, content, ways: { right: `layer/${run.network.layers[0].name}` } };
}

/** Without its first call, which only says how things are. @param {() => void} listener */
function afterTheFirst(listener) {
  let first = true;
  return () => {
    if (!first) listener();
    first = false;
  };
}

/** @param {Run} run */
function lead({ network, classes, pictures, state }) {
  const training = `${whole(pictures.train ?? 0)} training pictures`;
  const epochs = state.planned === null ? "" : `, ${state.epochs} epochs`;
  return `${network.name}, ${whole(classes.length)} classes, ${training}${epochs}. ${network.about}`;
}

/** @param {Run} run @returns {[string, string, string][]} */
function headline({ state, weights }) {
  /** @type {[string, string, string][]} */
  const found = state.val
    ? [
        ["top-1 error", percent(state.val.top1_error, 2), `centre, validation, ${state.val.when}`],
        ["top-5 error", percent(state.val.top5_error, 2), "centre, validation"],
        ["nll", state.val.nll.toFixed(3), "nats"],
      ]
    : [["epochs", String(state.epochs), weights ? "imported weights" : "none has ended yet"]];
  if (state.pictures_per_second) {
    found.push(["speed", whole(Math.round(state.pictures_per_second)), "pictures/s in training"]);
  }
  if (state.seconds_left) found.push(["left", duration(state.seconds_left), `of ${state.planned} epochs`]);
  return found;
}

/** @param {Run} run */
function network(run) {
  const drawing = networkDrawing(run.network);
  const crossing = run.network.columns > 1 ? "; where they cross, the columns communicate" : "";
  return figure(drawing, {
    id: "network",
    title: "The network",
    words:
      "To scale, as in [A] Fig. 2: a box is as high and deep as its maps have pixels, and as thick as a column " +
      `has maps. Lines go from the window that a unit reads to the unit${crossing}. Choose a layer to open it.`,
    png: () => /** @type {SVGSVGElement} */ (drawing.querySelector("svg")),
    json: () => run.network,
    command: run.commands.nets,
    name: `${run.name}-network`,
  });
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

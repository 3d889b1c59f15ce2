/** The run in one look. */

import { follow, get } from "./api.js";
import { curves } from "./chart.js";
import { duration, h, percent, whole } from "./dom.js";
import { command, copyable, figure } from "./figure.js";
import { kernels } from "./kernels.js";
import { networkPlace } from "./network.js";

/** @param {{run: any, signal: AbortSignal}} told */
export async function show({ run, signal }) {
  const history = await get("api/sides/own/curves", signal);
  const drawing = networkPlace(run.network);
  const path = run.commands.run;
  const content = h(
    "article",
    {},
    h("h1", {}, run.name),
    h("p", { class: "lead" }, lead(run)),
    headline(run),
    figure(drawing, {
      id: "network",
      title: "The network",
      words: `To scale, as in [A] Fig. 2: a box is as high and deep as its maps have pixels, and as thick as a column has maps. Lines go from the window that a unit reads to the unit${run.network.columns > 1 ? "; where they cross, the columns talk" : ""}. Choose a layer to enter it.`,
      png: () => drawing.querySelector("svg"),
      json: () => run.network,
      command: run.commands.nets,
      name: `${run.name}-network`,
    }),
    history.epochs.length > 0 && curveFigures(run, history),
    run.weights && kernels("own", run, run.version),
    h(
      "section",
      {},
      h("h2", {}, "The recipe"),
      h(
        "dl",
        {},
        Object.entries(run.recipe).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
      ),
      h("p", { class: "soft" }, "Trained by"),
      copyable(run.commands.train),
    ),
    h(
      "section",
      { class: "commands" },
      h("h2", {}, "This page on the command line"),
      copyable(command("report", path, ...(run.store ? ["--store", run.store.path] : []))),
    ),
  );
  if (run.state.word !== "finished") follow(await changes(run), signal);
  return { title: run.name, content, ways: { right: `layer/${run.network.layers[0].name}` } };
}

/** While a run trains, its page is loaded anew when there is something new. */
async function changes(run) {
  const { go } = await import("./main.js");
  let first = true;
  return () => {
    if (!first) go(location.href);
    first = false;
  };
}

function lead(run) {
  const counts = run.pictures;
  return `${run.network.name}, ${whole(run.classes.length)} classes, ${whole(counts.train ?? 0)} training pictures, ${run.state.epochs} epochs. ${run.network.about}`;
}

function headline(run) {
  const { state } = run;
  const cards = state.val
    ? [
        ["top-1 error", percent(state.val.top1_error, 2), `centre, validation, epoch ${state.epochs}`],
        ["top-5 error", percent(state.val.top5_error, 2), "centre, validation"],
        ["nll", state.val.nll.toFixed(3), "nats"],
      ]
    : [["epochs", String(state.epochs), run.weights ? "imported weights" : "none has ended yet"]];
  if (state.pictures_per_second)
    cards.push(["speed", `${whole(Math.round(state.pictures_per_second))}`, "pictures/s in training"]);
  if (state.seconds_left) cards.push(["left", duration(state.seconds_left), `of ${state.planned} epochs`]);
  return h(
    "dl",
    { class: "readings" },
    cards.map(([what, value, remark]) =>
      h("div", {}, h("dt", {}, what), h("dd", {}, h("strong", {}, value), h("small", {}, remark))),
    ),
  );
}

/** Loss, error and learning rate over the epochs. */
export function curveFigures(run, history, side = "own") {
  const { epochs } = history;
  const x = epochs.map((epoch) => epoch.epoch),
    of = (name) => epochs.map((epoch) => epoch[name] ?? null);
  const dark = matchMedia("(prefers-color-scheme: dark)").matches ? "?dark=true" : "";
  const told = (name) => ({
    png: `api/sides/${side}/curves/${name}.png${dark}`,
    json: () => epochs,
    command: command("report", run.commands.run),
    name: `${run.name}-${name}`,
  });
  return h(
    "div",
    { class: "plates" },
    figure(
      curves({
        x,
        xName: "epoch",
        yName: "nats",
        lines: [
          { name: "training", y: of("train_loss") },
          { name: "validation", y: of("val_nll") },
        ],
        low: 0,
      }),
      { title: "Loss", ...told("loss") },
    ),
    figure(
      curves({
        x,
        xName: "epoch",
        yName: "share wrong",
        format: (value) => percent(value, 0),
        low: 0,
        lines: [
          { name: "training, top-1", y: of("train_top1_error") },
          { name: "validation, top-1", y: of("val_top1_error") },
          { name: "validation, top-5", y: of("val_top5_error"), kind: "dashed" },
        ],
      }),
      { title: "Error", ...told("error") },
    ),
    figure(
      curves({
        x,
        xName: "epoch",
        yName: "learning rate",
        logarithmic: true,
        format: (value) => String(Number(value.toPrecision(3))),
        lines: [{ name: "learning rate", y: of("learning_rate") }],
      }),
      { title: "Learning rate", ...told("rate") },
    ),
  );
}

/** A training in progress. */

import { follow, get } from "./api.js";
import { curveFigures } from "./curve_figures.js";
import { cards, h, readings, table } from "./dom.js";
import { command, commandLine, commands } from "./figure.js";
import { kernels } from "./kernels.js";
import { duration, percent, whole } from "./text.js";

/** @param {Page} page @returns {Promise<Shown>} */
export async function show({ run, signal }) {
  const place = h("div", { id: "live" });
  const now = h("dl", { id: "now", class: "readings", hidden: true });
  let drawn = "";

  async function draw() {
    try {
      /** @type {[Run, RunHistory]} */
      const [run, history] = await Promise.all([get("api/run", signal), get("api/sides/own/curves", signal)]);
      const state = JSON.stringify([run.version, history]);
      if (state !== drawn) place.replaceChildren(...live(run, history));
      drawn = state;
    } catch {
      if (!signal.aborted)
        place.prepend(h("p", { class: "soft" }, "The explorer does not respond; retrying."));
    }
  }

  await draw();
  follow(signal, draw, (position) => {
    now.hidden = position === null;
    now.replaceChildren(...(position ? cards(readingsNow(position)) : []));
  });
  const again = h("p", { class: "soft" }, "To train it again, or with --resume to continue it:");
  const report = commandLine(command("report", run.commands.run));
  const ends = commands("On the command line", report, again, commandLine(run.commands.train));
  return { title: "Training", content: h("article", {}, h("h1", {}, "Training"), now, place, ends) };
}

/** @param {Position} now @returns {[string, string, string][]} */
export function readingsNow(now) {
  return [
    ["epoch", whole(now.epoch), "in progress"],
    ["batch", whole(now.batch), `of ${whole(now.batches)}`],
    ["loss", now.loss.toFixed(3), "this epoch so far"],
    ["top-1 error", percent(now.top1_error), "in training, this epoch"],
    ["speed", whole(Math.round(now.speed)), "pictures/s"],
    ["left", duration(now.seconds_left), "if all epochs are run"],
  ];
}

/** @param {State} state @returns {[string, string, string][]} */
function readingsOf(state) {
  /** @type {[string, string, string][]} */
  const found = [
    ["state", state.word, state.word === "stopped" ? `last sign of life ${state.last}` : state.last],
  ];
  if (state.planned !== null) found.push(["epochs done", String(state.epochs), `of up to ${state.planned}`]);
  if (state.word !== "training" && state.pictures_per_second) {
    found.push(["speed", whole(Math.round(state.pictures_per_second)), "pictures/s"]);
  }
  if (state.seconds_of_epoch) found.push(["time per epoch", duration(state.seconds_of_epoch), ""]);
  if (state.val)
    found.push(["top-1 error", percent(state.val.top1_error, 2), `centre, validation, ${state.val.when}`]);
  return found;
}

/** @param {Run} run @param {RunHistory} history @returns {Node[]} */
function live(run, { state, epochs, notes }) {
  const missing = (/** @type {string} */ words) => h("p", { class: "missing" }, words);
  const drawn = run.weights ? kernels(run) : missing("No weights yet: they are saved after each epoch.");
  const list = notes.map((note) => h("li", {}, note));
  return [
    readings(readingsOf(state)),
    epochs.length
      ? curveFigures(run, epochs)
      : missing(
          state.planned === null
            ? "There are no epochs: these weights were imported, or fitted as a linear classifier."
            : "No epoch has ended yet; the curves begin with the first.",
        ),
    ...(drawn ? [drawn] : []),
    ...(epochs.length ? [everyEpoch(epochs)] : []),
    ...(list.length ? [h("details", {}, h("summary", {}, "What the run noted"), h("ul", {}, list))] : []),
  ];
}

/** @param {Epoch[]} epochs */
function everyEpoch(epochs) {
  const error = (/** @type {number|null} */ share) => (share === null ? "" : percent(share));
  const rows = epochs.map((epoch) => [
    epoch.epoch,
    epoch.learning_rate,
    epoch.train_loss?.toFixed(3),
    epoch.val_nll?.toFixed(3),
    error(epoch.val_top1_error),
    error(epoch.val_top5_error),
    Math.round(epoch.pictures_per_second),
  ]);
  const heading = ["epoch", "learning rate", "loss", "nll", "top-1", "top-5", "pictures/s"];
  return h("details", {}, h("summary", {}, "Every epoch in numbers"), table(heading, rows));
}

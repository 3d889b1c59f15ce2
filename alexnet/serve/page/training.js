/** A training as it goes. */

import { follow, get } from "./api.js";
import { duration, h, percent, whole } from "./dom.js";
import { command, copyable } from "./figure.js";
import { curveFigures } from "./home.js";
import { kernels } from "./kernels.js";

/** @param {{run: any, signal: AbortSignal}} told */
export async function show({ run, signal }) {
  const place = h("div", { id: "live" });
  const now = h("dl", { id: "now", class: "readings", hidden: "" });
  let drawn = "";
  async function draw() {
    try {
      const [now, history] = await Promise.all([get("api/run", signal), get("api/sides/own/curves", signal)]);
      const state = JSON.stringify([now.version, history]);
      if (state !== drawn) place.replaceChildren(...live(now, history));
      drawn = state;
    } catch (error) {
      if (!signal.aborted)
        place.prepend(h("p", { class: "soft" }, "The explorer does not answer; trying again."));
    }
  }
  await draw();
  follow(draw, signal, (told) => {
    now.hidden = told === null;
    now.replaceChildren(...(told === null ? [] : readings(nowWords(told))));
  });
  const content = h(
    "article",
    {},
    h("h1", {}, "Training"),
    now,
    place,
    h(
      "section",
      { class: "commands" },
      h("h2", {}, "On the command line"),
      copyable(command("report", run.commands.run)),
      h("p", { class: "soft" }, "To train it again, or to go on with --resume:"),
      copyable(run.commands.train),
    ),
  );
  return { title: "Training", content, ways: {} };
}

function readings(words) {
  return words.map(([what, value, remark]) =>
    h("div", {}, h("dt", {}, what), h("dd", {}, h("strong", {}, value), h("small", {}, remark))),
  );
}

/** Where the training stands just now. */
function nowWords(now) {
  return [
    ["epoch", whole(now.epoch), "going on"],
    ["batch", whole(now.batch), `of ${whole(now.batches)}`],
    ["loss", now.loss.toFixed(3), "this epoch so far"],
    ["top-1 error", percent(now.top1_error), "in training, this epoch"],
    ["speed", whole(Math.round(now.speed)), "pictures/s"],
    ["left", duration(now.seconds_left), "if all epochs are run"],
  ];
}

function live(run, history) {
  const { state, epochs, notes } = history;
  const words = [
    ["state", state.word, state.word === "stopped" ? `last sign ${state.last}` : state.last],
    ["epochs done", `${state.epochs}`, state.planned ? `of ${state.planned} at most` : ""],
    state.word !== "training" &&
      state.pictures_per_second && ["speed", whole(Math.round(state.pictures_per_second)), "pictures/s"],
    state.seconds_of_epoch && ["an epoch takes", duration(state.seconds_of_epoch), ""],
    state.val && ["top-1 error", percent(state.val.top1_error, 2), "centre, validation"],
  ].filter(Boolean);
  return [
    h("dl", { class: "readings" }, readings(words)),
    epochs.length
      ? curveFigures(run, history)
      : h("p", { class: "wanting" }, "No epoch has ended yet; the curves begin with the first."),
    run.weights
      ? kernels("own", run, run.version)
      : h("p", { class: "wanting" }, "No weights yet: they are kept after each epoch."),
    epochs.length > 0 && table(epochs),
    notes.length > 0 &&
      h(
        "details",
        {},
        h("summary", {}, "What the run noted"),
        h(
          "ul",
          {},
          notes.map((note) => h("li", {}, note)),
        ),
      ),
  ].filter(Boolean);
}

function table(epochs) {
  const columns = [
    ["epoch", (e) => e.epoch],
    ["learning rate", (e) => e.learning_rate],
    ["loss", (e) => e.train_loss?.toFixed(3)],
    ["nll", (e) => e.val_nll?.toFixed(3)],
    ["top-1", (e) => percent(e.val_top1_error)],
    ["top-5", (e) => percent(e.val_top5_error)],
    ["pictures/s", (e) => Math.round(e.pictures_per_second)],
  ];
  return h(
    "details",
    {},
    h("summary", {}, "Every epoch in numbers"),
    h(
      "div",
      { class: "scroll", tabindex: "0" },
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            columns.map(([name]) => h("th", { scope: "col", class: "number" }, name)),
          ),
        ),
        h(
          "tbody",
          {},
          epochs.map((epoch) =>
            h(
              "tr",
              {},
              columns.map(([, of]) => h("td", { class: "number" }, of(epoch))),
            ),
          ),
        ),
      ),
    ),
  );
}

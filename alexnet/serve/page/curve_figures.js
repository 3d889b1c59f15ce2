/** Loss, error and learning rate over the epochs. */

import { curves } from "./curves.js";
import { h } from "./dom.js";
import { command, figure } from "./figure.js";
import { share } from "./text.js";

/** @param {Run} run @param {Epoch[]} epochs */
export function curveFigures(run, epochs) {
  const x = epochs.map((epoch) => epoch.epoch);
  const of = (/** @type {string} */ name) => epochs.map((epoch) => epoch[name] ?? null);
  const dark = matchMedia("(prefers-color-scheme: dark)").matches ? "?dark=true" : "";
  const about = (/** @type {string} */ title, /** @type {string} */ curve) => ({
    title,
    png: `api/sides/own/curves/${curve}.png${dark}`,
    json: () => epochs,
    command: command("report", run.commands.run),
    name: `${run.name}-${curve}`,
  });
  const loss = curves({
    x,
    xName: "epoch",
    step: 1,
    yName: "nats",
    low: 0,
    lines: [
      { name: "training", y: of("train_loss") },
      { name: "validation", y: of("val_nll") },
    ],
  });
  const error = curves({
    x,
    xName: "epoch",
    step: 1,
    yName: "error rate",
    format: share,
    low: 0,
    lines: [
      { name: "training, top-1", y: of("train_top1_error") },
      { name: "validation, top-1", y: of("val_top1_error") },
      { name: "validation, top-5", y: of("val_top5_error"), kind: "dashed" },
    ],
  });
  const learningRate = curves({
    x,
    xName: "epoch",
    step: 1,
    yName: "learning rate",
    logarithmic: true,
    format: (value) => String(Number(value.toPrecision(3))),
    lines: [{ name: "learning rate", y: of("learning_rate") }],
  });
  return h(
    "div",
    { class: "plates" },
    figure(loss, about("Loss", "loss")),
    figure(error, about("Error", "error")),
    figure(learningRate, about("Learning rate", "rate")),
  );
}

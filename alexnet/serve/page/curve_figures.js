/** Loss, error and learning rate over the epochs. */

import { curves } from "./curves.js";
import { h } from "./dom.js";
import { command, figure } from "./figure.js";
import { share } from "./text.js";

/**
 * @param {{ name: string, commands: { run: string } }} run
 * @param {Epoch[]} epochs
 * @param {boolean} [own] whether it is the explored run, which the explorer can draw as the report does
 */
export function curveFigures(run, epochs, own = true) {
  const x = epochs.map((epoch) => epoch.epoch);
  const of = (/** @type {string} */ name) => epochs.map((epoch) => epoch[name] ?? null);
  const dark = matchMedia("(prefers-color-scheme: dark)").matches ? "?dark=true" : "";
  /** @param {string} title @param {string} curve @param {Element} drawn */
  const about = (title, curve, drawn) => ({
    title,
    png: own
      ? `api/sides/own/curves/${curve}.png${dark}`
      : () => /** @type {SVGSVGElement} */ (drawn.querySelector("svg")),
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
    figure(loss, about("Loss", "loss", loss)),
    figure(error, about("Error", "error", error)),
    figure(learningRate, about("Learning rate", "rate", learningRate)),
  );
}

/** Errors by class of networks side by side. */

import { h, table } from "./dom.js";
import { command, figure } from "./figure.js";
import { reload } from "./navigate.js";
import { passButton } from "./progress.js";
import { outOf } from "./text.js";

/**
 * The errors if all were measured; else a button that has it done.
 * @param {Store} store
 * @param {Compared[]} pages
 * @param {string} run
 * @param {AbortSignal} signal
 */
export function accuracy(store, pages, run, signal) {
  const about = { title: "Errors by class", name: "accuracy", id: "accuracy" };
  const measured = pages.flatMap(({ name, evaluation }) => (evaluation ? [{ name, evaluation }] : []));
  if (measured.length < pages.length) return figure(measure(store, pages, signal), about);
  const trained = measured.flatMap(({ name, evaluation: { trained_on } }) =>
    trained_on?.pictures
      ? [` ${name} was trained on ${trained_on.pictures} of these ${trained_on.of} pictures.`]
      : [],
  );
  return figure(errorTable(measured), {
    ...about,
    words: [`Top-1 error on ${store.split}, mean of ten views.`, ...new Set(trained)],
    json: () => measured.map(({ name, evaluation }) => ({ run: name, ...evaluation })),
    command: command("evaluate", run, store.path),
  });
}

/** @param {Store} store @param {Compared[]} pages @param {AbortSignal} signal */
function measure(store, pages, signal) {
  const words =
    `Every picture of ${store.split} is classified by the centre view and by ten views; ` +
    "the result is kept in the run folder.";
  /** @type {[string, string][]} */
  const passes = pages
    .filter((page) => !page.evaluation)
    .map((page) => [`Measuring ${page.name}`, `api/sides/${page.side}/passes/evaluation`]);
  return passButton("Measure both", words, passes, signal, reload);
}

/** @param {{ name: string, evaluation: Evaluation }[]} measured */
function errorTable(measured) {
  const evaluations = measured.map((one) => one.evaluation);
  const tenViews = (/** @type {Counts[]|undefined} */ results) =>
    results?.find((one) => one.views === 10) ?? null;
  const unseen = evaluations.map((one) => tenViews(one.trained_on?.results_on_the_others));
  /** @type {[string, (Counts|null|undefined)[]][]} */
  const rows = [["all", evaluations.map((one) => tenViews(one.results))]];
  if (unseen.some(Boolean)) rows.push(["all not trained on", unseen]);
  for (const { id, class: name } of evaluations[0].per_class) {
    rows.push([name, evaluations.map(({ per_class }) => per_class.find((one) => one.id === id))]);
  }
  const cells = rows.map(([name, found]) => [
    name,
    ...found.map((one) => (one?.pictures ? meter(one) : "–")),
  ]);
  return table(["class", ...measured.map((one) => one.name)], cells, "accuracy");
}

/** Errors as a bar and in numbers. @param {Counts} counts */
function meter({ top1_errors: wrong, pictures }) {
  const bar = h("i", { class: "meter", "aria-hidden": "true" });
  bar.style.setProperty("--share", `${(100 * wrong) / pictures}%`);
  return [bar, h("span", { class: "share" }, outOf(wrong, pictures))];
}

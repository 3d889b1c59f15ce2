/** Errors by class of networks side by side. */

import { h, table } from "./dom.js";
import { command, figure } from "./figure.js";
import { reload } from "./navigate.js";
import { passButton } from "./progress.js";
import { percent } from "./text.js";

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
  /** @param {Evaluation["results"]|undefined} results */
  const tenViews = (results) => results?.find((one) => one.views === 10)?.top1_error ?? null;
  /** @param {string} id */
  const errors = (id) =>
    evaluations.map(({ per_class }) => {
      const one = per_class.find((one) => one.id === id);
      return one?.pictures ? one.top1_errors / one.pictures : null;
    });
  const unseen = evaluations.map((one) => tenViews(one.trained_on?.results_on_the_others));
  /** @type {[string, (number|null)[]][]} */
  const rows = [
    ["all", evaluations.map((one) => tenViews(one.results))],
    ...(unseen.some((share) => share !== null)
      ? [/** @type {[string, (number|null)[]]} */ (["all not trained on", unseen])]
      : []),
    ...evaluations[0].per_class.map(
      (one) => /** @type {[string, (number|null)[]]} */ ([one.class, errors(one.id)]),
    ),
  ];
  const names = measured.map((one) => one.name);
  return table(
    ["class", ...names],
    rows.map(([name, shares]) => [name, ...shares.map((share) => (share === null ? "–" : meter(share)))]),
    "accuracy",
  );
}

/** A share as a bar. @param {number} share */
function meter(share) {
  const bar = h("i", { class: "meter", "aria-hidden": "true" });
  bar.style.setProperty("--share", `${100 * share}%`);
  return [bar, h("span", { class: "share" }, percent(share))];
}

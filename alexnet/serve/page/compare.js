/** Two networks side by side: runs, or epochs of one. */

import { compute, get } from "./api.js";
import { bars } from "./chart.js";
import { h, percent, whole } from "./dom.js";
import { command, copyable, fault, figure, looking, progressLine } from "./figure.js";
import { kernels } from "./kernels.js";
import { chooser } from "./choose.js";

/** @param {{run: any, signal: AbortSignal, query: URLSearchParams}} told */
export async function show({ run, signal, query }) {
  const keys = run.sides;
  const left = keys.includes(query.get("left")) ? query.get("left") : "own";
  const right = keys.includes(query.get("right"))
    ? query.get("right")
    : (keys.find((key) => key !== left) ?? left);
  const homes = await Promise.all([left, right].map((side) => get(`api/sides/${side}/home`, signal)));
  const pages = await Promise.all([left, right].map((side) => get(`api/sides/${side}/compare`, signal)));
  const both = left === right ? [[homes[0], pages[0]]] : homes.map((home, n) => [home, pages[n]]);
  const runs = [left, right].every((side) => side === "own" || side === "beside");
  const content = h(
    "article",
    {},
    h("h1", {}, "Side by side"),
    h(
      "p",
      { class: "lead" },
      keys.length > 1
        ? "Two runs, or two epochs of one."
        : "There is only one run here. Start the explorer with --beside RUN, or train with --snapshots to compare epochs.",
    ),
    pickers(keys, homes, left, right),
    samePicture(run, homes, [left, right], signal),
    h(
      "div",
      { class: "beside" },
      both.map(([home]) =>
        h("div", {}, kernels(home.side, home, home.version, `First-layer kernels of ${home.name}`)),
      ),
    ),
    diagnosis(both, left, right, runs),
    accuracy(run, both, [left, right], signal),
    runs &&
      h(
        "section",
        { class: "commands" },
        h("h2", {}, "This page on the command line"),
        copyable(
          command(
            "see",
            "filters",
            homes[0].commands.run,
            ...(left === right ? [] : ["--beside", homes[1].commands.run]),
          ),
        ),
      ),
  );
  return { title: "Side by side", content, ways: {} };
}

function pickers(keys, homes, left, right) {
  const words = (key) =>
    key === "own"
      ? (homes.find((home) => home.side === key)?.name ?? "this run")
      : key === "beside"
        ? (homes.find((home) => home.side === key)?.name ?? "the run beside")
        : key.replace("-", " ");
  const picker = (label, chosen, other) =>
    h(
      "label",
      {},
      `${label} `,
      h(
        "select",
        {
          name: label,
          onchange: async (event) => (await import("./main.js")).go(`compare?${other(event.target.value)}`),
        },
        keys.map((key) => h("option", { value: key, selected: key === chosen }, words(key))),
      ),
    );
  return h(
    "p",
    { class: "pickers" },
    picker("Left", left, (value) => `left=${value}&right=${right}`),
    picker("Right", right, (value) => `left=${left}&right=${value}`),
  );
}

/** One picture through both. */
function samePicture(run, homes, sides, signal) {
  const place = h("div", { class: "beside" });
  function look(held, name) {
    place.replaceChildren(
      ...sides.map((side, n) => {
        const column = h("div", { class: "answer" }, h("h3", {}, `${homes[n].name}: ${name}`));
        const line = progressLine("Answer");
        const put = ({ labels, views }) =>
          column.replaceChildren(
            h("h3", {}, homes[n].name, h("small", {}, views === 1 ? "centre view" : "ten views")),
            bars(labels),
          );
        column.append(line.element);
        compute(`api/sides/${side}/pictures/${held.id}/prediction`, { ...line.hear, part: put }, signal).then(
          put,
          (error) => signal.aborted || column.append(fault(error)),
        );
        return column;
      }),
    );
  }
  return h(
    "section",
    { id: "same" },
    h("h2", {}, "The same picture through both"),
    chooser(run, look, signal),
    place,
  );
}

function diagnosis(both, left, right, runs) {
  const rows = [
    ["network", (page) => page.network],
    [
      "first-layer filters",
      (page) => page.filters && `${page.filters.filters} of ${page.filters.size}×${page.filters.size}`,
    ],
    ["hardly any weights", (page) => page.filters && String(page.filters.dead)],
    ["largest RMS / median", (page) => page.filters && page.filters.dominance.toFixed(1)],
    ["very low frequencies", (page) => page.filters && percent(page.filters.mean_share.very_low, 0)],
    ["very high frequencies", (page) => page.filters && percent(page.filters.mean_share.very_high, 0)],
    ["aliased", (page) => page.filters && percent(page.filters.mean_share.aliased, 0)],
  ];
  const unknown = both.filter(([, page]) => !page.dead).map(([home]) => home.name);
  const layers = [...new Set(both.flatMap(([, page]) => Object.keys(page.dead ?? {})))];
  for (const layer of layers)
    rows.push([
      `dead units, ${layer}`,
      (page) =>
        page.dead?.[layer] === undefined ? "–" : `${page.dead[layer]} of ${whole(page.maps[layer])}`,
    ]);
  const table = h(
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
          h("th", { scope: "col" }, ""),
          both.map(([home]) => h("th", { scope: "col", class: "number" }, home.name)),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map(([what, of]) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, what),
            both.map(([, page]) => h("td", { class: "number" }, of(page) ?? "–")),
          ),
        ),
      ),
    ),
  );
  return figure(table, {
    title: "Filters and dead units",
    words: [
      "As in [Z] §4.1 and Fig. 6. A dead unit is one that no picture excited.",
      unknown.length > 0 &&
        ` Of ${unknown.join(" and ")} that was not looked for: open ${unknown.length > 1 ? "each" : "it"} with alexnet serve and look at its units.`,
    ],
    png: `api/filters.png?left=${left}&right=${right}`,
    json: () => both.map(([, page]) => page),
    command:
      runs && left !== right
        ? command("see", "filters", both[0][0].commands.run, "--beside", both[1][0].commands.run)
        : undefined,
    name: "filters",
  });
}

/** Errors by class, where both were measured; else a button that has it done. */
function accuracy(run, both, sides, signal) {
  if (!run.store) return null;
  const missing = [...new Set(sides)].filter((_, n) => !both[n][1].evaluation);
  const told = {
    title: "Errors by class",
    words: `Top-1 error on part “${run.store.part}”, mean of ten views.`,
    name: "accuracy",
    id: "accuracy",
  };
  if (missing.length) {
    const paths = missing.map((side) => [
      `Measuring ${both[sides.indexOf(side)][0].name}`,
      `api/sides/${side}/passes/evaluation`,
    ]);
    return figure(
      looking(
        "Measure both",
        `Every picture of part “${run.store.part}” is judged by the centre and by ten views; the result is kept in the run folder.`,
        paths,
        signal,
        async () => (await import("./main.js")).go(location.href),
      ),
      told,
    );
  }
  const classes = both[0][1].evaluation.per_class;
  const of = (page, id) => page.evaluation.per_class.find((one) => one.id === id);
  const error = (one) => (one?.pictures ? one.top1_errors / one.pictures : null);
  const row = (name, shares) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, name),
      shares.map((share) => h("td", { class: "number" }, share === null ? "–" : meter(share))),
    );
  const totals = both.map(([, page]) => page.evaluation.results.find((one) => one.views === 10).top1_error);
  const others = both.map(
    ([, page]) =>
      page.evaluation.trained_on?.results_on_the_others.find((one) => one.views === 10)?.top1_error ?? null,
  );
  const known = both
    .filter(([, page]) => page.evaluation.trained_on?.pictures)
    .map(
      ([home, page]) =>
        ` ${home.name} was trained on ${page.evaluation.trained_on.pictures} of these ${page.evaluation.trained_on.of} pictures.`,
    );
  const table = h(
    "div",
    { class: "scroll", tabindex: "0" },
    h(
      "table",
      { class: "accuracy" },
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("th", { scope: "col" }, "class"),
          both.map(([home]) => h("th", { scope: "col", class: "number" }, home.name)),
        ),
      ),
      h(
        "tbody",
        {},
        row("all", totals),
        others.some((share) => share !== null) && row("all not trained on", others),
        classes.map((one) =>
          row(
            one.class,
            both.map(([, page]) => error(of(page, one.id))),
          ),
        ),
      ),
    ),
  );
  const drawn = () => both.map(([home, page]) => ({ run: home.name, ...page.evaluation }));
  return figure(table, {
    ...told,
    words: told.words + [...new Set(known)].join(""),
    json: drawn,
    command: command("evaluate", both[0][0].commands.run, run.store.path),
  });
}

function meter(share) {
  const bar = h("i", { class: "meter", "aria-hidden": "true" });
  bar.style.setProperty("--share", `${100 * share}%`);
  return [bar, h("span", { class: "share" }, percent(share))];
}

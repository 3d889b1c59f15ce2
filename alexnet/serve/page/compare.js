/** Two networks side by side: runs, or epochs of one. */

import { address, followWeights, get } from "./api.js";
import { accuracy } from "./accuracy.js";
import { probabilities } from "./bars.js";
import { chooser } from "./choose.js";
import { chosenPicture } from "./chosen.js";
import { diagnosis } from "./diagnosis.js";
import { h } from "./dom.js";
import { command, commandLine, commands } from "./figure.js";
import { kernels } from "./kernels.js";
import { go, reload } from "./navigate.js";
import { picker } from "./pick.js";
import { computed } from "./progress.js";

/** @param {Page} page @returns {Promise<Shown>} */
export async function show(page) {
  const { run, signal, query } = page;
  const looked = await chosenPicture(page);
  const keys = run.sides;
  const asked = (/** @type {string} */ name) => keys.find((key) => key === query.get(name));
  const left = asked("left") ?? "own";
  const right = asked("right") ?? keys.find((key) => key !== left) ?? left;
  const all = (/** @type {string} */ page) =>
    Promise.all([left, right].map((side) => get(`api/sides/${side}/${page}`, signal)));
  /** @type {[Home[], Compared[]]} */
  const [homes, pages] = await Promise.all([all("home"), all("compare")]);
  const apart = left !== right;
  const runs = [left, right].every((side) => side === "own" || side === "beside");
  const filters = [
    "see",
    "filters",
    homes[0].commands.run,
    ...(apart ? ["--beside", homes[1].commands.run] : []),
  ];
  const lead =
    keys.length > 1
      ? "Two runs, or two epochs of one."
      : "There is only one run here. Start the explorer with --beside RUN, or train with --snapshots " +
        "to compare epochs.";
  const shown = apart ? homes : homes.slice(0, 1);
  const both = apart ? pages : pages.slice(0, 1);
  const content = h(
    "article",
    {},
    h("h1", {}, "Side by side"),
    h("p", { class: "lead" }, lead),
    pickers(keys, homes, query, [left, right]),
    samePicture(run, homes, signal, looked, query),
    h(
      "div",
      { class: "beside" },
      shown.map((home) => h("div", {}, kernels(home, `First-layer kernels of ${home.name}`))),
    ),
    diagnosis(both, runs && apart ? command(...filters) : undefined),
    run.store && accuracy(run.store, both, homes[0].commands.run, signal),
    runs && commands("This page on the command line", commandLine(command(...filters))),
  );
  followWeights(signal, run.version, reload);
  return { title: "Side by side", content };
}

/** The address of a comparison. @param {URLSearchParams} query @param {Record<string, string>} changed */
const compared = (query, changed) =>
  `compare?${new URLSearchParams({ ...Object.fromEntries(query), ...changed })}`;

/**
 * @param {string[]} keys
 * @param {Home[]} homes
 * @param {URLSearchParams} query
 * @param {string[]} chosen left and right
 */
function pickers(keys, homes, query, [left, right]) {
  const names = new Map([
    ["own", "this run"],
    ["beside", "the other run"],
    ...homes.map((home) => /** @type {[string, string]} */ ([home.side, home.name])),
  ]);
  /** @param {string} label @param {"left"|"right"} name @param {string} chosen */
  const side = (label, name, chosen) => {
    const options = keys.map(
      (key) => /** @type {[string, string]} */ ([key, names.get(key) ?? key.replace("-", " ")]),
    );
    const show = (/** @type {string} */ side) => go(compared(query, { left, right, [name]: side }));
    return picker(label, options, chosen, show, { name: label });
  };
  return h("p", { class: "pickers" }, side("Left", "left", left), side("Right", "right", right));
}

/**
 * One picture through both.
 * @param {Run} run
 * @param {Home[]} homes
 * @param {AbortSignal} signal
 * @param {Looked|null} looked
 * @param {URLSearchParams} query
 */
function samePicture(run, homes, signal, looked, query) {
  const choose = (/** @type {string} */ chosen) =>
    go(compared(query, Object.fromEntries(new URLSearchParams(chosen))));
  const title = h("h2", {}, "The same picture through both");
  return h(
    "section",
    { id: "same" },
    title,
    chooser(run, choose, signal),
    looked && bothAnswers(homes, looked),
  );
}

/** @param {Home[]} homes @param {Looked} looked */
function bothAnswers(homes, { upload, name, api, signal }) {
  const picture = h("img", {
    class: "view",
    src: address(`api/pictures/${upload.id}/record.jpg`),
    alt: name,
  });
  const columns = homes.map((home) => {
    const column = h("div", { class: "answer" }, h("h3", {}, home.name));
    const put = (/** @type {Prediction} */ { labels, views }) => {
      const title = h("h3", {}, home.name, h("small", {}, views === 1 ? "centre view" : "ten views"));
      column.replaceChildren(title, probabilities(labels));
    };
    const path = `${api.replace("/own/", `/${home.side}/`)}/prediction`;
    computed(column, "Prediction", path, signal, { part: put, done: put });
    return column;
  });
  return h(
    "div",
    {},
    h("p", {}, picture),
    h("p", { class: "soft" }, name),
    h("div", { class: "beside" }, columns),
  );
}

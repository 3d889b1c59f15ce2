/** Teach it classes of one's own: collect pictures, train on them, look at the run. Only with `serve --teach`. */

import { address, get, post } from "./api.js";
import { curveFigures } from "./curve_figures.js";
import { cards, h, table } from "./dom.js";
import { command, commandLine, fault } from "./figure.js";
import { go } from "./navigate.js";
import { classes } from "./teach_classes.js";
import { readingsNow } from "./training.js";
import { percent, whole } from "./text.js";

/**
 * @typedef {{ file: string, collected: boolean }} TaughtPicture
 * @typedef {{ name: string, pictures: number, latest: TaughtPicture[] }} TaughtClass
 * @typedef {object} TaughtRun
 * @property {string} name
 * @property {string} path
 * @property {"linear"|"network"} head
 * @property {boolean} finished
 * @property {string[]} classes
 * @property {Record<string, number>} pictures
 * @property {number|null} planned
 * @property {Epoch[]} epochs
 * @property {State["val"]} val
 * @typedef {object} Trained
 * @property {string} run
 * @property {boolean} alive
 * @property {number|null} code of its exit
 * @property {string} command
 * @property {string[]} log
 * @property {Position|null} now
 * @typedef {{ training: Trained|null, runs: TaughtRun[] }} Progress
 * @typedef {{ folder: string, start: { name: string, path: string }, classes: TaughtClass[], least: number }} Collected
 * @typedef {Progress & Collected} Taught
 */

/** @param {Page} page @returns {Promise<Shown>} */
export async function show({ run, signal }) {
  if (!run.teaches) return { title: "Teach", content: off(run) };
  /** @type {Taught} */
  const taught = await get("api/teach", signal);
  const keeps =
    `Pictures and runs stay in ${taught.folder} on the machine that runs the explorer, and nowhere else. ` +
    "Pictures are kept as JPEGs of at most 512 pixels on the shorter side, without the place and time that a " +
    "camera notes.";
  const content = h(
    "article",
    { class: "teach" },
    h("h1", {}, "Teach it your own classes"),
    h(
      "p",
      { class: "lead" },
      `Collect pictures of two or more classes, ${taught.least} or more of each, and train on them. ` +
        `Training starts from what ${taught.start.name} has learned.`,
    ),
    h("p", { class: "soft" }, keeps),
    classes(taught, signal),
    training(run, taught, signal),
  );
  return { title: "Teach", content };
}

/** @param {Run} run */
function off(run) {
  return h(
    "article",
    {},
    h("h1", {}, "Teach it your own classes"),
    h(
      "p",
      { class: "missing" },
      "Teaching is off, because it writes pictures to this machine. Start the explorer with a folder for them:",
    ),
    commandLine(command("serve", run.commands.run, "--teach", "FOLDER")),
  );
}

// ── training ────────────────────────────────────────────────────────────────────────────────────

/** @param {Run} run @param {Taught} taught @param {AbortSignal} signal */
function training(run, taught, signal) {
  const said = h("div", { role: "status" });
  const live = h("div", { id: "taught-now" });
  const list = h("div", { id: "taught-runs" });
  let drawn = "";

  /** @param {Progress} progress */
  function draw(progress) {
    const state = JSON.stringify(progress);
    if (state === drawn) return;
    drawn = state;
    live.replaceChildren(...(progress.training ? inProgress(progress, attempt) : []));
    list.replaceChildren(...runs(run, taught, progress, attempt));
    name.placeholder = freeName(progress);
  }

  /** Do what the server is asked for, and show what it says. @param {string} path */
  async function attempt(path) {
    said.replaceChildren();
    try {
      const found = await post(path, null, signal);
      if (path.startsWith("api/teach/look")) return go("");
      draw(found);
    } catch (error) {
      if (!signal.aborted) said.replaceChildren(fault(error));
    }
  }

  const name = h("input", { type: "text", id: "taught-name", maxlength: 60, size: 16, autocomplete: "off" });
  const rate = h("input", { type: "number", name: "rate", min: 0.00001, max: 1, step: "any", value: 0.001 });
  const epochs = h("input", { type: "number", name: "epochs", min: 1, max: 1000, value: 20 });
  const finer = h(
    "span",
    { class: "finer", hidden: true },
    h("label", {}, "Learning rate ", rate),
    h("label", {}, "Epochs ", epochs),
  );
  /** @param {"linear"|"network"} head @param {string} words @param {string} about */
  const choice = (head, words, about) =>
    h(
      "label",
      { class: "choice" },
      h("input", {
        type: "radio",
        name: "head",
        value: head,
        checked: head === "linear",
        onchange: () => (finer.hidden = head === "linear"),
      }),
      h("span", {}, h("strong", {}, words), " ", h("small", {}, about)),
    );
  const form = h(
    "form",
    { onsubmit },
    h("label", { for: "taught-name" }, "Name of the run "),
    name,
    h(
      "fieldset",
      {},
      h("legend", {}, "What is trained"),
      choice("linear", "A linear classifier on its convolutions", "takes seconds; best for few pictures"),
      choice("network", "The whole network, fine-tuned", "takes minutes; with curves to watch"),
      finer,
    ),
    h("button", { class: "primary" }, "Train"),
  );
  /** @param {Event} event */
  function onsubmit(event) {
    event.preventDefault();
    const head = String(new FormData(form).get("head"));
    const query = new URLSearchParams({ name: name.value || name.placeholder, head });
    if (head === "network") {
      query.set("epochs", epochs.value);
      query.set("learning_rate", rate.value);
    }
    attempt(`api/teach/runs?${query}`);
  }

  draw(taught);
  const source = new EventSource(address("api/teach/events"));
  source.addEventListener("training", (event) => draw(JSON.parse(event.data)));
  signal.addEventListener("abort", () => source.close());
  return h("section", { id: "train" }, h("h2", {}, "Train"), form, said, live, list);
}

/** @param {Progress} progress */
function freeName({ runs, training }) {
  const taken = new Set([...runs.map((one) => one.name), training?.run]);
  for (let number = 1; ; number++) if (!taken.has(`taught-${number}`)) return `taught-${number}`;
}

/** @param {Progress} progress @param {(path: string) => void} attempt @returns {Node[]} */
function inProgress({ training, runs }, attempt) {
  if (!training) return [];
  const run = runs.find((one) => one.name === training.run);
  const done = run?.finished && !training.alive;
  const paused = !training.alive && !done && [130, 143, -15].includes(training.code ?? 0);
  const word = done
    ? "is trained"
    : training.alive
      ? "is being trained"
      : paused
        ? "is paused"
        : "could not be trained";
  const last = training.log.at(-1) ?? "Starting …";
  const button = (/** @type {string} */ words, /** @type {string} */ path) =>
    h("button", { type: "button", onclick: () => attempt(path) }, words);
  const encoded = encodeURIComponent(training.run);
  return [
    h("h3", {}, `${training.run} ${word}`),
    training.now
      ? h("dl", { class: "readings" }, cards(readingsNow(training.now)))
      : h(
          "p",
          { class: done || training.alive || paused ? "soft" : "fault" },
          paused ? "What is done so far is kept." : last,
        ),
    h(
      "p",
      { class: "save" },
      training.alive && button("Pause", "api/teach/pause"),
      paused && button("Continue", `api/teach/runs/${encoded}/resume`),
    ),
    ...(run?.epochs.length
      ? [curveFigures({ name: run.name, commands: { run: run.path } }, run.epochs, false)]
      : []),
    h(
      "details",
      {},
      h("summary", {}, "What the command says"),
      commandLine(training.command),
      h("pre", { class: "log", tabindex: "0" }, training.log.join("\n")),
    ),
  ].filter((one) => one !== null);
}

/** @param {Run} explored @param {Taught} taught @param {Progress} progress @param {(path: string) => void} attempt */
function runs(explored, taught, { runs, training }, attempt) {
  if (!runs.length) return [];
  const look = (/** @type {string} */ name, /** @type {string} */ path) =>
    path === explored.commands.run
      ? h("em", {}, "explored now")
      : h(
          "button",
          {
            type: "button",
            "aria-label": `Look at it: ${name}`,
            onclick: () =>
              attempt(`api/teach/look?name=${encodeURIComponent(path === taught.start.path ? "" : name)}`),
          },
          "Look at it",
        );
  const resume = (/** @type {string} */ name) =>
    h(
      "button",
      {
        type: "button",
        "aria-label": `Continue ${name}`,
        onclick: () => attempt(`api/teach/runs/${encodeURIComponent(name)}/resume`),
      },
      "Continue",
    );
  const rows = runs.map((run) => [
    run.name,
    run.head === "linear"
      ? "linear classifier"
      : `network, ${run.epochs.length} of ${run.planned ?? "?"} epochs`,
    whole(run.classes.length),
    whole(run.pictures.train ?? 0),
    run.val ? error(run) : "–",
    run.finished || run.epochs.length ? look(run.name, run.path) : "",
    run.finished || (training?.alive && training.run === run.name) ? "" : resume(run.name),
  ]);
  const start = [
    `${taught.start.name} (the start)`,
    "",
    "",
    "",
    "",
    look(taught.start.name, taught.start.path),
    "",
  ];
  const finished = runs.filter((one) => one.finished).at(-1);
  return [
    h("h2", {}, "Runs that were trained here"),
    table(["run", "what", "classes", "pictures", "top-1 error", "", ""], [...rows, start], "taught-runs"),
    finished &&
      h(
        "p",
        {},
        "Each is an ordinary run folder. In Python: ",
        h("code", {}, `alexnet.load("${finished.path}").predict("picture.jpg")`),
      ),
  ].filter((one) => one !== undefined);
}

/** @param {TaughtRun} run */
function error({ val, pictures }) {
  if (!val) return "";
  const count = pictures.val ?? 0;
  return `${percent(val.top1_error)}, ${Math.round(val.top1_error * count)} of ${count}`;
}

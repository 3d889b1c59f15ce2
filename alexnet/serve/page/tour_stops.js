/** The stops of the tour: what [A] says, in plain words, and the run's own pictures and numbers. */

import { address, compute, get } from "./api.js";
import { probabilities } from "./bars.js";
import { followQuery } from "./chosen.js";
import { curveFigures } from "./curve_figures.js";
import { h, readings } from "./dom.js";
import { figure } from "./figure.js";
import { kernels } from "./kernels.js";
import { neighbours } from "./neighbours.js";
import { go } from "./navigate.js";
import { NetworkDrawing } from "./network.js";
import { computed } from "./progress.js";
import { figures, percent, whole } from "./text.js";

/**
 * @typedef {{ run: Run, looked: Looked|null, signal: AbortSignal }} Here
 * @typedef {object} Told
 * @property {string} words
 * @property {Child} [formula]
 * @property {string|false} [lacks] what this run has not
 * @property {Child} [live]
 * @property {[file: string, name: string][]} codes
 * @typedef {object} Stop
 * @property {string} name in the address
 * @property {string} short
 * @property {string} title
 * @property {string} where
 * @property {boolean} pictured whether it shows a picture
 * @property {(here: Here) => Told|Promise<Told>} make
 */

const PRINTED = { k: 2, alpha: 1e-4, beta: 0.75, size: 5, convention: "sum" }; // [A] §3.3
const PART = /([_^])(?:\{([^}]*)\}|(\S))|(?<![\p{L}])([a-zA-Zα-ω])(?![\p{L}])/gu;

/**
 * A formula: single letters are slanted, _ lowers what follows and ^ raises it.
 * @param {string} text
 * @returns {Child[]}
 */
function written(text) {
  /** @type {Child[]} */
  const parts = [];
  let end = 0;
  for (const found of text.matchAll(PART)) {
    parts.push(text.slice(end, found.index));
    const [all, sign, several, one, letter] = found;
    parts.push(letter ? h("i", {}, letter) : h(sign === "_" ? "sub" : "sup", {}, several ?? one));
    end = found.index + all.length;
  }
  return [...parts, text.slice(end)];
}

const LAYERS = "alexnet/nets/layers.py";

/** @type {Stop[]} */
export const STOPS = [
  {
    name: "data",
    short: "Crops",
    title: "Many pictures out of one",
    where: "[A] §2 and §4.1",
    pictured: true,
    make: data,
  },
  {
    name: "kernels",
    short: "Kernels",
    title: "What the first layer looks for",
    where: "[A] §3.5 and Fig. 3",
    pictured: false,
    make: firstKernels,
  },
  {
    name: "relu",
    short: "ReLU",
    title: "Only positive values pass",
    where: "[A] §3.1",
    pictured: true,
    make: relu,
  },
  {
    name: "norm",
    short: "Normalisation",
    title: "Strong maps dampen their neighbours",
    where: "[A] §3.3",
    pictured: true,
    make: norm,
  },
  {
    name: "pool",
    short: "Pooling",
    title: "Windows that overlap",
    where: "[A] §3.4",
    pictured: true,
    make: pool,
  },
  {
    name: "columns",
    short: "Two columns",
    title: "One network on two processors",
    where: "[A] §3.2 and Fig. 2",
    pictured: true,
    make: columns,
  },
  {
    name: "dropout",
    short: "Dropout",
    title: "Half of the units are switched off",
    where: "[A] §4.2",
    pictured: true,
    make: dropout,
  },
  {
    name: "results",
    short: "Results",
    title: "What was learned",
    where: "[A] §5, §6, Fig. 1 and Fig. 4",
    pictured: true,
    make: results,
  },
];

// ── 1: pictures and crops ───────────────────────────────────────────────────────────────────────

/** @param {Here} here @returns {Told} */
function data({ run, looked }) {
  const { input, record } = run.network;
  const windows = 2 * (record - input + 1) ** 2;
  return {
    words:
      `A photograph becomes a square of ${record} × ${record} pixels. In training the network never sees all of it: ` +
      `each time a window of ${input} × ${input} is cut out at random, and half of the time it is mirrored. So one ` +
      `picture becomes ${whole(windows)} different ones ([A] counts 2,048), and the network can't learn them ` +
      "by heart. " +
      "The colours are shifted a little as well, along the directions in which the training pictures vary most.",
    formula: written("pixel + p_1 α_1 λ_1 + p_2 α_2 λ_2 + p_3 α_3 λ_3, with α drawn from N(0, 0.1^2)"),
    live: looked && crops(looked, record, input),
    codes: [["alexnet/data/augment.py", "class Augmentation"]],
  };
}

const SHOWN_CROPS = 6;

/**
 * The record with windows drawn on it, and what is in each.
 * @param {Looked} looked
 * @param {number} side
 * @param {number} crop
 */
function crops({ upload, name }, side, crop) {
  const record = h("img", {
    src: address(`api/pictures/${encodeURIComponent(upload.id)}/record.jpg`),
    width: side,
    height: side,
    alt: name,
  });
  const frame = h("i", { class: "frame" });
  const places = Array.from({ length: SHOWN_CROPS }, () =>
    h("canvas", { width: crop, height: crop, role: "img" }),
  );

  function draw() {
    for (const [n, place] of places.entries()) {
      const [left, top, mirrored] = [random(side - crop + 1), random(side - crop + 1), Math.random() < 0.5];
      const pen = place.getContext("2d");
      if (!pen) return;
      pen.setTransform(mirrored ? -1 : 1, 0, 0, 1, mirrored ? crop : 0, 0);
      pen.drawImage(record, left, top, crop, crop, 0, 0, crop, crop);
      place.setAttribute("aria-label", `From row ${top}, column ${left}${mirrored ? ", mirrored" : ""}`);
      if (n > 0) continue;
      frame.style.left = `${(100 * left) / side}%`;
      frame.style.top = `${(100 * top) / side}%`;
      frame.style.width = frame.style.height = `${(100 * crop) / side}%`;
    }
  }
  record.addEventListener("load", draw);
  const again = h("button", { type: "button", onclick: draw }, "Draw other windows");
  return figure(
    h(
      "div",
      { class: "crops" },
      h("div", { class: "over record" }, record, frame),
      h("div", { class: "windows" }, places),
    ),
    {
      title: name,
      words:
        `At the left the whole square, ${side} pixels wide, with a frame around the first window; at ` +
        `the right ${SHOWN_CROPS} windows as training could draw them.`,
      saves: again,
    },
  );
}

/** @param {number} below */
const random = (below) => Math.floor(Math.random() * below);

// ── 2: kernels ──────────────────────────────────────────────────────────────────────────────────

/** @param {Here} here @returns {Told} */
function firstKernels({ run }) {
  const first = run.network.rows[0];
  return {
    words:
      `Each of the ${whole(first.maps)} kernels of the first layer is a small picture of weights. It slides over the ` +
      "photograph, and where the pixels look like it, the sum of their products is large. Nobody drew these kernels: " +
      "they were learned. [A] found edges of all directions in one column and blobs of colour in the other, " +
      "whatever the weights were at the start. Few epochs or pictures leave them noisy.",
    formula: written("z = b + Σ w · x"),
    lacks: !run.weights && "No weights yet: they are saved after each epoch.",
    live: run.weights && kernels(run),
    codes: [[LAYERS, "class Convolution"]],
  };
}

// ── 3 to 5: before and after ────────────────────────────────────────────────────────────────────

/** @param {Here} here @returns {Promise<Told>} */
async function relu(here) {
  const row = here.run.network.rows.find((one) => one.row === "Activation");
  return {
    words:
      "What a kernel has summed up may be negative. A rectified linear unit (ReLU) lets only the positive " +
      "part through. " +
      "It is as simple as that, and it never saturates: a large sum stays large, and its gradient does not vanish. " +
      "With ReLUs a " +
      "network of [A] reached 25 % training error six times faster than with tanh, the habit of the time.",
    formula: written("f(x) = max(0, x)"),
    lacks: !row
      ? "This network has no such row."
      : row.kind !== "relu" && `This network has ${row.kind} instead.`,
    live: row && (await beforeAndAfter(here, row)),
    codes: [[LAYERS, "NON_LINEARITIES"]],
  };
}

/** @param {Here} here @returns {Promise<Told>} */
async function norm(here) {
  const row = here.run.network.rows.find((one) => one.row === "Norm");
  const { k, alpha, beta, size, convention } = row?.constants ?? PRINTED;
  const scale = convention === "mean" ? `${alpha}/${size}` : alpha;
  return {
    words:
      "At each place of the picture the maps compete: a unit is divided by a power of what its neighbours " +
      "found there, " +
      "so that a strong one dampens its neighbours, as nerve cells do. In [A] this lowered the top-1 error by " +
      "1.4 percentage points. Later networks dropped it for batch normalisation.",
    formula: written(
      `b_i = a_i / (${k} + ${scale} · Σ_j a_j^2)^{${beta}}, the sum over the ${size} maps around map i`,
    ),
    lacks: !row && "This network has no response normalisation; the constants are those of [A].",
    live: row && (await beforeAndAfter(here, row)),
    codes: [["alexnet/kernels/reference.py", "def local_response_norm"]],
  };
}

/** @param {Here} here @returns {Promise<Told>} */
async function pool(here) {
  const row = here.run.network.rows.find((one) => one.row === "Pool");
  const { kernel, stride } = row?.constants ?? { kernel: 3, stride: 2 };
  const overlaps = Number(stride) < Number(kernel);
  return {
    words:
      "A map says where something was found, more exactly than is needed. Pooling keeps the largest value of each " +
      `window of ${kernel} × ${kernel} and forgets where in it that was. The windows are ${stride} apart` +
      `${overlaps ? ", so they overlap" : ", so they don't overlap here"}; in [A] overlapping ones lowered the top-1 ` +
      "error by 0.4 percentage points and made it a little harder to learn by heart.",
    formula: written(`p = max b in windows of ${kernel} × ${kernel}, ${stride} apart`),
    lacks: !row && "This network has no pooling.",
    live: row && (await beforeAndAfter(here, row)),
    codes: [
      [LAYERS, "class MaxPool"],
      ["alexnet/kernels/reference.py", "def relu_norm_pool"],
    ],
  };
}

/**
 * All maps below a row and those that it makes of them, and one number on its way.
 * @param {Here} here
 * @param {Row} row
 */
async function beforeAndAfter({ run, looked, signal }, row) {
  if (!looked) return null;
  const rows = run.network.rows;
  const below = rows[rows.indexOf(row) - 1];
  /** @type {Activations[]} */
  const layers = await compute(`${looked.api}/layers`, {}, signal);
  const found = layers.find((one) => one.name === row.name);
  if (!below || !found) return null;
  const unit = found.strongest[0].unit;
  const sheet = (/** @type {Row} */ { name, maps, side }) =>
    h(
      "div",
      {},
      h("h3", {}, name, " ", h("small", {}, `${whole(maps)} maps of ${side} × ${side}`)),
      h("img", {
        class: "maps",
        src: address(`${looked.api}/maps/${name}.png?v=${run.version}`),
        alt: `All maps of ${name}`,
      }),
    );
  const lively = Math.round(found.active * found.maps);
  const active =
    row.row === "Activation" &&
    ` ${whole(lively)} of the ${whole(found.maps)} maps are positive somewhere; in its sheet black is 0.`;
  return figure(h("div", { class: "beside" }, sheet(below), sheet(row)), {
    title: looked.name,
    words: [`All maps before (${below.name}) and after (${row.name}), each sheet on one scale.`, active],
    saves: await oneNumber(looked, row.name, unit, signal),
  });
}

/**
 * What a row makes of its largest number, and where to follow it.
 * @param {Looked} looked
 * @param {string} name
 * @param {number} unit
 * @param {AbortSignal} signal
 */
async function oneNumber(looked, name, unit, signal) {
  const steps = await get(`${looked.api}/follow?unit=${name}.${unit}`, signal).then(
    (found) => found.steps,
    () => [], // a static copy follows no numbers
  );
  const step = steps.find((/** @type {{ layer: string }} */ one) => one.layer === name);
  if (!step?.blocks) return null;
  const [place, row, column] = step.from;
  const block = step.blocks.find((/** @type {{ place: number }} */ one) => one.place === place);
  const before = block?.inputs[row]?.[column];
  const at = step.at ? ` at row ${step.at[0]}, column ${step.at[1]}` : "";
  return h(
    "p",
    { class: "number-on-its-way" },
    before !== undefined && `In map ${unit}${at}, ${name} ${makes(before, step.value)}. `,
    h("a", { href: followQuery(looked, name, unit, step.at?.[0], step.at?.[1]) }, "Follow this number"),
  );
}

/** @param {number} before @param {number} after */
const makes = (before, after) =>
  before === after ? `leaves ${figures(after)} as it is` : `makes ${figures(after)} of ${figures(before)}`;

// ── 6: columns ──────────────────────────────────────────────────────────────────────────────────

/** @param {Here} here @returns {Promise<Told>} */
async function columns({ run, looked, signal }) {
  const { network } = run;
  const drawing = new NetworkDrawing(network, (row) => go(`layer/${layerOf(network, row)}`), signal);
  if (looked) {
    const view = h("img", { src: address(`${looked.api}/view.jpg`), alt: looked.name });
    drawing.picture.append(view);
    get(`${looked.api}/glance`, signal).then(
      (glance) => drawing.paint(glance),
      () => {}, // the boxes stay empty
    );
  }
  return {
    words:
      "A graphics card of 2012 had 3 GB of memory, too little for this network. So [A] cut it in two: each " +
      "card holds " +
      "half of the maps of every layer, a column, and they read each other's maps only in some layers. In " +
      "the drawing " +
      "lines of both colours meet there. What was a trick to fit became part of the result: the columns " +
      "specialise, as " +
      "the kernels show.",
    lacks: network.columns === 1 && "This network has one column: each layer reads all of the maps below it.",
    live: figure(drawing.element, { title: "This network", words: `${network.name}: ${network.about}` }),
    codes: [
      ["alexnet/nets/zoo.py", "ALEXNET"],
      ["alexnet/nets/table.py", "class Table"],
    ],
  };
}

/** The layer with weights that a row belongs to. @param {Network} network @param {string} name */
function layerOf({ rows, layers }, name) {
  const before = rows.slice(0, rows.findIndex((one) => one.name === name) + 1).map((one) => one.name);
  return layers.filter((one) => before.includes(one.name)).at(-1)?.name ?? layers[0].name;
}

// ── 7: dropout ──────────────────────────────────────────────────────────────────────────────────

/** @param {Here} here @returns {Promise<Told>} */
async function dropout(here) {
  const { rows } = here.run.network;
  const row = rows.find((one) => one.row === "Dropout");
  const keep = Number(row?.constants.keep ?? 0.5);
  return {
    words:
      "The fully connected layers have most of the weights, enough to learn every training picture by heart. Dropout " +
      "prevents that: for each picture half of their units are switched off by chance. No unit can rely on " +
      "another, so " +
      "each must be of use by itself. Afterwards all take part, and each counts half. It takes about twice as many " +
      "epochs, and without it [A] overfits.",
    formula: written(
      `in training y = m · x, with m = 1 with probability ${keep}, else 0; afterwards y = ${keep} · x`,
    ),
    lacks: !row && "This network has no dropout.",
    live: row && (await dropped(here, row, keep)),
    codes: [["alexnet/nets/dropout.py", "class DropoutLayer"]],
  };
}

/**
 * The strongest units below a dropout, some of them switched off.
 * @param {Here} here
 * @param {Row} row
 * @param {number} keep
 */
async function dropped({ run, looked, signal }, row, keep) {
  if (!looked) return null;
  const below = run.network.rows[run.network.rows.indexOf(row) - 1];
  /** @type {Activations[]} */
  const layers = await compute(`${looked.api}/layers`, {}, signal);
  const units = layers.find((one) => one.name === below?.name)?.strongest ?? [];
  const most = Math.max(...units.map((one) => one.value), 1e-9);
  const list = h("ul", { class: "bars dropped" });
  /** @param {boolean} all */
  function draw(all) {
    list.replaceChildren(
      ...units.map(({ unit, value }) => {
        const on = all || Math.random() < keep;
        const counts = all ? keep * value : on ? value : 0;
        const bar = h("i", { "aria-hidden": "true" });
        bar.style.width = `${Math.max(0, (100 * counts) / most)}%`;
        return h(
          "li",
          { class: !on && "off" },
          bar,
          h("span", {}, `${below.name} ${unit}`),
          h("span", {}, on ? figures(counts) : `off (${figures(value)})`),
        );
      }),
    );
  }
  draw(false);
  return figure(list, {
    title: looked.name,
    words: `The ${units.length} units of ${below.name} that this picture activates most, of ${whole(below.maps)}.`,
    saves: [
      h("button", { type: "button", onclick: () => draw(false) }, "In training: switch off others"),
      " ",
      h("button", { type: "button", onclick: () => draw(true) }, "Afterwards: all of them"),
    ],
  });
}

// ── 8: results ──────────────────────────────────────────────────────────────────────────────────

/** @param {Here} here @returns {Promise<Told>} */
async function results(here) {
  const { run, looked, signal } = here;
  /** @type {RunHistory} */
  const { epochs, state } = await get("api/sides/own/curves", signal);
  const val = state.val;
  const count = run.pictures.val ?? 0;
  const numbers =
    val &&
    readings([
      [
        "top-1 error",
        percent(val.top1_error, 2),
        `${whole(Math.round(val.top1_error * count))} of ${whole(count)} validation pictures, centre view`,
      ],
      ["top-5 error", percent(val.top5_error, 2), `of ${whole(run.classes.length)} classes`],
      ["[A], ILSVRC-2010", "37.5 %", "top-1 error on 150,000 test pictures; top-5 17.0 %"],
    ]);
  return {
    words:
      "Each update moves the weights against the gradient of a batch, with momentum and a little decay; the " +
      "learning rate " +
      "is divided by 10 whenever the validation error stops falling. In 2012 this took five to six days on " +
      "two cards, " +
      "90 times through 1.2 million pictures, and nearly halved the error of the best method before it. The " +
      "last hidden " +
      "layer shows what was learned: pictures that are close there show the same thing, even where no pixels agree.",
    formula: written("v ← 0.9 v − 0.0005 ε w − ε g;  w ← w + v"),
    live: [
      numbers,
      epochs.length > 0 && curveFigures(run, epochs),
      looked && answer(looked),
      looked && neighbours(looked),
    ],
    codes: [
      ["alexnet/train/update.py", "class Update"],
      ["alexnet/train/schedule.py", "class Plateau"],
      ["alexnet/measure/evaluation.py", "def evaluate_run"],
      ["alexnet/features/similar/index.py", "class Index"],
    ],
  };
}

/** @param {Looked} looked */
function answer({ name, api, signal }) {
  const place = h("div", { class: "answers" });
  const put = (/** @type {Prediction} */ { labels }) => place.replaceChildren(probabilities(labels));
  computed(place, "Prediction", `${api}/prediction`, signal, { part: put, done: put });
  const view = h("img", {
    class: "view",
    src: address(`${api}/view.jpg`),
    alt: `What the network sees of ${name}`,
  });
  return figure(h("div", { class: "answered" }, view, place), {
    title: name,
    words: "Its five most probable classes, as in [A] Fig. 4, left: the mean of ten views.",
  });
}

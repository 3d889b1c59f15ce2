/** Each kind of row, shown with the numbers of one unit. */

import { address } from "./api.js";
import { h, s } from "./dom.js";
import { edited, inputsOf, productAt, same, softmax, squares } from "./follow_numbers.js";
import { matrix } from "./matrix.js";
import { figures, percent, signedFigures, whole } from "./text.js";

/** @typedef {import("./follow_numbers.js").Step} Step */
/** @typedef {import("./follow_numbers.js").Place} Place */
/** @typedef {import("./follow_numbers.js").Edit} Edit */
/**
 * What a step is shown with. `edits`: those of this step, with the number that comes from the step before; `value`: the
 * number that it gives with them; `chosen`: the place in its window that is looked at; `choose` looks at another.
 * @typedef {object} View
 * @property {Looked} looked
 * @property {Step} step
 * @property {Edit[]} edits
 * @property {number} value
 * @property {Place} chosen
 * @property {(place: Place) => void} choose
 */

const COLOURS = /** @type {const} */ (["red", "green", "blue"]);
const NEIGHBOURS_SHOWN = 15;
const MAPS_SHOWN = 12;

/** @param {{ layer: string, unit: number, at: number[]|null }} unit */
export const named = ({ layer, unit, at }) =>
  `${layer} · ${unit}${at ? ` at row ${at[0]}, column ${at[1]}` : ""}`;

/** A map below, or a colour of the picture. @param {Step} step @param {number} map */
export const mapName = (step, map) =>
  step.below.name === "picture" ? COLOURS[map] : `${step.below.name} · ${map}`;

/** @param {View} view @returns {Node} */
export function shownStep(view) {
  const { row, rule } = view.step;
  const make =
    {
      Conv: convolution,
      Local: convolution,
      Dense: dense,
      Norm: norm,
      SpatialNorm: windowed,
      Pool: windowed,
    }[row] ?? (row === "Activation" ? nonLinearity : pointwise);
  return h("div", { class: `how ${row.toLowerCase()} ${rule ?? ""}` }, make(view));
}

// ── sums of products ────────────────────────────────────────────────────────────────────────────

/** @param {View} view */
function convolution(view) {
  const { step, chosen, edits } = view;
  const blocks = step.blocks ?? [];
  const block = blocks.find((one) => one.place === chosen[0]) ?? blocks[0];
  const picture = step.below.name === "picture";
  const count = block.inputs.length;
  const window = `${count} × ${block.inputs[0].length}`;
  const numbers = whole(step.reads * count * block.inputs[0].length);
  const some = step.reads < step.below.maps;
  const columns = step.kind.includes("own") ? "its own column" : "the columns that it reads";
  const maps = some
    ? `${whole(step.reads)} of ${step.below.name}’s ${step.below.maps} maps, those of ${columns}`
    : `all ${step.reads} maps of ${step.below.name}`;
  const words = picture
    ? `It reads a window of ${window} pixels in three colours, ${numbers} numbers, each 0 to 255 less the mean of ` +
      "the training pictures there. Each is multiplied by the weight that lies over it; the products and a bias are " +
      "added up."
    : `It reads a window of ${window} in ${maps}: ${numbers} numbers. ` +
      "Each is multiplied by the weight that lies over it; the products and a bias are added up.";
  return [
    windowOn(view, block.map),
    h("p", {}, words, step.row === "Local" && " The weights are this position's own."),
    picture && blocks.length === 3 && inColour(view),
    mapChooser(view),
    grids(view, block, picture),
    signedBars(view),
    total(view, blocks.length < step.reads ? `${whole(step.reads)} maps` : `${blocks.length} maps`),
    edits.length > 0 && changedNote(),
  ];
}

/** What the first layer sees and looks for, in colour, as in [A] Fig. 3. @param {View} view */
function inColour({ step, edits }) {
  const blocks = [0, 1, 2].map((map) => (step.blocks ?? []).find((one) => one.map === map));
  const value = (
    /** @type {"input"|"weight"} */ what,
    /** @type {number} */ n,
    /** @type {number} */ r,
    /** @type {number} */ c,
  ) => {
    const block = blocks[n];
    return (
      (edited(step, edits, what, [block?.place ?? n, r, c]) ?? 0) +
      (what === "input" ? (block?.mean?.[r][c] ?? 0) : 0)
    );
  };
  const most = Math.max(
    ...blocks
      .flatMap((one) => one?.weights ?? [])
      .flat()
      .map((one) => Math.abs(one ?? 0)),
    1e-12,
  );
  const size = blocks[0]?.inputs.length ?? 0;
  const picture = (
    /** @type {string} */ title,
    /** @type {(n: number, r: number, c: number) => number} */ level,
  ) => {
    const canvas = h("canvas", { width: size, height: size, role: "img", "aria-label": title });
    const pen = canvas.getContext("2d");
    const pixels = new ImageData(size, size);
    for (let at = 0; at < size * size; at++) {
      for (let n = 0; n < 3; n++) pixels.data[4 * at + n] = level(n, Math.floor(at / size), at % size);
      pixels.data[4 * at + 3] = 255;
    }
    pen?.putImageData(pixels, 0, 0);
    return h("figure", {}, h("figcaption", {}, title), canvas);
  };
  return h(
    "div",
    { class: "in-colour" },
    picture("the window", (n, r, c) => value("input", n, r, c)),
    picture("the kernel, grey is 0", (n, r, c) => 127.5 + (127.5 * value("weight", n, r, c)) / most),
  );
}

/** The map that is looked at, to be chosen. @param {View} view */
function mapChooser(view) {
  const { step, chosen, choose } = view;
  const blocks = step.blocks ?? [];
  const place = blocks.findIndex((one) => one.place === chosen[0]);
  const go = (/** @type {number} */ n) => choose([blocks[n].place, chosen[1], chosen[2]]);
  const options = blocks.map((one, n) =>
    h(
      "option",
      { value: n, selected: n === place },
      `${mapName(step, one.map)}: ${signedFigures(sumOf(view, one.place))}`,
    ),
  );
  const select = h("select", { onchange: () => go(Number(select.value)) }, options);
  const button = (/** @type {string} */ sign, /** @type {string} */ label, /** @type {number} */ to) =>
    h("button", { type: "button", "aria-label": label, disabled: !blocks[to], onclick: () => go(to) }, sign);
  const label = step.below.name === "picture" ? "Colour" : "Map below";
  return h(
    "p",
    { class: "map-chooser" },
    h("label", {}, `${label} `, select),
    button("‹", "The map before", place - 1),
    button("›", "The next map", place + 1),
    h("small", {}, `${place + 1} of ${blocks.length}, those that add or take most come first`),
  );
}

/** What a map adds. @param {View} view @param {number} place @returns {number} */
function sumOf({ step, edits }, place) {
  const block = step.blocks?.find((one) => one.place === place);
  if (!block || !edits.some((one) => one.place[0] === place)) return block?.sum ?? 0;
  const products = block.inputs.flatMap((line, row) =>
    line.map((_, column) => productAt(step, edits, [place, row, column])),
  );
  return products.reduce((sum, one) => sum + one, 0);
}

/**
 * Window × kernel = products.
 * @param {View} view
 * @param {import("./follow_numbers.js").Block} block
 * @param {boolean} picture
 */
function grids(view, block, picture) {
  const { step, edits, chosen, choose } = view;
  const onchoose = (/** @type {number} */ row, /** @type {number} */ column) =>
    choose([block.place, row, column]);
  const map = (/** @type {(place: Place) => number} */ of) =>
    block.inputs.map((line, row) =>
      line.map((value, column) => (value === null ? null : of([block.place, row, column]))),
    );
  const inputs = map((place) => edited(step, edits, "input", place) ?? 0);
  const pixels =
    block.mean &&
    inputs.map((line, r) =>
      line.map((one, c) => (one === null ? null : Math.round(one + (block.mean?.[r][c] ?? 0)))),
    );
  const weights = map((place) => edited(step, edits, "weight", place) ?? 0);
  const products = map((place) => productAt(step, edits, place));
  const places = (/** @type {string} */ what) =>
    edits
      .filter((one) => (!what || one.what === what) && one.place[0] === block.place)
      .map(({ place }) => /** @type {[number, number]} */ ([place[1], place[2]]));
  const all = [
    matrix({
      title: picture ? `pixels, ${COLOURS[block.map]}` : "inputs",
      values: pixels ?? inputs,
      kind: picture ? COLOURS[block.map] : "grey",
      edited: places("input"),
      onchoose,
    }),
    matrix({ title: "kernel", values: weights, kind: "signed", edited: places("weight"), onchoose }),
    matrix({
      title: picture ? "(pixel − mean) × weight" : "products",
      values: products,
      kind: "signed",
      edited: places(""),
      onchoose,
    }),
  ];
  all.forEach((one) => one.mark(chosen[1], chosen[2]));
  return h(
    "div",
    { class: "grids" },
    all[0].element,
    h("span", { class: "operator" }, "×"),
    all[1].element,
    h("span", { class: "operator" }, "="),
    all[2].element,
    h(
      "p",
      { class: "adds-up" },
      "These products add up to ",
      h("strong", {}, signedFigures(sumOf(view, block.place))),
      ". ",
      h(
        "span",
        { class: "soft" },
        "Filled squares are positive, hollow ones negative. Choose a cell to change it below.",
      ),
    ),
  );
}

/** The maps that add or take most, as bars to both sides. @param {View} view */
function signedBars(view) {
  const { step, chosen, choose } = view;
  const blocks = step.blocks ?? [];
  if (blocks.length < 2) return null;
  const shown = blocks
    .slice(0, MAPS_SHOWN)
    .map(({ place, map }) => ({ place, map, sum: sumOf(view, place) }));
  const rest = view.value - (step.constants.bias ?? 0) - shown.reduce((sum, one) => sum + one.sum, 0);
  const most = Math.max(...shown.map(({ sum }) => Math.abs(sum)), 1e-12);
  const bars = shown.map(({ place, map, sum }) =>
    h(
      "li",
      {},
      h(
        "button",
        {
          type: "button",
          class: "bar-row",
          "aria-pressed": String(place === chosen[0]),
          onclick: () => choose([place, chosen[1], chosen[2]]),
        },
        h("span", { class: "who" }, mapName(step, map)),
        twoSided(sum, most),
        h("span", { class: "how-much" }, signedFigures(sum)),
      ),
    ),
  );
  const others = step.reads - shown.length;
  return [
    h("h3", {}, step.below.name === "picture" ? "What each colour adds" : "What each map adds"),
    h("ol", { class: "both-sides" }, bars),
    others > 0 &&
      h("p", { class: "soft" }, `The ${whole(others)} other maps together add ${signedFigures(rest)}.`),
  ];
}

/** A bar to the right of the middle, or hollow and to the left. @param {number} value @param {number} most */
function twoSided(value, most) {
  const bar = h("i", { class: value < 0 ? "less" : "more" });
  bar.style.width = `${(50 * Math.abs(value)) / most}%`;
  return h("span", { class: "two-sided", "aria-hidden": "true" }, bar);
}

/** The sum and the bias. @param {View} view @param {string} of */
function total({ step, value }, of) {
  const bias = step.constants.bias ?? 0;
  return h(
    "p",
    { class: "equation" },
    `sum over ${of} ${signedFigures(value - bias)}`,
    h("span", {}, ` ${bias < 0 ? "−" : "+"} `),
    `bias ${figures(Math.abs(bias))} = `,
    h("strong", {}, figures(value)),
  );
}

/** @param {View} view */
function dense(view) {
  const { step, edits, chosen, choose } = view;
  const terms = step.terms ?? [];
  const rest = step.rest ?? { positive: { count: 0, sum: 0 }, negative: { count: 0, sum: 0 } };
  const shown = terms.map((one) => ({ ...one, product: productAt(step, edits, one.place) }));
  const most = Math.max(...shown.map(({ product }) => Math.abs(product)), 1e-12);
  const side = step.below.side;
  const rows = shown.map(({ place, map, product }) => {
    const [input, weight] = [
      edited(step, edits, "input", place) ?? 0,
      edited(step, edits, "weight", place) ?? 0,
    ];
    const where = side > 1 ? ` at ${place[1]}, ${place[2]}` : "";
    return h(
      "li",
      {},
      h(
        "button",
        {
          type: "button",
          class: "bar-row",
          "aria-pressed": String(same(place, chosen)),
          onclick: () => choose(place),
        },
        h("span", { class: "who" }, `${mapName(step, map)}${where}`),
        h("span", { class: "factors" }, `${figures(input)} × ${figures(weight)}`),
        twoSided(product, most),
        h("span", { class: "how-much" }, signedFigures(product)),
      ),
    );
  });
  const others = (/** @type {"positive"|"negative"} */ sign) =>
    `${whole(rest[sign].count)} other ${sign} products: ${signedFigures(rest[sign].sum)}`;
  const below = side > 1 ? `all ${step.below.maps} maps of ${side} × ${side}` : "all units";
  return [
    h(
      "p",
      {},
      `A fully connected unit reads ${step.reads === step.below.maps ? below : "the units of its own column"} of ` +
        `${step.below.name}: ${whole(step.products ?? 0)} numbers, each with a weight of its own. ` +
        `${whole(step.zeros ?? 0)} of the products are 0. The strongest of each sign:`,
    ),
    h("ol", { class: "both-sides with-factors" }, rows),
    h("p", { class: "soft" }, `${others("positive")}; ${others("negative")}.`),
    total(view, `${whole(step.products ?? 0)} products`),
    edits.length > 0 && changedNote(),
  ];
}

const changedNote = () => h("p", { class: "soft" }, "What you changed is outlined.");

// ── norms and pools ─────────────────────────────────────────────────────────────────────────────

/** Response normalisation across maps. @param {View} view */
function norm(view) {
  const { step, edits, chosen, choose, looked, value } = view;
  const { k, alpha, beta } = step.constants;
  const blocks = step.blocks ?? [];
  const middle = blocks.findIndex((one) => one.place === step.from[0]);
  const first = Math.max(0, Math.min(middle - 7, blocks.length - NEIGHBOURS_SHOWN));
  const shown = blocks.slice(first, first + NEIGHBOURS_SHOWN);
  const sum = squares(inputsOf(step, edits));
  const own = edited(step, edits, "input", step.from) ?? 0;
  const cells = shown.map(({ place, map }) => {
    const a = edited(step, edits, "input", [place, 0, 0]) ?? 0;
    const image = h("img", {
      src: address(`${looked.api}/maps/${step.below.name}/${map}.png`),
      alt: "",
      width: 72,
      height: 72,
    });
    const square = [
      h("span", { class: "a" }, `a = ${figures(a)}`),
      h("span", { class: "a" }, `a² = ${large(a * a)}`),
    ];
    return h(
      "li",
      {},
      h(
        "button",
        {
          type: "button",
          class: `neighbour${place === step.from[0] ? " own" : ""}`,
          "aria-pressed": String(place === chosen[0]),
          onclick: () => choose([place, 0, 0]),
        },
        h("span", { class: "on-map" }, image, spot(step)),
        h("strong", {}, `map ${map}${place === step.from[0] ? ", its own" : ""}`),
        square,
      ),
    );
  });
  const outside =
    (step.size ?? blocks.length) > blocks.length ? " Beyond the first and the last map there are none." : "";
  const other =
    blocks.length > shown.length ? ` ${blocks.length - shown.length} more maps are in the sum.` : "";
  const inside = k + alpha * sum;
  return [
    h(
      "p",
      {},
      `It reads ${blocks.length} neighbouring maps of ${step.below.name} at the same position, and divides its own ` +
        `value by a power of the sum of their squares.${outside}${other}`,
    ),
    h("ol", { class: "neighbours" }, cells),
    h(
      "div",
      { class: "equation" },
      fraction("a", ["(k + α · Σ a²)", h("sup", {}, "β")]),
      " = ",
      fraction(figures(own), [`(${tiny(k)} + ${tiny(alpha)} × ${large(sum)})`, h("sup", {}, tiny(beta))]),
      " = ",
      fraction(figures(own), [long(inside), h("sup", {}, tiny(beta))]),
      " = ",
      h("strong", {}, figures(value)),
    ),
    step.scale?.convention === "mean" &&
      h(
        "p",
        { class: "soft" },
        `α is ${tiny(step.scale.alpha)} divided by the ${step.size} maps, as in the 2012 code.`,
      ),
    h(
      "p",
      { class: "soft" },
      inside ** beta < 1.001 * k ** beta
        ? "The neighbours are weak: the sum hardly changes anything here."
        : `Without its neighbours' activity the divisor would be ${long(k ** beta)}; it is ${long(inside ** beta)}.`,
    ),
  ];
}

/** @param {Child} above @param {Child} below */
const fraction = (above, below) =>
  h("span", { class: "fraction" }, h("span", {}, above), h("span", {}, below));

/** Large numbers without powers of ten. @param {number} value */
const large = (value) => (value >= 1000 ? whole(Math.round(value)) : figures(value));
/** Small constants in full. @param {number} value */
const tiny = (value) => String(Number(value.toPrecision(3)));
/** With enough digits to see a small difference from a whole number. @param {number} value */
const long = (value) => String(Number(value.toPrecision(5)));

/** Pools, and norms inside a map: a window of its own map. @param {View} view */
function windowed(view) {
  const { step, edits, chosen, choose, value } = view;
  const block = (step.blocks ?? [])[0];
  const values = block.inputs.map((line, row) =>
    line.map((one, column) => (one === null ? null : edited(step, edits, "input", [0, row, column]))),
  );
  const winner = step.row === "Pool" && step.rule === "max" ? place(values) : null;
  const grid = matrix({
    title: mapName(step, block.map),
    values,
    kind: "grey",
    winner,
    edited: edits.map(({ place: [, row, column] }) => [row, column]),
    onchoose: (row, column) => choose([0, row, column]),
  });
  grid.mark(chosen[1], chosen[2]);
  return [
    windowOn(view, block.map),
    h(
      "p",
      {},
      step.row === "Pool"
        ? poolWords(view, winner, values)
        : "It divides its value by a power of the sum of squares of a window in its own map.",
    ),
    grid.element,
    step.row === "Pool"
      ? h(
          "p",
          { class: "equation" },
          step.rule === "max" ? "max of the window = " : "mean of the window = ",
          h("strong", {}, figures(value)),
        )
      : normFormula(view),
  ];
}

/** @param {View} view */
function normFormula({ step, edits, value }) {
  const { k, alpha, beta } = step.constants;
  const own = edited(step, edits, "input", step.from) ?? 0;
  const sum = squares(inputsOf(step, edits));
  return h(
    "div",
    { class: "equation" },
    fraction(figures(own), [`(${tiny(k)} + ${tiny(alpha)} × ${large(sum)})`, h("sup", {}, tiny(beta))]),
    " = ",
    h("strong", {}, figures(value)),
  );
}

/** Where the largest value stands. @param {(number|null)[][]} values @returns {[number, number]} */
function place(values) {
  /** @type {[number, number]} */
  let best = [0, 0];
  let most = -Infinity;
  values.forEach((line, row) =>
    line.forEach((value, column) => {
      if (value !== null && value > most) [best, most] = [[row, column], value];
    }),
  );
  return best;
}

/** @param {View} view @param {[number, number]|null} winner @param {(number|null)[][]} values */
function poolWords({ step }, winner, values) {
  const size = `${values.length} × ${values.length}`;
  const clipped = values.flat().includes(null) ? " Beyond the map's edge nothing is read." : "";
  if (!winner) return `The output is the mean of a window of ${size} of its own map.${clipped}`;
  const [row, column] = [step.top + winner[0], step.left + winner[1]];
  const ours = winner[0] === step.from[1] && winner[1] === step.from[2];
  const mine = ours
    ? "It is the number that we follow."
    : "The number that we followed is not the largest of this window: the output is another one.";
  return (
    `The output is the largest value of a window of ${size} of its own map; the others are dropped. ` +
    `The switch: row ${row}, column ${column} of ${step.below.name} won. ${mine}${clipped}`
  );
}

// ── one number in, one out ──────────────────────────────────────────────────────────────────────

/** @param {View} view */
function nonLinearity({ step, edits, value }) {
  const x = edited(step, edits, "input", step.from) ?? 0;
  const words = {
    relu:
      x > 0
        ? "It is positive, so it passes unchanged."
        : "It is not positive, so the output is 0: for this picture the unit is silent here.",
    tanh: "It is squeezed between −1 and 1.",
    sigmoid: "It is squeezed between 0 and 1.",
  }[step.rule ?? ""];
  const formula =
    { relu: `max(0, ${figures(x)})`, tanh: `tanh(${figures(x)})` }[step.rule ?? ""] ??
    `1 / (1 + e^−(${figures(x)}))`;
  return [
    h("p", {}, words),
    curve(step.rule ?? "relu", x, value),
    h("p", { class: "equation" }, `${formula} = `, h("strong", {}, figures(value))),
  ];
}

/** The function as a curve, with the number on it. @param {string} rule @param {number} x @param {number} y */
function curve(rule, x, y) {
  const wide = Math.max(Math.abs(x) * 1.3, rule === "relu" ? 1e-6 : 3);
  const [low, high] = rule === "relu" ? [-0.25 * wide, wide] : [-1.2, 1.2];
  const right = (/** @type {number} */ one) => 20 + (260 * (one + wide)) / (2 * wide);
  const up = (/** @type {number} */ one) => 130 - (110 * (one - low)) / (high - low);
  const of =
    { relu: (/** @type {number} */ one) => Math.max(0, one), tanh: Math.tanh }[rule] ??
    ((one) => 1 / (1 + Math.exp(-one)));
  const points = Array.from({ length: 81 }, (_, n) => wide * (n / 40 - 1)).map(
    (one) => `${right(one)},${up(of(one))}`,
  );
  return s(
    "svg",
    {
      viewBox: "0 0 300 140",
      class: "function",
      role: "img",
      "aria-label": `${rule}: ${figures(x)} becomes ${figures(y)}`,
    },
    s("line", { x1: 20, x2: 280, y1: up(0), y2: up(0) }),
    s("line", { x1: right(0), x2: right(0), y1: 10, y2: 132 }),
    s("polyline", { points: points.join(" ") }),
    s("line", { class: "drop", x1: right(x), x2: right(x), y1: up(0), y2: up(y) }),
    s("circle", { cx: right(x), cy: up(y), r: 4 }),
  );
}

/** Dropout, batch norm. @param {View} view */
function pointwise({ step, edits, value }) {
  const x = edited(step, edits, "input", step.from) ?? 0;
  const c = step.constants;
  if (step.row === "BatchNorm") {
    return [
      h(
        "p",
        {},
        "The mean and the variance that this map had over the training pictures are taken out; a learned scale and " +
          "shift are put in.",
      ),
      h(
        "div",
        { class: "equation" },
        fraction(
          [`${figures(x)} − mean ${figures(c.mean)}`],
          [`√(variance ${figures(c.variance)} + ${tiny(c.epsilon)})`],
        ),
        ` × scale ${figures(c.scale)} + shift ${figures(c.shift)} = `,
        h("strong", {}, figures(value)),
      ),
    ];
  }
  const words =
    c.factor === 1
      ? `In training a unit was kept with probability ${c.keep} and then divided by it. Now nothing is done.`
      : `In training a unit was kept with probability ${c.keep}. Now all are used, ` +
        `so each is multiplied by ${c.keep}: the next layer receives as much as it did on average.`;
  return [
    h("p", {}, words),
    h("p", { class: "equation" }, `${figures(x)} × ${c.factor} = `, h("strong", {}, figures(value))),
  ];
}

// ── the answer ──────────────────────────────────────────────────────────────────────────────────

/**
 * @param {Run} run
 * @param {number[]} before the logits
 * @param {number[]} logits with what was changed
 * @param {number} temperature
 * @param {number} unit the class that was followed
 */
export function softmaxStep(run, before, logits, temperature, unit) {
  const probabilities = softmax(logits, temperature);
  const old = softmax(before, temperature);
  const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]).slice(0, 8);
  if (!order.includes(unit)) order.push(unit);
  const highest = Math.max(...logits);
  const powers = logits.map((one) => Math.exp((one - highest) / temperature));
  const sum = powers.reduce((all, one) => all + one, 0);
  const rows = order.map((k) => {
    const bar = h("i", { "aria-hidden": "true" });
    bar.style.width = `${100 * probabilities[k]}%`;
    const was = percent(old[k], 2) === percent(probabilities[k], 2) ? "" : ` (was ${percent(old[k], 2)})`;
    return h(
      "li",
      { class: k === unit && "own" },
      bar,
      h(
        "span",
        {},
        run.classes[k] ?? `class ${k}`,
        h(
          "small",
          {},
          ` logit ${figures(logits[k])}, e`,
          h("sup", {}, figures((logits[k] - highest) / temperature)),
          ` = ${figures(powers[k])}`,
        ),
      ),
      h("span", {}, `${percent(probabilities[k], 2)}${was}`),
    );
  });
  const by =
    temperature === 1
      ? ""
      : ` They are divided by the run's temperature ${figures(temperature)} first, which calibration found.`;
  return [
    h(
      "p",
      {},
      `Each of the ${whole(logits.length)} logits becomes a power of e, and each is divided by the sum of all.${by} ` +
        "(The largest logit is taken off all of them first, which changes nothing.)",
    ),
    h(
      "div",
      { class: "equation" },
      fraction(["e", h("sup", {}, "z")], ["Σ e", h("sup", {}, "z")]),
      " = ",
      fraction(figures(powers[unit]), figures(sum)),
      " = ",
      h("strong", {}, percent(probabilities[unit], 2)),
      ` for ${run.classes[unit] ?? unit}`,
    ),
    h("ol", { class: "bars" }, rows),
  ];
}

// ── where it is ─────────────────────────────────────────────────────────────────────────────────

/** A mark on a map where the unit stands. @param {Step} step */
function spot(step) {
  const mark = h("i", { class: "spot", "aria-hidden": "true" });
  const [row, column] = step.at ?? [0, 0];
  mark.style.left = `${(100 * (column + 0.5)) / step.side}%`;
  mark.style.top = `${(100 * (row + 0.5)) / step.side}%`;
  return mark;
}

/** The map that is read, its window outlined. @param {View} view @param {number} map */
function windowOn({ looked, step }, map) {
  const { name, side } = step.below;
  const picture = name === "picture";
  const src = address(picture ? `${looked.api}/view.jpg` : `${looked.api}/maps/${name}/${map}.png`);
  const block = (step.blocks ?? [])[0];
  const outline = h("i", { class: "outline", "aria-hidden": "true" });
  const [high, wide] = [block.inputs.length, block.inputs[0].length];
  const cut = (/** @type {number} */ from, /** @type {number} */ length) => [
    Math.max(0, from),
    Math.min(side, from + length),
  ];
  const [[top, bottom], [left, right]] = [cut(step.top, high), cut(step.left, wide)];
  Object.assign(outline.style, {
    top: `${(100 * top) / side}%`,
    left: `${(100 * left) / side}%`,
    height: `${(100 * (bottom - top)) / side}%`,
    width: `${(100 * (right - left)) / side}%`,
  });
  const words = picture ? "the picture" : mapName(step, map);
  return h(
    "figure",
    { class: "where" },
    h(
      "div",
      { class: `on-map${picture ? "" : " drawn"}` },
      h("img", { src, alt: `${words}, with the window that is read` }),
      outline,
    ),
    h(
      "figcaption",
      {},
      `${words}, ${side} × ${side}: rows ${top}–${bottom - 1}, columns ${left}–${right - 1}`,
    ),
  );
}

/** The arithmetic of one number, row by row, with numbers changed: the formulas of alexnet/see/follow.py. */

/** @typedef {(number|null)[][]} Window values by row and column; null beyond the edges */
/**
 * A unit; `at`: row and column, null in fully connected rows.
 * @typedef {{ layer: string, unit: number, at: [number, number]|null }} UnitAt
 */
/** @typedef {UnitAt & { effect: number, value: number }} Reader */
/**
 * What a step reads of one map: `place` is the map's place among those that are read, `mean` what the pixels lost.
 * @typedef {object} Block
 * @property {number} place
 * @property {number} map
 * @property {Window} inputs
 * @property {Window} [weights]
 * @property {number} [sum]
 * @property {Window} [mean]
 */
/** @typedef {[place: number, row: number, column: number]} Place */
/** @typedef {{ place: Place, map: number, input: number, weight: number, product: number }} Term */
/**
 * How one row makes one number.
 * @typedef {object} OwnStep
 * @property {string} row the kind of row: Conv, Dense, Pool …
 * @property {string} kind in words
 * @property {string|null} rule relu, max …
 * @property {number} value
 * @property {number} maps of the row
 * @property {number} side
 * @property {number} columns
 * @property {{ name: string, maps: number, side: number }} below
 * @property {number} top
 * @property {number} left
 * @property {Record<string, number>} constants
 * @property {Place} from where the number of the step before stands
 * @property {number} reads how many maps
 * @property {Reader[]} readers
 * @property {[number, number]|null} [winner]
 * @property {number} [size]
 * @property {{ alpha: number, convention: string, span: string }} [scale]
 * @property {Block[]} [blocks]
 * @property {Term[]} [terms]
 * @property {{ positive: { count: number, sum: number }, negative: { count: number, sum: number } }} [rest]
 * @property {number} [zeros]
 * @property {number} [products]
 */
/** @typedef {UnitAt & OwnStep} Step */
/** @typedef {{ what: "input"|"weight", place: Place, number: number }} Edit of row ALL: of the whole window */

/** Stands for all rows and columns of a window. */
export const ALL = -1;

/** @param {Place} a @param {Place} b */
export const same = (a, b) => a.every((one, n) => one === b[n]);

/**
 * The input or the weight at a place of a step; null beyond the edges.
 * @param {Step} step
 * @param {"input"|"weight"} what
 * @param {Place} place
 * @returns {number|null}
 */
export function numberAt(step, what, place) {
  const [k, row, column] = place;
  const block = step.blocks?.find((one) => one.place === k);
  if (block) return (what === "input" ? block.inputs : block.weights)?.[row]?.[column] ?? null;
  return step.terms?.find((one) => same(one.place, place))?.[what] ?? null;
}

/**
 * The edits, and with them the number that comes from the step before.
 * @param {Step} step
 * @param {Edit[]} edits
 * @param {number} [incoming]
 * @returns {Edit[]}
 */
export function withIncoming(step, edits, incoming) {
  const own = edits.some((edit) => edit.what === "input" && same(edit.place, step.from));
  return incoming === undefined || own
    ? edits
    : [...edits, { what: "input", place: step.from, number: incoming }];
}

/**
 * Edits of whole windows as those of their places; of several of one place the last.
 * @param {Step} step
 * @param {Edit[]} edits
 * @returns {Edit[]}
 */
export function expanded(step, edits) {
  /** @type {Map<string, Edit>} */
  const found = new Map();
  for (const { what, place, number } of edits) {
    const [k, row] = place;
    const lines = step.blocks?.find((one) => one.place === k)?.weights ?? [];
    const places = row === ALL ? lines.flatMap((line, r) => line.map((_, c) => [k, r, c])) : [place];
    for (const one of places) {
      found.set(`${what}.${one}`, { what, place: /** @type {Place} */ (one), number });
    }
  }
  return [...found.values()];
}

/** @param {Step} step @param {Edit[]} edits @param {"input"|"weight"} what @param {Place} place */
export function edited(step, edits, what, place) {
  const found = edits.find((edit) => edit.what === what && same(edit.place, place));
  return found ? found.number : numberAt(step, what, place);
}

/** A step's number with some of what it reads changed. @param {Step} step @param {Edit[]} edits */
export function recomputed(step, edits) {
  if (!edits.length) return step.value;
  const { row, constants: c } = step;
  if (row === "Conv" || row === "Local" || row === "Dense") return weighted(step, edits);
  const own = edited(step, edits, "input", step.from) ?? 0;
  const all = inputsOf(step, edits);
  switch (row) {
    case "Activation":
      return { relu: Math.max(0, own), tanh: Math.tanh(own) }[step.rule ?? ""] ?? 1 / (1 + Math.exp(-own));
    case "Norm":
    case "SpatialNorm":
      return own / (c.k + c.alpha * squares(all)) ** c.beta;
    case "Pool":
      return step.rule === "max"
        ? Math.max(...all)
        : all.reduce((sum, one) => sum + one, 0) / Math.max(1, all.length);
    case "BatchNorm":
      return ((own - c.mean) / Math.sqrt(c.variance + c.epsilon)) * c.scale + c.shift;
    default:
      return own * c.factor;
  }
}

/** @param {number[]} values */
export const squares = (values) => values.reduce((sum, one) => sum + one * one, 0);

/** All inputs of a row without weights, those beyond the edges left out. @param {Step} step @param {Edit[]} edits */
export function inputsOf(step, edits) {
  return (step.blocks ?? []).flatMap(({ place, inputs }) =>
    inputs.flatMap((line, row) =>
      line.flatMap((value, column) =>
        value === null ? [] : [edited(step, edits, "input", [place, row, column]) ?? 0],
      ),
    ),
  );
}

/** What the products that change make of the sum. @param {Step} step @param {Edit[]} edits */
function weighted(step, edits) {
  /** @type {Map<string, Place>} */
  const places = new Map(edits.map(({ place }) => [place.join(), place]));
  let value = step.value;
  for (const place of places.values()) {
    value += productAt(step, edits, place) - productAt(step, [], place);
  }
  return value;
}

/** @param {Step} step @param {Edit[]} edits @param {Place} place */
export function productAt(step, edits, place) {
  return (edited(step, edits, "input", place) ?? 0) * (edited(step, edits, "weight", place) ?? 0);
}

/**
 * The numbers of a path, from step `n` on with its edits: this number alone changes, everything else stays.
 * @param {Step[]} steps
 * @param {number} n
 * @param {Edit[]} edits
 */
export function alongPath(steps, n, edits) {
  /** @type {number[]} */
  const values = [];
  steps.forEach((step, at) => {
    if (at < n || !edits.length) values.push(step.value);
    else if (at === n) values.push(recomputed(step, edits));
    else values.push(recomputed(step, withIncoming(step, [], values[at - 1])));
  });
  return values;
}

/** @param {number[]} logits @param {number} temperature */
export function softmax(logits, temperature) {
  const highest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp((logit - highest) / temperature));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/**
 * A trained network in JavaScript: every row's output of one picture, as the Python network computes it.
 *
 * Maps are a Float32Array, map after map, row after row.
 */

import { LANES, products } from "./multiply.js";

/**
 * @typedef {object} Row of the network's table, with what `trace` knows of it
 * @property {string} row Conv, Local, Dense, Pool, Norm, SpatialNorm, BatchNorm, Activation or Dropout
 * @property {string} name
 * @property {number[]} entering maps and side
 * @property {number[]} leaving
 * @property {number} [kernel]
 * @property {number} [stride]
 * @property {number} [before] zeros at the near edges; the far ones follow from the sides
 * @property {number[][]} [reads] the columns below that each column reads
 * @property {number} [below] columns below
 * @property {string} [kind] of a pool or a non-linearity
 * @property {number} [k]
 * @property {number} [alpha] the factor on the plain sum of squares
 * @property {number} [beta]
 * @property {number} [size]
 * @property {number} [blocks] of maps, across which no window reaches
 * @property {boolean} [plain] without WebAssembly
 * @property {number} [factor] of dropout when the network is used
 *
 * @typedef {object} Model
 * @property {Row[]} rows
 * @property {number} input side of the view that the network takes
 * @property {number} side of the record that it is cut from
 * @property {string} resample
 * @property {boolean} exif
 * @property {number} temperature
 * @property {number} columns
 * @property {string[]} classes
 * @property {{ name: string, length: number, type: "half"|"float" }[]} tensors in the order of their values
 *
 * @typedef {Record<string, Float32Array>} Tensors
 * @typedef {(x: Float32Array) => Float32Array} Step
 */

const EMPTY = 1e-24; // a denominator below this counts as zero, as in alexnet.kernels

export class Network {
  /** @param {Model} model @param {ArrayBuffer} bytes the values of its tensors */
  constructor(model, bytes) {
    const tensors = unpacked(model.tensors, bytes);
    this.model = model;
    this.mean = tensors.mean;
    /** @type {[string, Step][]} */
    this.steps = model.rows.map((row) => [row.name, STEPS[row.row](row, tensors)]);
  }

  /**
   * Every row's output.
   * @param {Float32Array} input RGB minus the mean, colour after colour
   * @returns {Map<string, Float32Array>}
   */
  activations(input) {
    const found = new Map();
    let x = input;
    for (const [name, step] of this.steps) {
      x = step(x);
      found.set(name, x);
    }
    return found;
  }

  /** The softmax of the last row at the network's temperature. @param {Float32Array} logits */
  probabilities(logits) {
    const most = Math.max(...logits);
    const powers = Array.from(logits, (value) => Math.exp((value - most) / this.model.temperature));
    const total = powers.reduce((sum, power) => sum + power, 0);
    return powers.map((power) => power / total);
  }

  /**
   * A view of a record as the network takes it, minus the mean.
   * @param {Uint8Array} record RGB, pixel after pixel
   * @param {{ top?: number, left?: number, mirrored?: boolean }} [view] the centre by default
   */
  view(record, { top, left, mirrored = false } = {}) {
    const { side, input } = this.model;
    const middle = (side - input) >> 1;
    const [first, start] = [top ?? middle, left ?? middle];
    const aligned = this.mean.length === 3 * side * side; // else it is that of the centre
    const seen = new Float32Array(3 * input * input);
    for (let colour = 0, n = 0; colour < 3; colour++) {
      for (let y = 0; y < input; y++) {
        for (let x = 0; x < input; x++, n++) {
          const from = (first + y) * side + start + (mirrored ? input - 1 - x : x);
          const mean = aligned
            ? this.mean[colour * side * side + from]
            : this.mean[colour * input * input + y * input + x];
          seen[n] = record[from * 3 + colour] - mean;
        }
      }
    }
    return seen;
  }
}

/** @param {Model["tensors"]} tensors @param {ArrayBuffer} bytes @returns {Tensors} */
function unpacked(tensors, bytes) {
  /** @type {Tensors} */
  const found = {};
  const table = tensors.some(({ type }) => type === "half") && halves();
  let at = 0;
  for (const { name, length, type } of tensors) {
    const wide = type === "half" ? 2 : 4;
    const own = bytes.slice(at, at + wide * length); // copied, so that every tensor is aligned
    if (table) found[name] = type === "half" ? table(new Uint16Array(own)) : new Float32Array(own);
    else found[name] = new Float32Array(own);
    at += wide * length;
  }
  return found;
}

/** From half precision to single: a table of all 65,536 values. */
function halves() {
  const all = new Float32Array(1 << 16);
  for (let bits = 0; bits < all.length; bits++) {
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    const size = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
    all[bits] = bits & 0x8000 ? -size : size;
  }
  return (/** @type {Uint16Array} */ values) => Float32Array.from(values, (bits) => all[bits]);
}

/** @type {Record<string, (row: any, tensors: Tensors) => Step>} */
const STEPS = {
  Conv: convolution,
  Local: locallyConnected,
  Dense: dense,
  Pool: ({ kind, ...row }) => (kind === "max" ? maxPool(row) : averagePool(row)),
  Norm: responseNorm,
  SpatialNorm: spatialNorm,
  BatchNorm: batchNorm,
  Activation: ({ kind }) => UNITS[kind],
  Dropout:
    ({ factor }) =>
    (x) =>
      factor === 1 ? x : x.map((value) => value * factor),
};

/** @type {Record<string, Step>} */
const UNITS = {
  relu: (x) => {
    const y = new Float32Array(x.length);
    for (let n = 0; n < x.length; n++) y[n] = x[n] > 0 ? x[n] : 0;
    return y;
  },
  tanh: (x) => x.map(Math.tanh),
  sigmoid: (x) => x.map((value) => 1 / (1 + Math.exp(-value))),
};

// ── layers with weights ─────────────────────────────────────────────────────────────────────────

/** @param {any} row @param {Tensors} tensors @returns {Step} */
function convolution(row, tensors) {
  const [mapsBelow, sideBelow] = row.entering;
  const [maps, side] = row.leaving;
  const { kernel, reads, below } = row;
  const own = maps / reads.length; // maps of a column
  const depth = (mapsBelow / below) * reads[0].length * kernel * kernel;
  const [weight, bias] = [tensors[`${row.name}.weight`], tensors[`${row.name}.bias`]];
  const wide = side * side;
  const columnSize = (mapsBelow / below) * sideBelow * sideBelow;
  const windows = windowsOf(row, depth / (kernel * kernel));
  const columns = reads.map((/** @type {number[]} */ _, /** @type {number} */ column) => ({
    matrix: weight.subarray(column * own * depth, (column + 1) * own * depth),
    addends: bias.subarray(column * own, (column + 1) * own),
  }));
  const { patches, product, wideUp } = products(columns, own, wide, depth, row.plain);
  return (x) => {
    const y = new Float32Array(maps * wide);
    for (let column = 0; column < reads.length; column++) {
      const same = column > 0 && String(reads[column]) === String(reads[column - 1]);
      if (!same) {
        windows.pad(columnsOf(x, reads[column], columnSize));
        gather(patches, windows);
      }
      const found = product(column);
      for (let map = 0; map < own; map++)
        y.set(found.subarray(map * wideUp, map * wideUp + wide), (column * own + map) * wide);
    }
    return y;
  };
}

/**
 * Those columns of the maps below that a column reads.
 * @param {Float32Array} x
 * @param {number[]} read
 * @param {number} size of a column
 */
function columnsOf(x, read, size) {
  if (read.length * size === x.length) return x;
  if (read.length === 1) return x.subarray(read[0] * size, (read[0] + 1) * size);
  const found = new Float32Array(read.length * size);
  read.forEach((column, n) => found.set(x.subarray(column * size, (column + 1) * size), n * size));
  return found;
}

/**
 * How to read the windows of a row: the map padded with the zeros that windows reach, where each window begins in it,
 * and where each of its values lies from there.
 * @param {any} row
 * @param {number} maps
 */
function windowsOf({ entering: [, sideBelow], leaving: [, side], kernel, stride, before }, maps) {
  const wide = (side - 1) * stride + kernel; // less than the map, where its far edges are never read
  const [size, height] = [wide * wide, Math.min(sideBelow, wide - before)];
  const padded = new Float32Array(maps * size);
  const begins = Int32Array.from({ length: side * side }, (_, position) => {
    return Math.floor(position / side) * stride * wide + (position % side) * stride;
  });
  const offsets = Int32Array.from({ length: maps * kernel * kernel }, (_, value) => {
    const place = value % (kernel * kernel);
    return (
      Math.floor(value / (kernel * kernel)) * size + Math.floor(place / kernel) * wide + (place % kernel)
    );
  });
  /** @param {Float32Array} x */
  const pad = (x) => {
    for (let map = 0; map < maps; map++) {
      for (let y = 0; y < height; y++) {
        const from = (map * sideBelow + y) * sideBelow;
        padded.set(x.subarray(from, from + height), map * size + (y + before) * wide + before);
      }
    }
  };
  return { padded, begins, offsets, pad };
}

/**
 * What a window reads at every position: panels of LANES positions, and in a panel value after value.
 * @param {Float32Array} patches
 * @param {ReturnType<typeof windowsOf>} windows
 */
function gather(patches, { padded, begins, offsets }) {
  const last = begins.length - 1;
  for (let position = 0, n = 0; position <= last; position += LANES) {
    const b0 = begins[position];
    const b1 = begins[Math.min(last, position + 1)]; // the last panel repeats a position
    const b2 = begins[Math.min(last, position + 2)];
    const b3 = begins[Math.min(last, position + 3)];
    for (let value = 0; value < offsets.length; value++, n += LANES) {
      const offset = offsets[value];
      patches[n] = padded[b0 + offset];
      patches[n + 1] = padded[b1 + offset];
      patches[n + 2] = padded[b2 + offset];
      patches[n + 3] = padded[b3 + offset];
    }
    n += LANES * (offsets.length & 1); // a window's values are an even number, the last of them 0
  }
}

/** @param {any} row @param {Tensors} tensors @returns {Step} */
function locallyConnected(row, tensors) {
  const [maps, side] = row.leaving;
  const [weight, bias] = [tensors[`${row.name}.weight`], tensors[`${row.name}.bias`]];
  const windows = windowsOf(row, row.entering[0]);
  const { padded, begins, offsets } = windows;
  const depth = offsets.length;
  return (x) => {
    const y = new Float32Array(maps * side * side);
    windows.pad(x);
    for (let position = 0, unit = 0; position < side * side; position++) {
      for (let map = 0; map < maps; map++, unit++) {
        let sum = bias[unit];
        for (let n = 0; n < depth; n++)
          sum += weight[unit * depth + n] * padded[begins[position] + offsets[n]];
        y[map * side * side + position] = sum;
      }
    }
    return y;
  };
}

/** @param {any} row @param {Tensors} tensors @returns {Step} */
function dense(row, tensors) {
  const units = row.leaving[0];
  const { reads, below } = row;
  const [weight, bias] = [tensors[`${row.name}.weight`], tensors[`${row.name}.bias`]];
  const own = units / reads.length;
  const read = weight.length / units;
  return (x) => {
    const y = new Float32Array(units);
    const whole = read === x.length;
    for (let unit = 0; unit < units; unit++) {
      const seen = whole ? x : columnsOf(x, reads[Math.floor(unit / own)], x.length / below);
      const start = unit * read;
      // prettier-ignore
      let s0 = bias[unit], s1 = 0, s2 = 0, s3 = 0, n = 0;
      for (; n + 3 < read; n += 4) {
        s0 += weight[start + n] * seen[n];
        s1 += weight[start + n + 1] * seen[n + 1];
        s2 += weight[start + n + 2] * seen[n + 2];
        s3 += weight[start + n + 3] * seen[n + 3];
      }
      for (; n < read; n++) s0 += weight[start + n] * seen[n];
      y[unit] = s0 + s1 + s2 + s3;
    }
    return y;
  };
}

// ── pooling and normalisation ───────────────────────────────────────────────────────────────────

/** Windows may overhang the far edges; what lies beyond is not read. @param {any} row @returns {Step} */
function maxPool(row) {
  return pooled(row, -Infinity, Math.max, (value) => value);
}

/** @param {any} row @returns {Step} */
function averagePool(row) {
  return pooled(
    row,
    0,
    (sum, value) => sum + value,
    (sum, count) => sum / count,
  );
}

/**
 * @param {any} row
 * @param {number} start
 * @param {(found: number, value: number) => number} add
 * @param {(found: number, count: number) => number} end
 * @returns {Step}
 */
function pooled({ entering: [maps, sideBelow], leaving: [, side], kernel, stride }, start, add, end) {
  return (x) => {
    const y = new Float32Array(maps * side * side);
    for (let map = 0, n = 0; map < maps; map++) {
      const first = map * sideBelow * sideBelow;
      for (let row = 0; row < side; row++) {
        const bottom = Math.min(sideBelow, row * stride + kernel);
        for (let column = 0; column < side; column++, n++) {
          const right = Math.min(sideBelow, column * stride + kernel);
          let found = start;
          for (let down = row * stride; down < bottom; down++) {
            for (let at = column * stride; at < right; at++)
              found = add(found, x[first + down * sideBelow + at]);
          }
          y[n] = end(found, (bottom - row * stride) * (right - column * stride));
        }
      }
    }
    return y;
  };
}

/** a · s^−beta, 0 where s is empty. @param {number} a @param {number} s @param {number} beta */
function divided(a, s, beta) {
  if (s < EMPTY) return 0;
  if (beta === 0.75) {
    const root = Math.sqrt(s);
    return a / (root * Math.sqrt(root));
  }
  return a * s ** -beta;
}

/** [A] §3.3, across the maps of a block. @param {any} row @returns {Step} */
function responseNorm({ entering: [maps, side], k, alpha, beta, size, blocks }) {
  const wide = side * side;
  const own = maps / blocks;
  const [below, above] = [Math.floor(size / 2), Math.floor((size - 1) / 2)];
  return (x) => {
    const y = new Float32Array(x.length);
    const sums = new Float64Array(wide);
    for (let map = 0; map < maps; map++) {
      const block = map - (map % own);
      const last = Math.min(block + own - 1, map + above);
      sums.fill(0);
      for (let other = Math.max(block, map - below); other <= last; other++) {
        for (let n = 0, at = other * wide; n < wide; n++, at++) sums[n] += x[at] * x[at];
      }
      for (let n = 0, at = map * wide; n < wide; n++, at++) y[at] = divided(x[at], k + alpha * sums[n], beta);
    }
    return y;
  };
}

/** Over a window inside one map. @param {any} row @returns {Step} */
function spatialNorm({ entering: [maps, side], k, alpha, beta, size }) {
  const [before, after] = [Math.floor(size / 2), Math.floor((size - 1) / 2)];
  return (x) => {
    const y = new Float32Array(x.length);
    for (let map = 0, n = 0; map < maps; map++) {
      const first = map * side * side;
      for (let row = 0; row < side; row++) {
        for (let column = 0; column < side; column++, n++) {
          let sum = 0;
          for (let down = Math.max(0, row - before); down <= Math.min(side - 1, row + after); down++) {
            for (let at = Math.max(0, column - before); at <= Math.min(side - 1, column + after); at++) {
              sum += x[first + down * side + at] ** 2;
            }
          }
          y[n] = divided(x[n], k + alpha * sum, beta);
        }
      }
    }
    return y;
  };
}

/**
 * With the running statistics, joined into a factor and an addend.
 * @param {any} row
 * @param {Tensors} tensors
 * @returns {Step}
 */
function batchNorm({ name, entering: [, side] }, tensors) {
  const [scale, shift] = [tensors[`${name}.scale`], tensors[`${name}.shift`]];
  const wide = side * side;
  return (x) => x.map((value, n) => value * scale[Math.floor(n / wide)] + shift[Math.floor(n / wide)]);
}

/**
 * From a picture's pixels to a record: shorter side resized, centre square kept, by the integer sums of Pillow, so that
 * the same pixels come out as in alexnet.images.
 */

const FRACTION = 1 << 22;
const REACH = 3; // of Lanczos, the widest filter

const sinc = (/** @type {number} */ x) => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));

/** @type {Record<string, { support: number, weight: (x: number) => number }>} */
const FILTERS = {
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: { support: 2, weight: (x) => cubic(Math.abs(x)) },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

/** @param {number} x */
function cubic(x) {
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
}

/**
 * @typedef {{ data: Uint8Array|Uint8ClampedArray, width: number, height: number }} Pixels RGBA
 */

/**
 * The record of a picture: RGB, size × size × 3. What is transparent lies on white.
 * @param {Pixels} pixels
 * @param {number} size
 * @param {string} resample
 * @returns {Uint8Array}
 */
export function recordOf({ data, width, height }, size, resample) {
  const rgb = onWhite(data);
  if (width === size && height === size) return rgb;
  const shorter = Math.min(width, height);
  const across = weights(width, shorter, size, FILTERS[resample]);
  const down = weights(height, shorter, size, FILTERS[resample]);
  const [first, last] = [down.first, down.last];
  const narrow = new Uint8Array((last - first) * size * 3);
  for (let row = first; row < last; row++) {
    line(narrow, (row - first) * size * 3, 3, rgb, row * width * 3, 3, across, size);
  }
  const record = new Uint8Array(size * size * 3);
  for (let column = 0; column < size; column++) {
    line(record, column * 3, size * 3, narrow, column * 3 - first * size * 3, size * 3, down, size);
  }
  return record;
}

/** @param {Uint8Array|Uint8ClampedArray} rgba */
function onWhite(rgba) {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    const opaque = rgba[from + 3];
    for (let colour = 0; colour < 3; colour++) {
      const value = rgba[from + colour];
      rgb[to + colour] = opaque === 255 ? value : Math.round((value * opaque + 255 * (255 - opaque)) / 255);
    }
  }
  return rgb;
}

/**
 * @typedef {{ first: number, last: number, starts: Int32Array, counts: Int32Array, values: Int32Array, most: number }}
 *   Weights
 */

/**
 * Where each of `size` places looks along a side of `length` pixels, and how much each pixel counts.
 * @param {number} length
 * @param {number} shorter
 * @param {number} size
 * @param {{ support: number, weight: (x: number) => number }} filter
 * @returns {Weights}
 */
function weights(length, shorter, size, filter) {
  const resized = Math.floor((2 * length * size + shorter) / (2 * shorter));
  const start = Math.floor((resized - size) / 2);
  const [begin, end] = [(start * length) / resized, ((start + size) * length) / resized];
  const reach = REACH * Math.max(1, Math.ceil(length / resized)) + 1;
  const first = Math.max(0, Math.floor(begin) - reach);
  const last = Math.min(length, Math.floor(end) + 1 + reach);
  // Pillow takes the edges in single precision.
  const [from, to] = [Math.fround(begin - first), Math.fround(Math.min(end - first, last - first))];
  const scale = Math.fround(to - from) / size;
  const widened = Math.max(scale, 1);
  const support = filter.support * widened;
  const most = Math.ceil(support) * 2 + 1;
  const found = {
    starts: new Int32Array(size),
    counts: new Int32Array(size),
    values: new Int32Array(size * most),
  };
  for (let place = 0; place < size; place++) {
    const centre = from + (place + 0.5) * scale;
    const low = Math.max(0, Math.trunc(centre - support + 0.5));
    const count = Math.min(Math.trunc(centre + support + 0.5), last - first) - low;
    const exact = Array.from({ length: count }, (_, tap) =>
      filter.weight((tap + low - centre + 0.5) * (1 / widened)),
    );
    const sum = exact.reduce((all, one) => all + one, 0);
    exact.forEach((one, tap) => {
      const share = (sum ? one / sum : one) * FRACTION;
      found.values[place * most + tap] = Math.trunc(share < 0 ? share - 0.5 : share + 0.5);
    });
    found.starts[place] = first + low;
    found.counts[place] = count;
  }
  return { first, last, most, ...found };
}

/**
 * One line of pixels resized, in the three colours.
 * @param {Uint8Array} to
 * @param {number} atTo
 * @param {number} stepTo
 * @param {Uint8Array} from
 * @param {number} atFrom
 * @param {number} stepFrom
 * @param {Weights} weights
 * @param {number} size
 */
function line(to, atTo, stepTo, from, atFrom, stepFrom, { starts, counts, values, most }, size) {
  for (let place = 0; place < size; place++, atTo += stepTo) {
    // prettier-ignore
    let red = FRACTION / 2, green = FRACTION / 2, blue = FRACTION / 2;
    let at = atFrom + starts[place] * stepFrom;
    for (let tap = 0, n = place * most; tap < counts[place]; tap++, n++, at += stepFrom) {
      red += from[at] * values[n];
      green += from[at + 1] * values[n];
      blue += from[at + 2] * values[n];
    }
    to[atTo] = clamped(red);
    to[atTo + 1] = clamped(green);
    to[atTo + 2] = clamped(blue);
  }
}

/** @param {number} sum in fixed point */
const clamped = (sum) => Math.min(255, Math.max(0, Math.floor(sum / FRACTION)));

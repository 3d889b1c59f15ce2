/** What the API responds with about a picture, made of what the network in the browser has seen. */

/**
 * @typedef {import("./engine.js").Model} Model
 * @typedef {import("./engine.js").Row} Row
 * @typedef {import("./worker.js").Seen} Seen
 */

const STRONGEST = 9;
const SHOWN = 5; // classes
const MAP_PIXELS = 28; // least side of a drawn map
const LARGEST_SIDE = 64; // of a map at a glance

/** Places of the values, the largest first; of equals the first. @param {ArrayLike<number>} values */
function descending(values) {
  return Array.from(values, (_, place) => place).sort((a, b) => values[b] - values[a] || a - b);
}

/** The largest value of each map. @param {Float32Array} values @param {number} maps */
function peaksOf(values, maps) {
  const wide = values.length / maps;
  return Array.from({ length: maps }, (_, map) => {
    let most = -Infinity;
    for (let n = map * wide; n < (map + 1) * wide; n++) if (values[n] > most) most = values[n];
    return most;
  });
}

/** The most probable classes. @param {Model} model @param {number} views @param {number[]} probabilities */
export function predicted({ classes }, views, probabilities) {
  const order = descending(probabilities);
  const labels = order.slice(0, SHOWN).map((k) => ({ class: classes[k], probability: probabilities[k] }));
  return { views, labels };
}

/** The units of a row that are most active. @param {Row} row @param {Float32Array} values @param {Model} model */
export function layerOf({ name, leaving: [maps, side] }, values, model) {
  const peaks = peaksOf(values, maps);
  const order = descending(peaks);
  return {
    name,
    maps,
    side,
    columns: model.columns,
    per_row: mapsPerRow(maps),
    active: peaks.filter((value) => value > 0).length / maps,
    strongest: order.slice(0, STRONGEST).map((unit) => ({ unit, value: peaks[unit] })),
  };
}

// ── at a glance ─────────────────────────────────────────────────────────────────────────────────

/**
 * The most probable classes, and of every row (or those named) the strongest maps, as alexnet.serve.pages.glance.
 * @param {Model} model
 * @param {Seen} seen
 * @param {number} faces
 * @param {string[]} [named]
 */
export function glanceOf(model, { maps, probabilities }, faces, named) {
  const last = model.rows[model.rows.length - 1].name;
  const rows = model.rows.filter(({ name }) => !named || name === last || named.includes(name));
  const { labels } = predicted(model, 1, probabilities);
  return {
    labels,
    rows: Object.fromEntries(rows.map((row) => [row.name, rowAt(row, maps[row.name], model, faces)])),
  };
}

/** @param {Row} row @param {Float32Array} values @param {Model} model @param {number} faces */
function rowAt({ leaving: [maps, side] }, values, { columns }, faces) {
  let [low, high] = [0, 0];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  const peaks = peaksOf(values, maps);
  const own = Math.ceil(maps / columns);
  const strongest = Array.from({ length: Math.ceil(maps / own) }, (_, column) => {
    const order = descending(peaks.slice(column * own, (column + 1) * own)).slice(0, faces);
    return order.map((place) => {
      const unit = column * own + place;
      const map = values.subarray(unit * side * side, (unit + 1) * side * side);
      return { unit, value: peaks[unit], ...(side > 1 && small(map, side, low, high)) };
    });
  });
  const active = peaks.filter((value) => value > 0).length / maps;
  return { low, high, active, strongest, ...(side === 1 && { values: encoded(values, low, high) }) };
}

/** @param {Float32Array} map @param {number} side @param {number} low @param {number} high */
function small(map, side, low, high) {
  while (side > LARGEST_SIDE) {
    const half = Math.ceil(side / 2);
    const pooled = new Float32Array(half * half).fill(-Infinity);
    for (let n = 0; n < side * side; n++) {
      const place = (Math.floor(n / side) >> 1) * half + (n % side >> 1);
      if (map[n] > pooled[place]) pooled[place] = map[n];
    }
    [map, side] = [pooled, half];
  }
  return { side, values: encoded(map, low, high) };
}

/**
 * Values as bytes in base64: 0 is `low`, 255 `high`.
 * @param {Float32Array} values
 * @param {number} low
 * @param {number} high
 */
function encoded(values, low, high) {
  const factor = 255 / (high - low || 1);
  let bytes = "";
  for (const value of values) bytes += String.fromCharCode(Math.round((value - low) * factor));
  return btoa(bytes);
}

// ── drawing ─────────────────────────────────────────────────────────────────────────────────────

/** As alexnet.see.display.maps_per_row. @param {number} count */
function mapsPerRow(count) {
  if (count <= 512) return count <= 128 ? 16 : 32;
  return 1 << Math.ceil(Math.log2(Math.sqrt(2 * count)));
}

/**
 * An image of a picture: what the network sees of it, or maps. Undefined for anything else.
 * @param {Model} model
 * @param {Seen} seen
 * @param {string} what
 */
export function drawn({ rows, side, input }, seen, what) {
  if (what === "record.jpg") return rgb(seen.record, side, 0, side);
  if (what === "view.jpg") return rgb(seen.record, side, (side - input) >> 1, input);
  const [, name, unit] = /^maps\/([^/]+?)(?:\/(\d+))?\.png$/.exec(what) ?? [];
  const row = rows.find((one) => one.name === name);
  if (!row) return undefined;
  const [maps, wide] = row.leaving;
  const values = seen.maps[name];
  if (unit === undefined) return mosaic(values, maps, wide);
  return mosaic(values.subarray(Number(unit) * wide * wide, (Number(unit) + 1) * wide * wide), 1, wide);
}

/** A square of a record. @param {Uint8Array} record @param {number} side @param {number} edge @param {number} size */
function rgb(record, side, edge, size) {
  return canvas(size, size, (data) => {
    for (let y = 0, n = 0; y < size; y++) {
      for (let x = 0; x < size; x++, n += 4) {
        const from = ((edge + y) * side + edge + x) * 3;
        data.set([record[from], record[from + 1], record[from + 2], 255], n);
      }
    }
  });
}

/** As alexnet.see.display.maps_mosaic. @param {Float32Array} values @param {number} count @param {number} side */
function mosaic(values, count, side) {
  const low = values.reduce((a, b) => Math.min(a, b), 0);
  const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  const [gap, factor] = side === 1 ? [1, 8] : [2, Math.max(1, Math.ceil(MAP_PIXELS / side))];
  const [large, perRow] = [side * factor, Math.min(mapsPerRow(count), count)];
  const [width, height] = [perRow * (large + gap) - gap, Math.ceil(count / perRow) * (large + gap) - gap];
  return canvas(width, height, (data) => {
    const ground = new Uint32Array(data.buffer).fill(0xff808080);
    for (let map = 0; map < count; map++) {
      const [top, left] = [Math.floor(map / perRow) * (large + gap), (map % perRow) * (large + gap)];
      for (let y = 0; y < large; y++) {
        const line = (map * side + Math.floor(y / factor)) * side;
        for (let x = 0; x < large; x++) {
          const level = Math.round(((values[line + Math.floor(x / factor)] - low) / (high - low || 1)) * 255);
          ground[(top + y) * width + left + x] = 0xff000000 | (level << 16) | (level << 8) | level;
        }
      }
    }
  });
}

/** @param {number} width @param {number} height @param {(data: Uint8ClampedArray) => void} fill */
function canvas(width, height, fill) {
  const element = document.createElement("canvas");
  Object.assign(element, { width, height });
  const pixels = new ImageData(width, height);
  fill(pixels.data);
  element.getContext("2d")?.putImageData(pixels, 0, 0);
  return element.toDataURL("image/png");
}

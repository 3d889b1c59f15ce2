/** Pictures that somebody brings to a static copy: files, sketches, the camera; the network here looks at them. */

import { Refused } from "./refused.js";
import { workerFrom } from "./worker_from.js";

const KEPT = 32;
const STRONGEST = 9;
const SHOWN = 5; // classes
const MAP_PIXELS = 28; // least side of a drawn map
const GONE = "This picture is no longer in memory: choose it again.";

/**
 * @typedef {object} Picture
 * @property {number} width
 * @property {number} height
 * @property {import("./worker.js").Seen} seen
 * @property {Map<string, string>} images drawn so far
 */

export class Brought {
  /**
   * @param {import("./api.js").Site} site
   * @param {(file: string) => Promise<void>} script
   */
  constructor(site, script) {
    this.site = site;
    this.script = script;
    /** @type {Map<string, Picture>} */
    this.pictures = new Map();
    this.count = 0;
    /** @type {ReturnType<Brought["load"]>|null} */
    this.loading = null;
    /** @type {import("./engine.js").Model|null} */
    this.model = null;
  }

  /** The network, loaded when it is first needed. */
  network() {
    this.loading ??= this.load();
    return this.loading;
  }

  /** @returns {Promise<{ model: import("./engine.js").Model, ask: (what: string, question: any) => Promise<any> }>} */
  async load() {
    const { network, why, command } = this.site;
    if (!network) throw new Refused(`${why}. For pictures of your own, start the explorer: ${command}`);
    await this.script(network.file);
    const { model, values } = /** @type {any} */ (window).alexnetNetwork;
    delete (/** @type {any} */ (window).alexnetNetwork);
    const bytes = Uint8Array.from(atob(values), (letter) => letter.charCodeAt(0)).buffer;
    const ask = workerFrom();
    await ask("load", { model, bytes });
    this.model = model;
    return { model, ask };
  }

  // ── what the API responds with ────────────────────────────────────────────────────────────────

  /** @param {string} path @param {BodyInit|null} body */
  async post(path, body) {
    if (path !== "api/pictures" || !(body instanceof Blob)) return undefined;
    const { model, ask } = await this.network();
    const pixels = await pixelsOf(body, model.exif);
    const { width, height } = pixels;
    const seen = await ask("look", { pixels });
    const id = `brought-${++this.count}`;
    this.pictures.set(id, { width, height, seen, images: new Map() });
    for (const old of this.pictures.keys()) if (this.pictures.size > KEPT) this.pictures.delete(old);
    return this.about(id);
  }

  /** @param {string} id */
  about(id) {
    const picture = this.pictures.get(id);
    if (!picture) throw new Refused(GONE);
    return { id, notes: [], width: picture.width, height: picture.height, class: null };
  }

  /** @param {string} key @returns {Promise<any>} */
  async get(key) {
    const id = /^api\/pictures\/(brought-\d+)$/.exec(key)?.[1];
    return id && this.about(id);
  }

  /** @param {string} key @param {Listeners} listeners @returns {Promise<any>} */
  async compute(key, listeners) {
    const [, id, what] = /^api\/sides\/own\/pictures\/(brought-\d+)\/(\w+)$/.exec(key) ?? [];
    if (!id) return undefined;
    const picture = this.pictures.get(id);
    if (!picture) throw new Refused(GONE);
    const { model, ask } = await this.network();
    if (what === "layers") return model.rows.map((row) => layerOf(row, picture.seen.maps[row.name], model));
    if (what !== "prediction") return undefined;
    listeners.part?.(predicted(model, 1, picture.seen.probabilities));
    return predicted(model, 10, await ask("tenViews", { record: picture.seen.record }));
  }

  /** An image of a picture that was brought, as a data: address; undefined for anything else. @param {string} key */
  image(key) {
    const [, id, what] = /^api\/(?:sides\/own\/)?pictures\/(brought-\d+)\/(.+)$/.exec(key) ?? [];
    const picture = this.pictures.get(id);
    if (!picture || !this.model) return undefined;
    const known = picture.images.get(what) ?? drawn(this.model, picture, what);
    if (known) picture.images.set(what, known);
    return known;
  }
}

/** @param {import("./engine.js").Model} model @param {number} views @param {number[]} probabilities */
function predicted({ classes }, views, probabilities) {
  const order = probabilities.map((_, k) => k).sort((a, b) => probabilities[b] - probabilities[a] || a - b);
  const labels = order.slice(0, SHOWN).map((k) => ({ class: classes[k], probability: probabilities[k] }));
  return { views, labels };
}

/** @param {import("./engine.js").Row} row @param {Float32Array} values @param {import("./engine.js").Model} model */
function layerOf({ name, leaving: [maps, side] }, values, model) {
  const wide = side * side;
  const peaks = Array.from({ length: maps }, (_, map) => {
    let most = -Infinity;
    for (let n = map * wide; n < (map + 1) * wide; n++) if (values[n] > most) most = values[n];
    return most;
  });
  const order = peaks.map((_, unit) => unit).sort((a, b) => peaks[b] - peaks[a] || a - b);
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

// ── drawing ─────────────────────────────────────────────────────────────────────────────────────

/** As alexnet.see.display.maps_per_row. @param {number} count */
function mapsPerRow(count) {
  if (count <= 512) return count <= 128 ? 16 : 32;
  return 1 << Math.ceil(Math.log2(Math.sqrt(2 * count)));
}

/** @param {import("./engine.js").Model} model @param {Picture} picture @param {string} what */
function drawn({ rows, side, input }, { seen }, what) {
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

/**
 * A picture file's pixels, its orientation applied only if the run's pictures were turned so.
 * @param {Blob} file
 * @param {boolean} exif
 * @returns {Promise<import("./resample.js").Pixels>}
 */
async function pixelsOf(file, exif) {
  const how = {
    premultiplyAlpha: "none",
    colorSpaceConversion: "none",
    imageOrientation: exif ? "from-image" : "none",
  };
  const bitmap = await createImageBitmap(file, /** @type {any} */ (how)).catch(() => {
    throw new Refused("This browser can't read the picture: choose a JPEG, PNG or WebP file.");
  });
  const { width, height } = bitmap;
  const element = Object.assign(document.createElement("canvas"), { width, height });
  const context = element.getContext("2d", { willReadFrequently: true });
  context?.drawImage(bitmap, 0, 0);
  bitmap.close();
  const data = context?.getImageData(0, 0, width, height).data;
  if (!data) throw new Refused("The picture is too large for this browser: choose a smaller one.");
  return { data, width, height };
}

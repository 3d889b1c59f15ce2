/** Pictures that somebody brings to a static copy: files, sketches, the camera; the network here looks at them. */

import { drawn, glanceOf, layerOf, predicted } from "./answers.js";
import { Refused } from "./refused.js";
import { workerFrom } from "./worker_from.js";

const KEPT = 32;
const FACES = 4; // maps of each column of a row
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
    const frame = /^api\/sides\/own\/frame\b/.test(path);
    if (!(frame || path === "api/pictures") || !(body instanceof Blob)) return undefined;
    if (frame) {
      const rows = new URLSearchParams(path.split("?")[1]).get("rows")?.split(",") ?? [];
      const { seen } = await this.look(body);
      return glanceOf((await this.network()).model, seen, 1, rows);
    }
    return this.hold(`brought-${++this.count}`, body);
  }

  /** @param {Blob} file @returns {Promise<Picture>} */
  async look(file) {
    const { model, ask } = await this.network();
    const pixels = await pixelsOf(file, model.exif);
    const { width, height } = pixels;
    return { width, height, seen: await ask("look", { pixels }), images: new Map() };
  }

  /** Look at a picture and keep what was seen. @param {string} id @param {Blob} file */
  async hold(id, file) {
    this.pictures.set(id, await this.look(file));
    for (const old of this.pictures.keys()) if (this.pictures.size > KEPT) this.pictures.delete(old);
    return this.about(id);
  }

  /** @param {string} id */
  about(id) {
    const { width, height } = this.pictureOf(id);
    return { id, notes: [], width, height, class: null };
  }

  /** @param {string} key @returns {Promise<any>} */
  async get(key) {
    const [, id, what] = /^api\/(?:sides\/own\/)?pictures\/([^/]+)(?:\/(\w+))?$/.exec(key) ?? [];
    if (!this.knows(id)) return undefined;
    if (!what) return this.about(id);
    return what === "glance"
      ? glanceOf((await this.network()).model, this.pictureOf(id).seen, FACES)
      : undefined;
  }

  /** Whether a picture is, or was, one that was brought. @param {string|undefined} id */
  knows(id) {
    return id !== undefined && (this.pictures.has(id) || id.startsWith("brought-"));
  }

  /** @param {string} id */
  pictureOf(id) {
    const picture = this.pictures.get(id);
    if (!picture) throw new Refused(GONE);
    return picture;
  }

  /** @param {string} key @param {Listeners} listeners @returns {Promise<any>} */
  async compute(key, listeners) {
    const [, id, what] = /^api\/sides\/own\/pictures\/([^/]+)\/(\w+)$/.exec(key) ?? [];
    if (!this.knows(id)) return undefined;
    const picture = this.pictureOf(id);
    const { model, ask } = await this.network();
    if (what === "layers") return model.rows.map((row) => layerOf(row, picture.seen.maps[row.name], model));
    if (what !== "prediction") return undefined;
    listeners.part?.(predicted(model, 1, picture.seen.probabilities));
    return predicted(model, 10, await ask("tenViews", { record: picture.seen.record }));
  }

  /** An image of a picture that was brought, as a data: address; undefined for anything else. @param {string} key */
  image(key) {
    const [, id, what] = /^api\/(?:sides\/own\/)?pictures\/([^/]+)\/(.+)$/.exec(key) ?? [];
    const picture = this.pictures.get(id);
    if (!picture || !this.model) return undefined;
    const known = picture.images.get(what) ?? drawn(this.model, picture.seen, what);
    if (known) picture.images.set(what, known);
    return known;
  }
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

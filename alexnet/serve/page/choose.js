/** Ways to choose a picture: a file, a drop, a paste, the camera, a drawing, or one of the prepared ones. */

import { address, post } from "./api.js";
import { Camera } from "./camera.js";
import { pictureQuery, prepared } from "./chosen.js";
import { h } from "./dom.js";
import { fault } from "./figure.js";
import { Sketch } from "./sketch.js";

/**
 * Where what the camera sees, or what is drawn, is shown and answered at once; without one it is shown as it is.
 * @typedef {object} Stage
 * @property {(source: HTMLElement, take: () => Promise<Blob>, next: () => Promise<void>) => void} live
 * @property {(file: Blob, name: string) => void} preview a file that is on its way to the explorer
 * @property {() => void} still back to the picture that was chosen
 */

/**
 * @param {Run} run
 * @param {(query: string) => void} look is given the part of an address that names what was chosen
 * @param {AbortSignal} signal
 * @param {Stage} [stage]
 */
export function chooser(run, look, signal, stage) {
  const camera = new Camera();
  const said = h("div", { class: "said" });
  const file = h("input", { type: "file", accept: "image/*", id: "file", onclick, onchange });
  signal.addEventListener("abort", () => camera.close());

  /** Whatever is said, the camera goes off. @param {...Node} words */
  function say(...words) {
    camera.close();
    stage?.still();
    said.replaceChildren(...words);
  }

  /** Show an error of `action` instead of throwing it. @param {() => Promise<void>} action */
  async function attempt(action) {
    try {
      await action();
    } catch (error) {
      if (!signal.aborted) say(fault(error));
    }
  }

  function onclick() {
    file.value = ""; // so that choosing the same file again is a change
  }

  function onchange() {
    if (file.files?.[0]) upload(file.files[0], file.files[0].name);
  }

  /** @param {Blob} data @param {string} name */
  function upload(data, name) {
    return attempt(async () => {
      say(...(stage ? [] : [h("p", { class: "soft" }, "Reading …")])); // the stage shows the picture itself
      stage?.preview(data, name);
      const held = await post("api/pictures", data, signal);
      say();
      look(pictureQuery(held.id, name));
    });
  }

  /** @param {string} split @param {number} number */
  function choose(split, number) {
    say();
    look(pictureQuery(prepared(split, number)));
  }

  function photograph() {
    return attempt(async () => {
      say();
      const video = await camera.open();
      if (signal.aborted) return camera.close();
      if (!video) return; // something else was chosen meanwhile
      const take = button(
        "Take photo",
        () => attempt(async () => upload(await camera.take(), "from the camera")),
        "primary",
      );
      const stop = button("Stop the camera", () => say());
      said.replaceChildren(h("div", { class: "camera" }, !stage && video, take, stop));
      stage?.live(video, () => camera.frame(run.network.record), nextFrame);
      take.focus();
    });
  }

  function draw() {
    say();
    const sketch = new Sketch(run.network.record);
    const keep = button(
      "Keep the drawing",
      () => attempt(async () => upload(await sketch.take(), "a drawing")),
      "primary",
    );
    const stop = button("Stop drawing", () => say());
    said.replaceChildren(h("div", { class: "camera" }, !stage && sketch.canvas, sketch.tools(), keep, stop));
    stage?.live(sketch.canvas, sketch.take, () => sketch.changed());
    sketch.canvas.focus();
  }

  // Dropped on the page itself a picture would replace it, so the whole page takes it.
  addEventListener("dragover", (event) => event.preventDefault(), { signal });
  addEventListener("drop", (event) => dropped(event, event.dataTransfer?.files), { signal });
  addEventListener(
    "paste",
    (event) => event.clipboardData?.files.length && dropped(event, event.clipboardData.files),
    { signal },
  );

  /** @param {Event} event @param {FileList|undefined} files */
  function dropped(event, files) {
    event.preventDefault();
    if (files?.[0]) upload(files[0], files[0].name);
  }

  return h(
    "div",
    { class: "chooser" },
    h("label", { class: "button primary", for: "file" }, "Choose a picture"),
    file,
    button("Use the camera", photograph),
    button("Draw", draw),
    run.store && somePrepared(run.store, choose),
    said,
  );
}

/** @param {string} words @param {() => void} onclick @param {string} [kind] */
const button = (words, onclick, kind) => h("button", { type: "button", class: kind, onclick }, words);

/** Not while the page is hidden. @returns {Promise<void>} */
const nextFrame = () => new Promise((resolve) => requestAnimationFrame(() => resolve()));

/**
 * Some of the prepared pictures.
 * @param {Store} store
 * @param {(split: string, number: number) => void} choose
 */
function somePrepared({ split, splits, offered }, choose) {
  const count = splits[split];
  const list = h("ul", { class: "prepared" });
  const picture = (/** @type {number} */ number) => {
    const src = address(`api/store/${split}/${number}.jpg?thumbnail=true`);
    const image = h("img", { src, width: 48, height: 48, alt: "" });
    const label = `Picture ${number} of ${split}`;
    const onclick = () => choose(split, number);
    return h("li", {}, h("button", { type: "button", "aria-label": label, onclick }, image));
  };
  const draw = (/** @type {number[]} */ numbers) => list.replaceChildren(...numbers.map(picture));
  draw(offered);
  const random = () => draw(offered.map(() => Math.floor(Math.random() * count)));
  const others = h("button", { type: "button", class: "plain needs-server", onclick: random }, "others");
  return h("div", { class: "some" }, list, others);
}

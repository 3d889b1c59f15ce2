/** Ways to choose a picture: a file, a drop, a paste, the camera, or one of the prepared ones. */

import { address, post } from "./api.js";
import { Camera } from "./camera.js";
import { pictureQuery, prepared } from "./chosen.js";
import { h } from "./dom.js";
import { fault } from "./figure.js";

/**
 * @param {Run} run
 * @param {(query: string) => void} look is given the part of an address that names what was chosen
 * @param {AbortSignal} signal
 */
export function chooser(run, look, signal) {
  const camera = new Camera();
  const said = h("div", {});
  const file = h("input", { type: "file", accept: "image/*", id: "file", onclick, onchange });
  signal.addEventListener("abort", () => camera.close());

  /** Whatever is said, the camera goes off. @param {...Node} words */
  function say(...words) {
    camera.close();
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
    if (file.files?.[0]) upload(file.files[0]);
  }

  /** @param {Blob} data */
  function upload(data) {
    return attempt(async () => {
      say(h("p", { class: "soft" }, "Reading …"));
      const held = await post("api/pictures", data, signal);
      say();
      look(pictureQuery(held.id, data instanceof File ? data.name : "from the camera"));
    });
  }

  /** @param {string} split @param {number} number */
  const choose = (split, number) => look(pictureQuery(prepared(split, number)));

  function photograph() {
    return attempt(async () => {
      say();
      const video = await camera.open();
      if (signal.aborted) return camera.close();
      const take = h("button", { type: "button", class: "primary", onclick: takePhoto }, "Take photo");
      said.replaceChildren(h("div", { class: "camera" }, video, take));
      take.focus();
    });
  }

  function takePhoto() {
    return attempt(async () => upload(await camera.take()));
  }

  // Dropped on the page itself a picture would replace it, so the whole page takes it.
  addEventListener("dragover", (event) => event.preventDefault(), { signal });
  addEventListener("drop", (event) => dropped(event, event.dataTransfer?.files), { signal });
  addEventListener(
    "paste",
    (event) => event.clipboardData?.files.length && dropped(event, event.clipboardData.files),
    {
      signal,
    },
  );

  /** @param {Event} event @param {FileList|undefined} files */
  function dropped(event, files) {
    event.preventDefault();
    if (files?.[0]) upload(files[0]);
  }

  return h(
    "div",
    { class: "chooser" },
    h("label", { class: "button primary", for: "file" }, "Choose a picture"),
    file,
    h("button", { type: "button", onclick: photograph }, "Use the camera"),
    run.store && somePrepared(run.store, choose),
    said,
  );
}

/**
 * Some of the prepared pictures.
 * @param {Store} store
 * @param {(split: string, number: number) => void} choose
 */
function somePrepared({ split, splits, offered }, choose) {
  const count = splits[split];
  const list = h("ul", { class: "prepared" });
  const picture = (/** @type {number} */ number) => {
    const src = address(`api/store/${split}/${number}.jpg`);
    const image = h("img", { src, loading: "lazy", width: 72, height: 72, alt: "" });
    const label = `Picture ${number} of ${split}`;
    const onclick = () => choose(split, number);
    return h("li", {}, h("button", { type: "button", "aria-label": label, onclick }, image));
  };
  const draw = (/** @type {number[]} */ numbers) => list.replaceChildren(...numbers.map(picture));
  draw(offered);
  const random = () => draw(offered.map(() => Math.floor(Math.random() * count)));
  const others = h("button", { type: "button", class: "plain", onclick: random }, "show others");
  return h("div", {}, h("p", { class: "soft" }, `or one of the prepared ones (${split}) `, others), list);
}

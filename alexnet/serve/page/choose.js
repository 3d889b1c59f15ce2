/** Ways to bring a picture: a file, a drop, a paste, the camera, or one of the prepared ones. */

import { address, post } from "./api.js";
import { h } from "./dom.js";
import { fault } from "./figure.js";

const SHOWN = 8;

/**
 * @param {any} run @param {(held: any, name: string) => void} look is given what was brought @param {AbortSignal} signal
 */
export function chooser(run, look, signal) {
  const said = h("div", {});
  const file = h("input", { type: "file", accept: "image/*", id: "file", onchange: () => file.files[0] && bring(file.files[0]) });

  /** @param {Blob} data */
  async function bring(data) {
    said.replaceChildren(h("p", { class: "soft" }, "Reading …"));
    try {
      const held = await post("api/pictures", data, signal);
      said.replaceChildren();
      look(held, data instanceof File ? data.name : "from the camera");
    } catch (error) {
      if (!signal.aborted) said.replaceChildren(fault(error));
    }
  }

  async function choose(part, number) {
    try {
      const held = await post(`api/store/${part}/${number}`, null, signal);
      look(held, `${held.class}, ${part} ${number}`);
    } catch (error) {
      if (!signal.aborted) said.replaceChildren(fault(error));
    }
  }

  addEventListener("dragover", (event) => event.preventDefault(), { signal });
  addEventListener("drop", (event) => {
    event.preventDefault();
    const dropped = event.dataTransfer?.files[0];
    if (dropped) bring(dropped);
  }, { signal });
  addEventListener("paste", (event) => {
    const pasted = [...(event.clipboardData?.files ?? [])][0];
    if (pasted) bring(pasted);
  }, { signal });

  return h("div", { class: "chooser" }, h("label", { class: "button primary", for: "file" }, "Choose a picture"), file, camera(bring, said, signal), prepared(run, choose), said);
}

/** A button for the camera, where the browser has one to give. */
function camera(bring, said, signal) {
  if (!navigator.mediaDevices?.getUserMedia) return null;
  return h("button", { type: "button", onclick: start }, "Use the camera");
  async function start() {
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      const video = h("video", { autoplay: true, muted: true, playsinline: true });
      video.srcObject = stream;
      const stop = () => stream.getTracks().forEach((track) => track.stop());
      signal.addEventListener("abort", stop);
      const take = h("button", { type: "button", class: "primary", onclick: () => taken(video, stop, bring) }, "Take it");
      said.replaceChildren(h("div", { class: "camera" }, video, take));
    } catch (error) {
      said.replaceChildren(fault(new Error(`The browser gives no camera: ${error.message}`)));
    }
  }
}

function taken(video, stop, bring) {
  const canvas = h("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  stop();
  canvas.toBlob((blob) => blob && bring(blob), "image/jpeg", 0.92);
}

/** Some of the prepared pictures. */
function prepared(run, choose) {
  if (!run.store) return null;
  const { part, parts } = run.store, count = parts[part];
  const numbers = Array.from({ length: Math.min(SHOWN, count) }, (_, n) => Math.floor(((n + 0.5) * count) / SHOWN));
  const list = h("ul", { class: "prepared" });
  const draw = (some) => list.replaceChildren(...some.map((number) => h("li", {}, h("button", { type: "button", "aria-label": `Picture ${number} of part ${part}`, onclick: () => choose(part, number) }, h("img", { src: address(`api/store/${part}/${number}.jpg`), loading: "lazy", width: 72, height: 72, alt: "" })))));
  draw(numbers);
  const others = () => draw(numbers.map(() => Math.floor(Math.random() * count)));
  return h("div", {}, h("p", { class: "soft" }, `or one of the prepared ones (part “${part}”) `, h("button", { type: "button", class: "plain", onclick: others }, "others")), list);
}

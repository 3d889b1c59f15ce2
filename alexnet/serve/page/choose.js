/** Ways to bring a picture: a file, a drop, a paste, the camera, or one of the prepared ones. */

import { address, post } from "./api.js";
import { h } from "./dom.js";
import { fault } from "./figure.js";

const SHOWN = 8;

/**
 * @param {any} run @param {(held: any, name: string) => void} look is given what was brought @param {AbortSignal} signal
 */
export function chooser(run, look, signal) {
  const said = h("div", {}),
    lens = new Lens();
  const file = h("input", {
    type: "file",
    accept: "image/*",
    id: "file",
    onclick: () => (file.value = ""),
    onchange: () => file.files[0] && bring(file.files[0]),
  });
  signal.addEventListener("abort", () => lens.close());

  /** Whatever is said next, the camera goes off. */
  function say(...words) {
    lens.close();
    said.replaceChildren(...words);
  }

  /** @param {Blob} data */
  const bring = (data) =>
    asked(async () => {
      say(h("p", { class: "soft" }, "Reading …"));
      const held = await post("api/pictures", data, signal);
      say();
      look(held, data instanceof File ? data.name : "from the camera");
    });

  const choose = (part, number) =>
    asked(async () => {
      say();
      const held = await post(`api/store/${part}/${number}`, null, signal);
      look(held, `${held.class}, ${part} ${number}`);
    });

  const photograph = () =>
    asked(async () => {
      say();
      const view = await lens.open();
      const take = h(
        "button",
        { type: "button", class: "primary", onclick: async () => bring(await lens.take()) },
        "Take it",
      );
      if (signal.aborted) return lens.close();
      said.replaceChildren(h("div", { class: "camera" }, view, take));
      take.focus();
    });

  async function asked(what) {
    try {
      await what();
    } catch (error) {
      if (!signal.aborted) say(fault(error));
    }
  }

  addEventListener("dragover", (event) => event.preventDefault(), { signal });
  addEventListener(
    "drop",
    (event) => {
      event.preventDefault();
      const dropped = event.dataTransfer?.files[0];
      if (dropped) bring(dropped);
    },
    { signal },
  );
  addEventListener(
    "paste",
    (event) => {
      const pasted = [...(event.clipboardData?.files ?? [])][0];
      if (pasted) bring(pasted);
    },
    { signal },
  );

  return h(
    "div",
    { class: "chooser" },
    h("label", { class: "button primary", for: "file" }, "Choose a picture"),
    file,
    h("button", { type: "button", onclick: photograph }, "Use the camera"),
    prepared(run, choose),
    said,
  );
}

const WITHOUT_CAMERA = {
  NotAllowedError: "The browser did not allow the camera: allow it in the address bar, or choose a file.",
  NotFoundError: "The browser finds no camera: connect one, or choose a file.",
  NotReadableError: "Another program has the camera: close it, or choose a file.",
};

/** The camera: opened it shows what it sees, until it is closed. */
class Lens {
  /** @returns {Promise<HTMLVideoElement>} once there is something to see */
  async open() {
    if (!navigator.mediaDevices)
      throw new Error(
        "Browsers lend the camera to HTTPS and to this machine's own addresses only: come through SSH (ssh -L 8012:127.0.0.1:8012 HOST), or choose a file.",
      );
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      this.video = h("video", { muted: true, playsinline: true, "aria-label": "What the camera sees" });
      this.video.srcObject = this.stream;
      await this.video.play();
      return this.video;
    } catch (error) {
      throw new Error(
        WITHOUT_CAMERA[error.name] ??
          `The camera shows nothing (${error.message || error.name}): choose a file.`,
      );
    }
  }

  /** @returns {Promise<Blob>} what it sees now, as a JPEG file */
  take() {
    const canvas = h("canvas", { width: this.video.videoWidth, height: this.video.videoHeight });
    canvas.getContext("2d").drawImage(this.video, 0, 0);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
  }

  close() {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
  }
}

/** Some of the prepared pictures. */
function prepared(run, choose) {
  if (!run.store) return null;
  const { part, parts } = run.store,
    count = parts[part];
  const numbers = Array.from({ length: Math.min(SHOWN, count) }, (_, n) =>
    Math.floor(((n + 0.5) * count) / SHOWN),
  );
  const list = h("ul", { class: "prepared" });
  const draw = (some) =>
    list.replaceChildren(
      ...some.map((number) =>
        h(
          "li",
          {},
          h(
            "button",
            {
              type: "button",
              "aria-label": `Picture ${number} of part ${part}`,
              onclick: () => choose(part, number),
            },
            h("img", {
              src: address(`api/store/${part}/${number}.jpg`),
              loading: "lazy",
              width: 72,
              height: 72,
              alt: "",
            }),
          ),
        ),
      ),
    );
  draw(numbers);
  const others = () => draw(numbers.map(() => Math.floor(Math.random() * count)));
  return h(
    "div",
    {},
    h(
      "p",
      { class: "soft" },
      `or one of the prepared ones (part “${part}”) `,
      h("button", { type: "button", class: "plain", onclick: others }, "others"),
    ),
    list,
  );
}

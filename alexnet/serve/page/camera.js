/** The camera. */

import { h } from "./dom.js";

const REFUSED = new Map([
  ["NotAllowedError", "The browser did not allow the camera: allow it in the address bar, or choose a file."],
  ["NotFoundError", "The browser finds no camera: connect one, or choose a file."],
  ["NotReadableError", "Another program has the camera: close it, or choose a file."],
]);
const NO_CAMERA =
  "Browsers allow camera access only over HTTPS and on localhost: come through SSH " +
  "(ssh -L 8012:127.0.0.1:8012 HOST), or choose a file.";

/** @param {HTMLCanvasElement} canvas @returns {Promise<Blob>} */
export function jpegOf(canvas) {
  return new Promise((resolve, reject) =>
    canvas.toBlob(
      (blob) => (blob ? resolve(blob) : reject(new Error("There is no picture."))),
      "image/jpeg",
      0.92,
    ),
  );
}

/** Shows what it sees from when it is opened until it is closed. */
export class Camera {
  /** @type {MediaStream|null} */
  stream = null;
  video = h("video", { muted: true, playsinline: true, "aria-label": "What the camera sees" });

  /** How often it was opened or closed: what a later one overtook ends. */
  #turn = 0;

  /**
   * Resolves to the video once there is something to see; to null if it was closed or opened again meanwhile. Throws an
   * Error that says what to do instead.
   */
  async open() {
    if (!navigator.mediaDevices) throw new Error(NO_CAMERA);
    const turn = ++this.#turn;
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      if (turn !== this.#turn) return stop(stream);
      this.stream = stream;
      this.video.srcObject = stream;
      await this.video.play();
      return turn === this.#turn ? this.video : null;
    } catch (error) {
      if (turn !== this.#turn) return null; // what plays was replaced
      const { name, message } = /** @type {Error} */ (error);
      throw new Error(REFUSED.get(name) ?? `The camera shows nothing (${message || name}): choose a file.`);
    }
  }

  /** What it sees now, as a JPEG file. */
  take() {
    const { videoWidth: width, videoHeight: height } = this.video;
    const canvas = h("canvas", { width, height });
    canvas.getContext("2d")?.drawImage(this.video, 0, 0);
    return jpegOf(canvas);
  }

  #frame = h("canvas", {});

  /** The middle of what it sees now, as a small JPEG file. @param {number} side */
  frame(side) {
    const { videoWidth: width, videoHeight: height } = this.video;
    const square = Math.min(width, height);
    if (this.#frame.width !== side) this.#frame.width = this.#frame.height = side;
    const [left, top] = [(width - square) / 2, (height - square) / 2];
    this.#frame.getContext("2d")?.drawImage(this.video, left, top, square, square, 0, 0, side, side);
    return jpegOf(this.#frame);
  }

  close() {
    this.#turn++;
    this.stream = stop(this.stream);
  }
}

/** @param {MediaStream|null} stream */
function stop(stream) {
  stream?.getTracks().forEach((track) => track.stop());
  return null;
}

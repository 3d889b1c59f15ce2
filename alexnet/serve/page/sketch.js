/** A sheet to draw on, with the pointer or the keyboard, of the size that the network takes. */

import { jpegOf } from "./camera.js";
import { h } from "./dom.js";

const PENS = [
  ["black", "#1b1b1b"],
  ["red", "#c8321f"],
  ["green", "#2f8a3c"],
  ["blue", "#2257b0"],
  ["yellow", "#edbb23"],
  ["white", "#ffffff"],
];
const STEP = 4; // pixels that an arrow key moves the pen

export class Sketch {
  #colour = PENS[0][1];
  #width = 10;
  /** Where the keyboard's pen is, and whether it is down. */
  #pen = { x: 0, y: 0, down: false };
  /** @type {() => void} */
  #wake = () => {};
  #dirty = true;

  /** @param {number} side */
  constructor(side) {
    this.side = side;
    this.#pen.x = this.#pen.y = side / 2;
    this.canvas = h("canvas", {
      width: side,
      height: side,
      class: "sketch",
      tabindex: "0",
      role: "img",
      "aria-label":
        "A sheet to draw on. With the keyboard: arrows move the pen, Space puts it down and lifts it.",
    });
    this.canvas.addEventListener("pointerdown", (event) => this.#down(event));
    this.canvas.addEventListener("pointermove", (event) => event.buttons && this.#line(event));
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    this.clear();
  }

  get #context() {
    const pen = /** @type {CanvasRenderingContext2D} */ (
      this.canvas.getContext("2d", { willReadFrequently: true })
    );
    Object.assign(pen, {
      strokeStyle: this.#colour,
      lineWidth: this.#width,
      lineCap: "round",
      lineJoin: "round",
    });
    return pen;
  }

  clear() {
    const pen = this.#context;
    pen.fillStyle = "#ffffff";
    pen.fillRect(0, 0, this.side, this.side);
    this.#changed();
  }

  #changed() {
    this.#dirty = true;
    this.#wake();
  }

  /** Resolves once it was drawn on since the last time. @returns {Promise<void>} */
  changed() {
    if (this.#dirty) {
      this.#dirty = false;
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#dirty = false;
        this.#wake = () => {};
        resolve();
      };
    });
  }

  take = () => jpegOf(this.canvas);

  /** @param {PointerEvent} event */
  #at(event) {
    const scale = this.side / this.canvas.clientWidth;
    return { x: event.offsetX * scale, y: event.offsetY * scale };
  }

  /** @param {PointerEvent} event */
  #down(event) {
    this.canvas.setPointerCapture(event.pointerId);
    Object.assign(this.#pen, this.#at(event));
    this.#line(event);
  }

  /** @param {PointerEvent} event */
  #line(event) {
    for (const one of event.getCoalescedEvents?.() ?? [event]) this.#to(this.#at(one));
    this.#to(this.#at(event));
  }

  /** @param {{ x: number, y: number }} to */
  #to(to) {
    const pen = this.#context;
    pen.beginPath();
    pen.moveTo(this.#pen.x, this.#pen.y);
    pen.lineTo(to.x, to.y);
    pen.stroke();
    Object.assign(this.#pen, to);
    this.#changed();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const moves = new Map([
      ["ArrowLeft", [-1, 0]],
      ["ArrowRight", [1, 0]],
      ["ArrowUp", [0, -1]],
      ["ArrowDown", [0, 1]],
    ]);
    const move = moves.get(event.key);
    if (event.key === " ") this.#pen.down = !this.#pen.down;
    else if (!move) return;
    event.preventDefault();
    const inside = (/** @type {number} */ value) => Math.max(0, Math.min(this.side, value));
    const [right, down] = move ?? [0, 0];
    const to = { x: inside(this.#pen.x + STEP * right), y: inside(this.#pen.y + STEP * down) };
    if (this.#pen.down) this.#to(to);
    else Object.assign(this.#pen, to);
  }

  /** What it is drawn with. */
  tools() {
    const pens = PENS.map(([name, code]) => {
      const button = h("button", { type: "button", class: "pen", "aria-label": `${name} pen` });
      button.style.setProperty("--pen", code);
      const press = () => button.setAttribute("aria-pressed", String(this.#colour === code));
      button.addEventListener("click", () => {
        this.#colour = code;
        pens.forEach((one) => one.press());
      });
      press();
      return { button, press };
    });
    const width = h("input", {
      type: "range",
      min: 2,
      max: 40,
      value: this.#width,
      "aria-label": "Width of the pen",
    });
    width.addEventListener("input", () => (this.#width = Number(width.value)));
    const clear = h("button", { type: "button", onclick: () => this.clear() }, "Clear");
    return h(
      "span",
      { class: "tools" },
      pens.map((one) => one.button),
      width,
      clear,
    );
  }
}

/** Classes that are collected: with the camera, by dropping pictures or folders, by choosing them. */

import { address, get, post } from "./api.js";
import { Camera } from "./camera.js";
import { announce, h } from "./dom.js";
import { fault } from "./figure.js";
import { whole } from "./text.js";

/**
 * @typedef {import("./teach.js").Taught} Taught
 * @typedef {import("./teach.js").TaughtClass} TaughtClass
 * @typedef {import("./teach.js").TaughtPicture} TaughtPicture
 * @typedef {{ element: HTMLElement, draw: (taught: TaughtClass, every?: boolean) => void, api: string }} Card
 * @typedef {{ folder: string, file: File }} Found a picture in a folder, "" for one that was dropped alone
 */

const EVERY = 200; // milliseconds between two pictures of the camera
const TOGETHER = 3; // uploads at a time

/** @param {Taught} taught @param {AbortSignal} signal */
export function classes(taught, signal) {
  const camera = new Camera();
  const stage = h("div", { class: "stage", hidden: true });
  const said = h("div", { role: "status" });
  const list = h("div", { class: "classes" });
  /** @type {Map<string, Card>} */
  const cards = new Map();
  signal.addEventListener("abort", () => camera.close());

  /** Show an error of `action` instead of throwing it. @param {() => Promise<void>} action */
  async function attempt(action) {
    said.replaceChildren();
    try {
      await action();
    } catch (error) {
      if (!signal.aborted) said.replaceChildren(fault(error));
    }
  }

  /** @param {TaughtClass} one @returns {Card} */
  function put(one) {
    const known = cards.get(one.name);
    if (known) {
      known.draw(one);
      return known;
    }
    const card = classCard(one, { attempt, hold, add, remove, signal });
    cards.set(one.name, card);
    list.append(card.element);
    return card;
  }

  /** @param {string} name */
  const made = async (name) =>
    put(await post(`api/teach/classes?${new URLSearchParams({ name })}`, null, signal));

  // ── the camera ──

  async function turnOn() {
    if (camera.stream) return;
    const video = await camera.open();
    if (signal.aborted) return camera.close();
    if (!video) return;
    const off = h("button", { type: "button", onclick: turnOff }, "Camera off");
    stage.replaceChildren(h("div", { class: "camera" }, video), off);
    stage.hidden = false;
  }

  function turnOff() {
    camera.close();
    stage.replaceChildren();
    stage.hidden = true;
  }

  /** Take pictures for as long as `held` says. @param {Card} card @param {() => boolean} held */
  function hold(card, held) {
    return attempt(async () => {
      if (!camera.stream) {
        await turnOn();
        if (!held()) said.replaceChildren(h("p", {}, "The camera is on: hold the button to take pictures."));
      }
      while (held() && camera.stream && !signal.aborted) {
        const began = performance.now();
        card.draw(await post(`${card.api}/pictures`, await camera.take(), signal));
        await new Promise((resume) => setTimeout(resume, EVERY - (performance.now() - began)));
      }
    });
  }

  // ── files and folders ──

  /**
   * Add pictures to the class `card`, or each to the class that its folder is called.
   * @param {Found[]} found
   * @param {Card} [card]
   */
  function add(found, card) {
    return attempt(async () => {
      const alone = found.filter(({ folder }) => !folder && !card).length;
      if (alone)
        throw new Error(
          "Drop pictures on a class, or drop a folder: it becomes the class that it is called.",
        );
      let [done, next] = [0, 0];
      /** @type {string[]} */
      const refused = [];
      async function worker() {
        while (next < found.length && !signal.aborted) {
          const { folder, file } = found[next++];
          const target = card ?? cards.get(folder) ?? (await made(folder));
          try {
            target.draw(await post(`${target.api}/pictures`, file, signal));
          } catch (error) {
            if (signal.aborted) throw error;
            refused.push(`${file.name}: ${error instanceof Error ? error.message : error}`);
          }
          said.replaceChildren(h("p", {}, `${whole(++done)} of ${whole(found.length)} files`));
        }
      }
      await Promise.all(Array.from({ length: TOGETHER }, worker));
      const words = refused.length
        ? `${whole(refused.length)} of ${whole(found.length)} files were refused. ${refused[0]}`
        : "";
      said.replaceChildren(words ? fault(words) : h("p", {}, `${whole(found.length)} pictures were added.`));
    });
  }

  addEventListener("dragover", (event) => event.preventDefault(), { signal });
  addEventListener(
    "drop",
    async (event) => {
      event.preventDefault();
      const on = event.target instanceof Element ? event.target.closest("[data-class]") : null;
      const card = on instanceof HTMLElement ? cards.get(on.dataset.class ?? "") : undefined;
      const entries = [...(event.dataTransfer?.items ?? [])].map((item) => item.webkitGetAsEntry());
      const found = (await Promise.all(entries.map((entry) => pictures(entry, "")))).flat();
      if (found.length) add(found, found.every(({ folder }) => !folder) ? card : undefined);
    },
    { signal },
  );

  /** @param {Card} card @param {string} path */
  function remove(card, path) {
    return attempt(async () => {
      const left = await post(path, null, signal);
      if ("pictures" in left) return card.draw(left);
      const { name } = card.element.dataset;
      const all = await get("api/teach", signal);
      const rest = all.classes.find(
        (/** @type {TaughtClass} */ one) => one.name === card.element.dataset.class,
      );
      announce(`${name ?? "class"} removed`);
      if (rest) return card.draw(rest);
      cards.delete(card.element.dataset.class ?? "");
      card.element.remove();
    });
  }

  // ── the form ──

  const name = h("input", {
    type: "text",
    id: "class-name",
    maxlength: 60,
    size: 18,
    required: true,
    autocomplete: "off",
  });
  const folder = h("input", {
    type: "file",
    id: "class-folder",
    class: "file",
    webkitdirectory: true,
    multiple: true,
    onchange,
  });
  /** @param {Event} event */
  function onsubmit(event) {
    event.preventDefault();
    attempt(async () => {
      (await made(name.value)).element.querySelector("button")?.focus();
      name.value = "";
    });
  }
  function onchange() {
    add(
      [...(folder.files ?? [])].map((file) => ({
        folder: file.webkitRelativePath.split("/").at(-2) ?? "",
        file,
      })),
    );
    folder.value = "";
  }

  taught.classes.forEach(put);
  return h(
    "section",
    { id: "classes" },
    h("h2", {}, "Classes"),
    h(
      "form",
      { class: "save", onsubmit },
      h("label", { for: "class-name" }, "New class"),
      name,
      h("button", { class: "primary" }, "Add class"),
      h(
        "span",
        { class: "chooser" },
        folder,
        h("label", { class: "button", for: "class-folder" }, "Choose a folder of pictures"),
      ),
    ),
    h("p", { class: "soft" }, "Or drop folders on this page: each becomes the class that it is called."),
    stage,
    said,
    list,
  );
}

/**
 * The pictures in what was dropped; each belongs to the class of its folder.
 * @param {FileSystemEntry|null} entry
 * @param {string} folder
 * @returns {Promise<Found[]>}
 */
async function pictures(entry, folder) {
  if (!entry || entry.name.startsWith(".")) return [];
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) =>
      /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject),
    );
    return [{ folder, file }];
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  const found = [];
  for (;;) {
    /** @type {FileSystemEntry[]} a hundred at a time */
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    for (const one of some) found.push(...(await pictures(one, entry.name)));
  }
}

/**
 * @typedef {object} Ways what a card can have done
 * @property {(action: () => Promise<void>) => Promise<void>} attempt
 * @property {(card: Card, held: () => boolean) => Promise<void>} hold
 * @property {(found: Found[], card: Card) => Promise<void>} add
 * @property {(card: Card, path: string) => Promise<void>} remove
 * @property {AbortSignal} signal
 */

/** @param {TaughtClass} taught @param {Ways} ways @returns {Card} */
function classCard(taught, { attempt, hold, add, remove, signal }) {
  const api = `api/teach/classes/${encodeURIComponent(taught.name)}`;
  const count = h("small", {});
  const list = h("ul", { class: "thumbs" });
  const more = h("button", { type: "button", class: "plain", hidden: true, onclick: showAll }, "show all");
  /** @type {Map<string, HTMLElement>} */
  const thumbs = new Map();
  let every = false;

  /** @param {TaughtClass} one */
  function draw(one) {
    count.textContent = one.pictures === 1 ? "1 picture" : `${whole(one.pictures)} pictures`;
    for (const picture of one.latest) if (!thumbs.has(picture.file)) thumbs.set(picture.file, thumb(picture));
    const shown = one.latest.map(({ file }) => /** @type {HTMLElement} */ (thumbs.get(file)));
    list.replaceChildren(...shown);
    more.hidden = every || shown.length === one.pictures;
  }

  function showAll() {
    return attempt(async () => {
      every = true;
      draw(await get(api, signal));
    });
  }

  /** @param {TaughtPicture} picture */
  function thumb({ file, collected }) {
    const path = `${api}/pictures/${encodeURIComponent(file)}`;
    const image = h("img", { src: address(path), loading: "lazy", width: 64, height: 64, alt: "" });
    const label = `Remove picture ${file.replace(/\.jpg$/, "")} of ${taught.name}`;
    const button = h(
      "button",
      { type: "button", "aria-label": label, title: "Remove", onclick: () => remove(card, `${path}/remove`) },
      "×",
    );
    return h("li", {}, image, collected && button);
  }

  const files = h("input", {
    type: "file",
    multiple: true,
    accept: "image/*",
    class: "file",
    id: `add-${taught.name}`,
    onchange,
  });
  function onchange() {
    add(
      [...(files.files ?? [])].map((file) => ({ folder: "", file })),
      card,
    );
    files.value = "";
  }
  const removal = h(
    "button",
    { type: "button", onclick: () => remove(card, `${api}/remove`) },
    "Remove the class",
  );
  const element = h(
    "section",
    { class: "taught", "data-class": taught.name, "aria-label": taught.name },
    h("h3", {}, taught.name, " ", count),
    h(
      "p",
      { class: "save" },
      holdButton((held) => hold(card, held)),
      h("span", { class: "chooser" }, files, h("label", { class: "button", for: files.id }, "Add pictures")),
      removal,
    ),
    list,
    more,
  );
  const card = { element, draw, api };
  draw(taught);
  return card;
}

/**
 * A button that does something for as long as it is held, by pointer or by key.
 * @param {(held: () => boolean) => void} start
 */
function holdButton(start) {
  const button = h("button", { type: "button", class: "primary hold" }, "Hold to take pictures");
  let holding = 0;
  let turn = 0;
  const press = () => {
    const mine = (holding = ++turn);
    button.classList.add("held");
    start(() => holding === mine);
  };
  const release = () => {
    holding = 0;
    button.classList.remove("held");
  };
  button.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    button.setPointerCapture(event.pointerId);
    press();
  });
  button.addEventListener("keydown", (event) => {
    if (![" ", "Enter"].includes(event.key)) return;
    event.preventDefault();
    if (!event.repeat) press();
  });
  for (const end of ["pointerup", "pointercancel", "keyup", "blur"]) button.addEventListener(end, release);
  return button;
}

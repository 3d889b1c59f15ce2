/** A person's marks: the label of a picture is right, or wrong, or the picture is to be left out. */

import { address, get, Refused } from "./api.js";
import { announce, h } from "./dom.js";
import { command, copyable, fault } from "./figure.js";

const CHOICES = 60;

/**
 * @typedef {{ kind: "right"|"wrong"|"leave out", class: string|null }} Mark
 * @typedef {object} Marks what is in the file of corrections
 * @property {string} path
 * @property {Record<string, Mark>} marks by picture, as val.12
 * @property {number} elsewhere lines that name none of these pictures
 * @property {string} fault
 * @property {string[]} classes that a picture can be of
 * @property {string} store
 *
 * @typedef {object} Marked a picture that can be marked
 * @property {string} ident as val.12
 * @property {string} file
 * @property {string} label
 * @property {string[]} likely classes that it may be of, offered first
 *
 * @typedef {object} Marking
 * @property {Node} status where the marks are written
 * @property {(picture: Marked) => HTMLElement} controls
 */

/** @param {AbortSignal} signal @returns {Promise<Marking>} */
export async function marking(signal) {
  /** @type {Marks} */
  let known = await get("api/marks", signal);
  const status = h("div", { class: "marks-status" });
  const dialog = classDialog(known.classes);
  /** @type {Map<string, () => void>} what draws each picture's mark again */
  const drawn = new Map();

  /** @param {Marked} picture @param {Mark|null} mark */
  async function send({ ident, file }, mark) {
    try {
      known = await postMark(ident, mark, signal);
      drawn.get(ident)?.();
      report();
      announce(`${file}: ${mark ? spoken(mark) : "not marked"}. Written to ${known.path}`);
    } catch (error) {
      if (!signal.aborted) status.replaceChildren(fault(error));
    }
  }

  function report() {
    status.replaceChildren(...statusOf(known));
  }

  /** @param {Marked} picture */
  function controls(picture) {
    const place = h("div", { class: "marks", role: "group", "aria-label": `Mark ${picture.file}` });
    const button = (
      /** @type {string} */ sign,
      /** @type {string} */ words,
      /** @type {Mark["kind"]} */ kind,
    ) => {
      const onclick = async () => {
        if (known.marks[picture.ident]?.kind === kind) return send(picture, null);
        if (kind !== "wrong") return send(picture, { kind, class: null });
        const chosen = await dialog.ask(picture);
        if (chosen !== null) send(picture, { kind, class: chosen });
      };
      const element = h(
        "button",
        { type: "button", onclick },
        h("span", { "aria-hidden": "true" }, sign),
        words,
      );
      return { kind, element };
    };
    const buttons = [
      button("✓", "yes", "right"),
      button("✗", "no …", "wrong"),
      button("⊘", "leave out", "leave out"),
    ];
    const said = h("p", { class: "said" });
    const draw = () => {
      const mark = known.marks[picture.ident];
      for (const { kind, element } of buttons)
        element.setAttribute("aria-pressed", String(mark?.kind === kind));
      said.textContent = mark ? `Marked: ${spoken(mark)}` : "";
      said.hidden = !mark;
    };
    drawn.set(picture.ident, draw);
    draw();
    place.append(
      h("p", { class: "odds" }, "Is the label right?"),
      ...buttons.map(({ element }) => element),
      said,
    );
    return place;
  }

  report();
  return { status: h("div", {}, status, dialog.element), controls };
}

/** @param {Mark} mark */
const spoken = (mark) =>
  mark.kind === "right"
    ? "the label is right"
    : mark.kind === "wrong"
      ? `wrong, it is ${mark.class}`
      : "leave it out";

/** @param {string} ident @param {Mark|null} mark @param {AbortSignal} signal @returns {Promise<Marks>} */
async function postMark(ident, mark, signal) {
  const response = await fetch(address(`api/marks/${encodeURIComponent(ident)}`), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ kind: mark?.kind ?? null, class: mark?.class ?? "" }),
    signal,
  });
  const found = await response.json();
  if (!response.ok) throw new Refused(found.error ?? "This could not be marked.");
  return found;
}

/** @param {Marks} known @returns {Node[]} */
function statusOf({ path, marks, elsewhere, fault: broken, store }) {
  if (broken) return [fault(new Error(broken))];
  const kinds = Object.values(marks).map((mark) => mark.kind);
  const count = (/** @type {Mark["kind"]} */ kind) => kinds.filter((one) => one === kind).length;
  const parts = [
    count("wrong") && `${count("wrong")} with another class`,
    count("leave out") && `${count("leave out")} left out`,
    count("right") && `${count("right")} confirmed`,
  ].filter(Boolean);
  const other = elsewhere > 0 ? ` It also has ${elsewhere} of pictures that are not in this store.` : "";
  if (!kinds.length) {
    const words = "Is a label wrong? Mark it below its picture. Marks are kept in ";
    const next = [", which ", h("code", {}, "alexnet prepare --corrections"), ` reads.${other}`];
    return [h("p", { class: "soft" }, words, h("code", {}, path), next)];
  }
  const next = `${store.replace(/\/+$/, "").replace(/\.store$/, "")}.corrected.store`;
  return [
    h(
      "p",
      {},
      h("strong", {}, `${kinds.length} ${kinds.length === 1 ? "picture is" : "pictures are"} marked`),
      ` (${parts.join(", ")}) in `,
      h("code", {}, path),
      `.${other} Your pictures themselves are not touched; prepare them again with this file:`,
    ),
    copyable(command("prepare", "PICTURES", next, "--corrections", path)),
  ];
}

/** A dialog that asks for a class; it is shared by all pictures of a page. @param {string[]} classes */
function classDialog(classes) {
  const title = h("h2", { id: "which" });
  const search = h("input", { type: "search", placeholder: "Find a class", "aria-label": "Find a class" });
  const list = h("ul", { class: "choices" });
  const close = h("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
  const dialog = h("dialog", { class: "which", "aria-labelledby": "which" }, title, search, list, close);
  /** @type {Marked|null} */
  let asked = null;

  function draw() {
    const words = search.value.trim().toLowerCase();
    const first = (asked?.likely ?? []).filter((name) => classes.includes(name));
    const offered = [...new Set([...first, ...classes])].filter(
      (name) => name !== asked?.label && name.toLowerCase().includes(words),
    );
    const choice = (/** @type {string} */ name) => {
      const likely = first.includes(name) && h("small", {}, "suggested");
      return h("li", {}, h("button", { type: "button", onclick: () => dialog.close(name) }, name, likely));
    };
    const more = offered.length - CHOICES;
    list.replaceChildren(
      ...offered.slice(0, CHOICES).map(choice),
      ...(more > 0 ? [h("li", { class: "soft" }, `and ${more} more: type a part of the name`)] : []),
    );
  }
  search.addEventListener("input", draw);
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault(); // or the button that gets the focus back is pressed by the same key
    list.querySelector("button")?.click();
  });

  /** @param {Marked} picture @returns {Promise<string|null>} */
  function ask(picture) {
    asked = picture;
    title.replaceChildren(`What is ${nameOf(picture.file)}, if not ${picture.label}?`);
    search.value = "";
    draw();
    dialog.returnValue = "";
    dialog.showModal();
    return new Promise((resolve) =>
      dialog.addEventListener("close", () => resolve(dialog.returnValue || null), { once: true }),
    );
  }
  return { element: dialog, ask };
}

/** The last part of a path. @param {string} file */
export const nameOf = (file) => file.split("/").pop() ?? file;

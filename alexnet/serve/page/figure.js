/** A figure: what is shown, its caption, how to save it, and the command that makes the same. */

import { address } from "./api.js";
import { announce, h } from "./dom.js";
import { saveJson, savePicture } from "./save.js";

/**
 * @typedef {object} About
 * @property {string} title
 * @property {Child} [words]
 * @property {string|(() => SVGSVGElement)} [png] an address, or a drawing
 * @property {string|(() => any)} [json] an address, or values
 * @property {Child} [saves] other ways to save it
 * @property {string} [command]
 * @property {string} [name] of the files
 * @property {string} [id]
 */

/** @param {Child} content @param {About} about */
export function figure(content, { title, words, png, json, saves, command, name = "figure", id }) {
  return h(
    "figure",
    { id },
    h("figcaption", {}, h("h2", {}, title), words && h("p", {}, words)),
    h("div", { class: "shown" }, content),
    h(
      "div",
      { class: "save" },
      png && saving("PNG", png, `${name}.png`, savePicture),
      json && saving("JSON", json, `${name}.json`, saveJson),
      saves,
      command && copyable(command),
    ),
  );
}

/**
 * A link to what the explorer draws, or a button for what the page has.
 * @param {string} label
 * @param {string|(() => any)} source
 * @param {string} file
 * @param {(value: any, file: string) => void} save
 */
export function saving(label, source, file, save) {
  if (typeof source === "string") return download(label, source, file);
  return h("button", { type: "button", onclick: () => save(source(), file) }, label);
}

/** @param {string} label @param {string} path @param {string} file */
export function download(label, path, file) {
  return h("a", { class: "button", href: address(path), download: file }, label);
}

/** The commands that show the same, at the end of a page. @param {string} title @param {...Child} commands */
export function commands(title, ...commands) {
  return h("section", { class: "commands" }, folded(title, commands));
}

/** A button `>_` that opens a command line. @param {string} command */
export function copyable(command) {
  return folded("the command that makes the same", commandLine(command), true);
}

/** @param {string} title @param {Child} content @param {boolean} [unseen] whether only screen readers get the title */
function folded(title, content, unseen = false) {
  const sign = h("span", { class: "prompt", "aria-hidden": "true" }, ">_");
  const words = h("span", { class: unseen && "unseen" }, title);
  return h(
    "details",
    { class: "folded" },
    h("summary", { title: unseen && title }, sign, " ", words),
    content,
  );
}

/** A command line with a button that copies it. @param {string} command */
export function commandLine(command) {
  const button = h("button", { type: "button", "aria-label": "Copy the command", onclick: copy }, "Copy");
  async function copy() {
    await toClipboard(command);
    button.textContent = "Copied";
    announce("copied");
    setTimeout(() => (button.textContent = "Copy"), 1500);
  }
  // Each word is an element of its own, so that lines break between words only.
  const words = command.split(" ").flatMap((word, place) => [place > 0 && " ", h("span", {}, word)]);
  return h("span", { class: "command" }, h("code", { tabindex: "0" }, words), button);
}

/**
 * Browsers have the clipboard on localhost and over HTTPS only; elsewhere a selection is copied.
 * @param {string} text
 */
async function toClipboard(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = h("textarea", { class: "unseen" });
  field.value = text;
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}

/** A command line, quoted for a shell. @param {...string} words */
export function command(...words) {
  const quoted = (/** @type {string} */ word) =>
    /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
  return ["alexnet", ...words].map(quoted).join(" ");
}

/**
 * `alexnet see …` for a unit.
 * @param {Run} run
 * @param {Store} store
 * @param {UnitPage} unit
 * @param {string} what
 * @param {...string} more
 */
export function unitCommand(run, store, { layer, unit }, what, ...more) {
  const where = ["--layers", layer.name, "--channels", String(unit)];
  return command("see", what, run.commands.run, store.path, ...where, ...more);
}

/** An error in the server's words. @param {unknown} error */
export function fault(error) {
  return h("p", { class: "fault", role: "alert" }, error instanceof Error ? error.message : String(error));
}

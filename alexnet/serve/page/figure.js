/** A figure as a plate: what is shown, its caption, how to save it, and the command that makes the same. */

import { address, compute } from "./api.js";
import { announce, duration, h } from "./dom.js";

/**
 * @param {any} content
 * @param {{title: string, words?: any, png?: string|(() => any), json?: string|(() => any), command?: string, name?: string, id?: string}} told
 *   `png`, `json`: an address, or a function that gives the SVG element or the values
 */
export function figure(content, { title, words, png, json, command, name = "figure", id }) {
  return h(
    "figure",
    { id },
    h("figcaption", {}, h("h2", {}, title), words && h("p", {}, words)),
    h("div", { class: "shown" }, content),
    h(
      "div",
      { class: "save" },
      png && saving("PNG", png, `${name}.png`, (svg) => savePicture(svg, `${name}.png`)),
      json &&
        saving("JSON", json, `${name}.json`, (values) =>
          saveBlob(new Blob([JSON.stringify(values, null, 1)], { type: "application/json" }), `${name}.json`),
        ),
      command && copyable(command),
    ),
  );
}

function saving(label, source, file, save) {
  if (typeof source === "string")
    return h("a", { class: "button", href: address(source), download: file }, label);
  return h("button", { type: "button", onclick: () => save(source()) }, label);
}

/** A command line with a button that copies it. @param {string} command */
export function copyable(command) {
  const button = h("button", { type: "button", "aria-label": "Copy the command", onclick: copy }, "Copy");
  async function copy() {
    await write(command);
    button.textContent = "Copied";
    announce("copied");
    setTimeout(() => (button.textContent = "Copy"), 1500);
  }
  return h(
    "span",
    { class: "command" },
    h(
      "code",
      { tabindex: "0" },
      command.split(" ").flatMap((word, place) => [place > 0 && " ", h("span", {}, word)]),
    ),
    button,
  ); // a line ends between words only
}

/** The clipboard is there on this machine and over HTTPS only; elsewhere a selection is copied. */
async function write(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = h("textarea", { class: "unseen" });
  field.value = text;
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}

/** Words as one would type them in a shell. @param {...string} words */
export function command(...words) {
  return ["alexnet", ...words]
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`))
    .join(" ");
}

/** Save a drawing as PNG, twice its size, on the page's ground. */
async function savePicture(svg, name) {
  const copy = resolved(svg);
  const { width, height } = svg.getBoundingClientRect();
  copy.setAttribute("width", String(width));
  copy.setAttribute("height", String(height));
  const source = URL.createObjectURL(
    new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" }),
  );
  const image = new Image();
  image.src = source;
  await image.decode();
  const canvas = h("canvas", { width: 2 * width, height: 2 * height });
  const pen = canvas.getContext("2d");
  pen.fillStyle = getComputedStyle(document.body).backgroundColor;
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(source);
  canvas.toBlob((blob) => blob && saveBlob(blob, name));
}

const STYLES = [
  "fill",
  "stroke",
  "stroke-width",
  "stroke-dasharray",
  "stroke-opacity",
  "fill-opacity",
  "opacity",
  "font-family",
  "font-size",
  "font-weight",
  "font-style",
  "text-anchor",
];

/** A copy whose looks no longer depend on the page's style sheet. */
function resolved(svg) {
  const copy = svg.cloneNode(true);
  const [from, to] = [svg, copy].map((one) => [one, ...one.querySelectorAll("*")]);
  from.forEach((element, place) => {
    const style = getComputedStyle(element);
    for (const name of STYLES) to[place].setAttribute(name, style.getPropertyValue(name));
  });
  return copy;
}

function saveBlob(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/** A fault in the server's words. @param {any} error */
export function fault(error) {
  return h("p", { class: "fault", role: "alert" }, error.message ?? String(error));
}

/** A line that shows how far some computing is: its place in the queue, then how much is done and the time left. */
export function progressLine(what) {
  const words = h("span", {}, `${what} …`);
  const bar = h("progress", { max: "1", "aria-label": what });
  const element = h("p", { class: "progress" }, bar, words);
  const hear = {
    place: ({ before }) =>
      (words.textContent = before ? `${what}: ${before} before it in the queue` : `${what} …`),
    progress: ({ done, total, seconds_left }) => {
      bar.value = done / total;
      words.textContent = `${what}: ${done.toLocaleString("en-GB")} of ${total.toLocaleString("en-GB")}${seconds_left ? `, ${duration(seconds_left)} left` : ""}`;
    },
  };
  return { element, hear };
}

/**
 * A button that has something looked at, with visible progress, and then calls `made`.
 * @param {string} label @param {string[]} paths computed one after the other @param {AbortSignal} signal @param {() => void} made
 */
export function looking(label, words, paths, signal, made) {
  const place = h(
    "div",
    { class: "wanting" },
    h("p", {}, words),
    h("button", { type: "button", class: "primary", onclick: start }, label),
  );
  async function start() {
    try {
      for (const [what, path] of paths) {
        const line = progressLine(what);
        place.replaceChildren(line.element);
        await compute(path, line.hear, signal);
      }
      made();
    } catch (error) {
      if (!signal.aborted) place.replaceChildren(fault(error));
    }
  }
  return place;
}

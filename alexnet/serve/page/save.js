/** Saving drawings as PNG and values as JSON. */

import { address } from "./api.js";
import { h, s } from "./dom.js";

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
  "paint-order", // a stroke in the colour of the ground goes behind the letters
  "stroke-linejoin",
  "visibility",
];

/** @param {any} values @param {string} name of the file */
export function saveJson(values, name) {
  saveBlob(new Blob([JSON.stringify(values, null, 1)], { type: "application/json" }), name);
}

/**
 * Save a drawing at twice its size, on the page's background, in the page's font, with the name of its axis above it.
 * @param {SVGSVGElement} svg
 * @param {string} name of the file
 */
export async function savePicture(svg, name) {
  const { width, height } = svg.getBoundingClientRect();
  const copy = await selfContained(svg);
  copy.setAttribute("width", String(width));
  copy.setAttribute("height", String(height));
  const text = new XMLSerializer().serializeToString(copy);
  const source = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  const image = new Image();
  image.src = source;
  await image.decode();
  const axis = svg.previousElementSibling?.matches(".y-name") ? svg.previousElementSibling.textContent : null;
  const above = axis ? 20 : 0;
  const canvas = h("canvas", { width: 2 * width, height: 2 * (height + above) });
  const pen = canvas.getContext("2d");
  if (!pen) return;
  pen.fillStyle = getComputedStyle(document.body).backgroundColor;
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.scale(2, 2);
  drawUnder(pen, svg, above);
  pen.drawImage(image, 0, above, width, height);
  writeOver(pen, svg);
  if (axis) {
    const { color, fontFamily } = getComputedStyle(document.body);
    Object.assign(pen, { fillStyle: color, font: `12px ${fontFamily}` });
    pen.fillText(axis, 4, 14);
  }
  URL.revokeObjectURL(source);
  canvas.toBlob((blob) => blob && saveBlob(blob, name));
}

/**
 * What lies beside a drawing in its place: maps, a picture.
 * @param {CanvasRenderingContext2D} pen
 * @param {SVGSVGElement} svg
 * @param {number} above
 */
function drawUnder(pen, svg, above) {
  if (!svg.parentElement?.matches(".drawing")) return;
  const frame = svg.getBoundingClientRect();
  pen.imageSmoothingEnabled = false;
  for (const one of svg.parentElement.querySelectorAll("canvas, img, video")) {
    const { left, top, width, height } = one.getBoundingClientRect();
    const source = /** @type {HTMLCanvasElement} */ (one);
    pen.drawImage(source, left - frame.left, top - frame.top + above, width, height);
  }
  pen.imageSmoothingEnabled = true;
}

/**
 * The names that stand over a drawing of the network.
 * @param {CanvasRenderingContext2D} pen
 * @param {SVGSVGElement} svg
 */
function writeOver(pen, svg) {
  const frame = svg.getBoundingClientRect();
  for (const one of svg.parentElement?.querySelectorAll(".label strong, .label a span") ?? []) {
    const [{ left, top, height }, { color, font }] = [one.getBoundingClientRect(), getComputedStyle(one)];
    Object.assign(pen, { font, fillStyle: color, textBaseline: "middle" });
    pen.fillText(one.textContent ?? "", left - frame.left, top - frame.top + height / 2);
  }
  pen.textBaseline = "alphabetic";
}

/**
 * A copy whose styles no longer depend on the page's style sheet, which an image doesn't see.
 * @param {SVGSVGElement} svg
 */
async function selfContained(svg) {
  const copy = /** @type {SVGSVGElement} */ (svg.cloneNode(true));
  const [from, to] = [svg, copy].map((one) => [one, ...one.querySelectorAll("*")]);
  from.forEach((element, place) => {
    const style = getComputedStyle(element);
    for (const name of STYLES) to[place].setAttribute(name, style.getPropertyValue(name));
  });
  copy.prepend(s("style", {}, await fontFace()));
  return copy;
}

/** The page's font as a style, as an image loads nothing. */
async function fontFace() {
  const file = await (await fetch(address("page/source-sans-3.woff2"))).arrayBuffer();
  const letters = Array.from(new Uint8Array(file), (byte) => String.fromCharCode(byte)).join("");
  const source = `url(data:font/woff2;base64,${btoa(letters)}) format("woff2")`;
  return `@font-face{font-family:"Source Sans 3";font-weight:200 900;src:${source}}`;
}

/** @param {Blob} blob @param {string} name */
function saveBlob(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000); // not before the browser has read it
}

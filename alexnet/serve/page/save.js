/** Saving drawings as PNG and values as JSON. */

import { h } from "./dom.js";

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

/** @param {any} values @param {string} name of the file */
export function saveJson(values, name) {
  saveBlob(new Blob([JSON.stringify(values, null, 1)], { type: "application/json" }), name);
}

/**
 * Save a drawing at twice its size, on the page's background.
 * @param {SVGSVGElement} svg
 * @param {string} name of the file
 */
export async function savePicture(svg, name) {
  const copy = selfContained(svg);
  const { width, height } = svg.getBoundingClientRect();
  copy.setAttribute("width", String(width));
  copy.setAttribute("height", String(height));
  const text = new XMLSerializer().serializeToString(copy);
  const source = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  const image = new Image();
  image.src = source;
  await image.decode();
  const canvas = h("canvas", { width: 2 * width, height: 2 * height });
  const pen = canvas.getContext("2d");
  if (!pen) return;
  pen.fillStyle = getComputedStyle(document.body).backgroundColor;
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(source);
  canvas.toBlob((blob) => blob && saveBlob(blob, name));
}

/**
 * A copy whose styles no longer depend on the page's style sheet, which an image doesn't see.
 * @param {SVGSVGElement} svg
 */
function selfContained(svg) {
  const copy = /** @type {SVGSVGElement} */ (svg.cloneNode(true));
  const [from, to] = [svg, copy].map((one) => [one, ...one.querySelectorAll("*")]);
  from.forEach((element, place) => {
    const style = getComputedStyle(element);
    for (const name of STYLES) to[place].setAttribute(name, style.getPropertyValue(name));
  });
  return copy;
}

/** @param {Blob} blob @param {string} name */
function saveBlob(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000); // not before the browser has read it
}

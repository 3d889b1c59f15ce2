/** Making elements. Text is always set as text, never as HTML. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An HTML element.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} [properties] attributes; `on…` are listeners; null and false are left out
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/**
 * An SVG element; see `h`.
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} [properties]
 * @param {...Child} children
 * @returns {SVGElementTagNameMap[Tag]}
 */
export function s(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

/**
 * @template {Element} E
 * @param {E} element
 * @param {Record<string, any>} properties
 * @param {Child[]} children
 */
function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...nodes(children));
  return element;
}

/** @param {Child[]} children @returns {(Node|string)[]} */
function nodes(children) {
  return /** @type {any[]} */ (children)
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}

/**
 * A table that scrolls sideways where it is too wide. Cells of all columns but the first hold numbers.
 * @param {Child[]} heading
 * @param {Child[][]} rows
 * @param {string} [kind] a class
 */
export function table(heading, rows, kind) {
  const head = heading.map((cell, n) => h("th", { scope: "col", class: n > 0 && "number" }, cell));
  const body = rows.map(([first, ...rest]) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, first),
      rest.map((cell) => h("td", { class: "number" }, cell)),
    ),
  );
  const all = h("table", { class: kind }, h("thead", {}, h("tr", {}, head)), h("tbody", {}, body));
  return h("div", { class: "scroll", tabindex: "0" }, all);
}

/** A row of readings: name, value, remark. @param {[Child, string, string][]} readings @param {object} [properties] */
export function readings(readings, properties = {}) {
  return h("dl", { class: "readings", ...properties }, cards(readings));
}

/** @param {[Child, string, string][]} readings */
export function cards(readings) {
  return readings.map(([what, value, remark]) =>
    h("div", {}, h("dt", {}, what), h("dd", {}, h("strong", {}, value), h("small", {}, remark))),
  );
}

/** Tell it to those who don't see the page. @param {string} words */
export function announce(words) {
  const place = document.getElementById("announce");
  if (place) place.textContent = words;
}

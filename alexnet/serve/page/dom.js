/** Making elements. Text is always set as text, never as HTML. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An HTML element.
 * @param {string} tag
 * @param {Record<string, any>} [properties] attributes; `on…` are listeners; null and false are left out
 * @param {...(Node|string|number|null|undefined|false|Array<any>)} children
 * @returns {any}
 */
export function h(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** An SVG element; see `h`. @returns {any} */
export function s(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(
    ...children
      .flat(Infinity)
      .filter((child) => child !== null && child !== undefined && child !== false)
      .map(node),
  );
  return element;
}

function node(child) {
  return child instanceof Node ? child : document.createTextNode(String(child));
}

/** Say something to those who do not see the page. @param {string} words */
export function announce(words) {
  const place = document.getElementById("announce");
  if (place) place.textContent = words;
}

export const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)} %`;
export const whole = (number) => Number(number).toLocaleString("en-GB");
export const short = (number) =>
  number === 0
    ? "0"
    : Math.abs(number) >= 1e5 || Math.abs(number) < 0.01
      ? number.toExponential(1)
      : Math.abs(number) >= 1000
        ? whole(Math.round(number))
        : Number(number).toPrecision(3);

/** Seconds for people: 45 s, 3 min, 2 h 5 min. */
export function duration(seconds) {
  const total = Math.round(seconds);
  if (total < 60) return `${total} s`;
  if (total < 3600) return `${Math.floor(total / 60)} min ${total % 60} s`;
  return `${Math.floor(total / 3600)} h ${Math.floor((total % 3600) / 60)} min`;
}

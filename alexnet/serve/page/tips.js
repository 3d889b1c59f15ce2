/** Explanations: a word's meaning, a row's formula. They show on hover and on focus; Escape puts them away. */

import { h } from "./dom.js";

/** What the pages' special words mean. @type {Record<string, string>} */
const WORDS = {
  "[A]":
    "Krizhevsky, Sutskever, Hinton: ImageNet Classification with Deep Convolutional Neural Networks, NIPS 2012. " +
    "The network that this program trains is theirs.",
  "[Z]":
    "Zeiler, Fergus: Visualizing and Understanding Convolutional Networks, ECCV 2014. " +
    "The ways to look inside a network are theirs.",
  nll:
    "Negative log-likelihood: −ln of the probability that the network gives the right class, averaged over the " +
    "pictures. 0 is perfect; a network that guesses among K classes has ln K.",
  nats: "The unit of −ln p. A network that gives the right class e times less probability has 1 nat more.",
  column:
    "[A] spread the network over two GPUs. Each holds one column: half of every layer's maps. " +
    "The columns read each other only in some layers.",
  columns:
    "[A] spread the network over two GPUs. Each holds one column: half of every layer's maps. " +
    "The columns read each other only in some layers.",
  dead: "A unit is dead if no picture makes it positive: after the ReLU it is always 0 and says nothing.",
  "top-1 error": "The share of pictures whose most probable class is wrong.",
  "top-5 error": "The share of pictures whose right class is not among the five most probable.",
  logit: "A unit's value in the last layer, before the softmax turns all of them into probabilities.",
  logits: "The values of the last layer, before the softmax turns them into probabilities.",
};

const SHOWN_FOR = 150; // milliseconds after the pointer has left, so that it can reach the explanation
const tip = h("div", { id: "tip", role: "tooltip", hidden: true });
/** @type {Element|null} what is explained */
let explained = null;
let leaving = 0;

/** @param {Element} element @param {Child} content */
function show(element, content) {
  clearTimeout(leaving);
  if (explained !== element) hide();
  explained = element;
  tip.replaceChildren(...h("div", {}, content).childNodes);
  tip.hidden = false;
  if (!tip.isConnected) document.body.append(tip);
  element.setAttribute("aria-describedby", "tip");
  const [box, own] = [element.getBoundingClientRect(), tip.getBoundingClientRect()];
  const right = document.documentElement.clientWidth - own.width - 8;
  const under = box.bottom + own.height + 10 < innerHeight || box.top < own.height + 10;
  tip.style.left = `${Math.max(8, Math.min(right, box.left + box.width / 2 - own.width / 2))}px`;
  tip.style.top = `${under ? box.bottom + 6 : box.top - own.height - 6}px`;
}

function hide() {
  clearTimeout(leaving);
  explained?.removeAttribute("aria-describedby");
  explained = null;
  tip.hidden = true;
}

const hideSoon = () => {
  clearTimeout(leaving);
  leaving = setTimeout(hide, SHOWN_FOR);
};

tip.addEventListener("pointerenter", () => clearTimeout(leaving));
tip.addEventListener("pointerleave", hideSoon);
addEventListener("keydown", (event) => event.key === "Escape" && hide());
addEventListener("scroll", hide, { passive: true, capture: true });
addEventListener("popstate", hide);

/**
 * Explain an element, which must be reachable by Tab, while the pointer or the focus is on it.
 * @template {Element} E
 * @param {E} element
 * @param {Child|(() => Child)} content
 */
export function explain(element, content) {
  const open = () => show(element, typeof content === "function" ? content() : content);
  for (const event of ["pointerenter", "focus", "click"]) element.addEventListener(event, open);
  element.addEventListener("pointerleave", hideSoon);
  element.addEventListener("blur", hide);
  return element;
}

/** A word with its explanation. @param {string} word @param {string} [meaning] for words that only one page has */
export function term(word, meaning = WORDS[word]) {
  return explain(h("button", { type: "button", class: "term" }, word), [h("strong", {}, word), " ", meaning]);
}

const KNOWN = new RegExp(
  Object.keys(WORDS)
    .sort((a, b) => b.length - a.length)
    .map((word) => (/^\w/.test(word) ? `\\b${word}\\b` : word.replace(/[[\]]/g, "\\$&")))
    .join("|"),
);

/** A text in which each special word, where it stands first, is explained. @param {string} text @returns {Child[]} */
export function terms(text) {
  const seen = new Set();
  /** @type {Child[]} */
  const found = [];
  let rest = text;
  for (let match = KNOWN.exec(rest); match; match = KNOWN.exec(rest)) {
    found.push(rest.slice(0, match.index), seen.has(match[0]) ? match[0] : term(match[0]));
    seen.add(match[0]);
    rest = rest.slice(match.index + match[0].length);
  }
  return [...found, rest];
}

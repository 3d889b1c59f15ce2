/** Choosing one of several. */

import { h } from "./dom.js";

/**
 * A labelled select. A choice by pointer counts at once; one by the keyboard with Enter or when the focus leaves, since
 * browsers change a closed select at every press of an arrow key.
 * @param {string} label
 * @param {[value: string, words: string][]} options
 * @param {string} value the one that is chosen
 * @param {(value: string) => void} chosen
 * @param {Record<string, any>} [properties] of the select
 */
export function picker(label, options, value, chosen, properties = {}) {
  const items = options.map(([one, words]) => h("option", { value: one, selected: one === value }, words));
  const select = h("select", properties, items);
  const hint = h("small", { hidden: true, "aria-live": "polite" }, "Enter to choose");
  let byKey = false;
  let known = value;

  function commit() {
    hint.hidden = true;
    if (select.value === known) return;
    known = select.value;
    chosen(known);
  }

  select.addEventListener("pointerdown", () => (byKey = false));
  select.addEventListener("blur", commit);
  select.addEventListener("change", () => (byKey ? (hint.hidden = select.value === known) : commit()));
  select.addEventListener("keydown", (event) => {
    byKey = event.key !== "Tab";
    if (event.key === "Enter" && select.value !== known) {
      event.preventDefault();
      commit();
    }
    if (event.key === "Escape") {
      select.value = known;
      hint.hidden = true;
    }
  });
  return h("label", { class: "picker" }, `${label} `, select, " ", hint);
}

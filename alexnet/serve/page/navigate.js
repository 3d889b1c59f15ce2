/** Going to another page without loading everything again. `main.js` listens. */

/** @param {string} href relative to the page's base */
export function go(href) {
  history.pushState(null, "", new URL(href, document.baseURI));
  scrollTo(0, 0);
  dispatchEvent(new PopStateEvent("popstate"));
}

/** Make the page again, from new data, without moving the reader. */
export function reload() {
  dispatchEvent(new Event("renew"));
}

/**
 * Note a small choice (a unit, a method, a tab) in the address, so that reload, Back and a copied link find it again;
 * no new entry in the history. A value of null takes the name out.
 * @param {Record<string, string|number|null>} choice
 */
export function note(choice) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(choice)) {
    if (value === null) query.delete(name);
    else query.set(name, String(value));
  }
  const text = query.toString();
  history.replaceState(history.state, "", `${location.pathname}${text && `?${text}`}`);
}

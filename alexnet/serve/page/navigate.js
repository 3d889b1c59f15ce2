/** Going to another page without loading everything again. */

/** @param {string} href relative to the page's base */
export function go(href) {
  history.pushState(null, "", new URL(href, document.baseURI));
  scrollTo(0, 0);
  reload();
}

/** Make the page again, from new data. `main.js` listens. */
export function reload() {
  dispatchEvent(new PopStateEvent("popstate"));
}

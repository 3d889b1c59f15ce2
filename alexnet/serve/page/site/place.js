/**
 * Where the page is in a static copy: the part after # of the copy's one document stands for the address. The page's
 * modules get this `location` for the browser's, and links are made to work without them too.
 */

const BASE = document.baseURI;
const OWN = window.location.href.split("#")[0];
const DOCUMENT = "index.html";

/** The address that stands for a page, after the base. @param {string|URL} url */
function inside(url) {
  const rest = new URL(url, BASE).href.slice(BASE.length);
  return rest.startsWith(`${DOCUMENT}#`) ? rest.slice(DOCUMENT.length + 1) : rest.replace(/^#/, "");
}

/** The real address of a page. @param {string|URL} url */
export const real = (url) => `${OWN}#${inside(url)}`;

const now = () => new URL(window.location.hash.slice(1), BASE);

export const location = {
  get href() {
    return now().href;
  },
  set href(url) {
    window.location.href = real(url);
  },
  get pathname() {
    return now().pathname;
  },
  get search() {
    return now().search;
  },
  get hash() {
    return now().hash;
  },
  get origin() {
    return window.location.origin;
  },
  get protocol() {
    return window.location.protocol;
  },
  get hostname() {
    return window.location.hostname;
  },
  reload: () => window.location.reload(),
  assign: (/** @type {string} */ url) => window.location.assign(real(url)),
  replace: (/** @type {string} */ url) => window.location.replace(real(url)),
  toString: () => now().href,
};

// Pages go on by `history`, which takes their addresses for the real ones.
for (const name of /** @type {const} */ (["pushState", "replaceState"])) {
  const own = history[name].bind(history);
  history[name] = (state, title, url) => own(state, title, url == null ? url : real(url));
}

/**
 * A link to a page, as one can open it in another tab or copy it; links to what only a server has are hidden.
 * @param {Element} link
 */
export function mendLink(link) {
  const written = link.getAttribute("href") ?? "";
  const url = new URL(written, BASE).href;
  if (written.startsWith("#") || !url.startsWith(BASE)) return;
  const rest = url.slice(BASE.length);
  if (rest.startsWith("api/")) link.setAttribute("hidden", "");
  else if (!rest.startsWith(`${DOCUMENT}#`)) link.setAttribute("href", `${DOCUMENT}#${rest}`);
}

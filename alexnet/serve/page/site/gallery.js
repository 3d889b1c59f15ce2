/** The gallery of errors in a static copy: pages of the pictures that fit, of a list of all, as pages/errors.py. */

/** @typedef {Record<string, any>} Answers */

const PATH = /^api\/sides\/(\w+)\/errors\/pictures\?/;

/**
 * The answer for a page of pictures; undefined for any other address.
 * @param {string} key
 * @param {Answers|undefined} answers of the scope
 * @param {string[]} classes
 */
export function galleryPage(key, answers, classes) {
  const side = PATH.exec(key)?.[1];
  if (!side || !answers) return undefined;
  const query = new URLSearchParams(key.split("?")[1]);
  const pages = listed(answers, side, query.get("order") ?? "store");
  if (!pages.length) return undefined;
  const all = pages.flatMap((page) => page.pictures);
  const chosen = all.filter((picture) => fits(picture, query, classes));
  const size = Math.max(1, pages[0].pictures.length);
  const page = Number(query.get("page") ?? 0);
  return {
    total: chosen.length,
    of: all.length,
    page,
    pages: Math.max(1, Math.ceil(chosen.length / size)),
    pictures: chosen.slice(page * size, (page + 1) * size),
  };
}

/** The pages of all pictures. @param {Answers} answers @param {string} side @param {string} order */
function listed(answers, side, order) {
  /** @type {any[]} */
  const pages = [];
  for (;;) {
    const found = answers[`api/sides/${side}/errors/pictures?order=${order}&page=${pages.length}`];
    if (!found) return pages;
    pages.push(found);
  }
}

/** @param {any} picture @param {URLSearchParams} query @param {string[]} classes */
function fits({ file, true: label, answered }, query, classes) {
  const differs = (/** @type {string} */ name, /** @type {any} */ value) =>
    Boolean(query.get(name)) && query.get(name) !== String(value);
  if (differs("true", label) || differs("answered", answered)) return false;
  if (differs("right", label === answered) || differs("marked", false)) return false;
  const words = (query.get("search") ?? "").trim().toLowerCase();
  return [classes[label], file].some((one) => one.toLowerCase().includes(words));
}

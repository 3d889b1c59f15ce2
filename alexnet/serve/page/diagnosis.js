/** Filters and dead units of networks side by side, as in [Z] §4.1 and Fig. 6. */

import { table } from "./dom.js";
import { figure } from "./figure.js";
import { percent, whole } from "./text.js";

/** @typedef {NonNullable<Compared["filters"]>} Filters */

/** @type {[string, (filters: Filters) => string][]} */
const FILTERS = [
  ["first-layer filters", (filters) => `${filters.filters} of ${filters.size}×${filters.size}`],
  ["hardly any weights", (filters) => String(filters.dead)],
  ["largest RMS / median", (filters) => filters.dominance.toFixed(1)],
  ["very low frequencies", (filters) => percent(filters.mean_share.very_low, 0)],
  ["very high frequencies", (filters) => percent(filters.mean_share.very_high, 0)],
  ["aliased", (filters) => percent(filters.mean_share.aliased, 0)],
];

/** @param {Compared[]} pages @param {string|undefined} command */
export function diagnosis(pages, command) {
  const layers = [...new Set(pages.flatMap((page) => Object.keys(page.dead ?? {})))];
  const rows = [
    ["network", ...pages.map((page) => page.network)],
    ...FILTERS.map(([what, of]) => [what, ...pages.map(({ filters }) => (filters ? of(filters) : "–"))]),
    ...layers.map((layer) => [`dead units, ${layer}`, ...pages.map((page) => deadUnits(page, layer))]),
  ];
  const unknown = pages.filter((page) => !page.dead).map((page) => page.name);
  const missing =
    unknown.length > 0 &&
    ` Not analysed yet for ${unknown.join(" and ")}: open the units of it with alexnet serve.`;
  return figure(table(["measure", ...pages.map((page) => page.name)], rows), {
    title: "Filters and dead units",
    words: ["As in [Z] §4.1 and Fig. 6. A dead unit is one that no picture activates.", missing],
    png: `api/filters.png?left=${pages[0].side}&right=${pages[pages.length - 1].side}`,
    json: () => pages,
    command,
    name: "filters",
  });
}

/** @param {Compared} page @param {string} layer */
function deadUnits({ dead, maps }, layer) {
  return dead && maps && layer in dead ? `${dead[layer]} of ${whole(maps[layer])}` : "–";
}

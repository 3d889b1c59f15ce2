/** First-layer kernels, the columns apart. */

import { address } from "./api.js";
import { h } from "./dom.js";
import { command, figure } from "./figure.js";

/** @param {string} side @param {any} run a side's home @param {string} version @param {string} [title] */
export function kernels(side, run, version, title = "First-layer kernels") {
  const first = run.network.layers[0],
    columns = run.network.columns;
  if (first.row !== "Conv") return null;
  const blocks = Array.from({ length: columns }, (_, column) =>
    h(
      "div",
      { class: `kernels c${column}` },
      columns > 1 && h("p", { class: "column-name" }, `Column ${column + 1}`),
      h("img", {
        src: address(`api/sides/${side}/kernels/${column}.png?v=${version}`),
        loading: "lazy",
        alt: `${first.maps / columns} kernels of ${first.kernel}×${first.kernel} in colour, column ${column + 1}`,
      }),
    ),
  );
  return figure(blocks, {
    title,
    words: `${first.maps} kernels of ${first.kernel}×${first.kernel}×3, as in [A] Fig. 3. Each is scaled by its own largest weight; mid-grey is a weight of zero.`,
    png: `api/filters.png?left=${side}&right=${side}`,
    json: `api/sides/${side}/kernels`,
    command: command("see", "filters", run.commands.run),
    name: `${run.name}-kernels`,
  });
}

/** First-layer kernels, a block for each column. */

import { address } from "./api.js";
import { h } from "./dom.js";
import { command, figure } from "./figure.js";

/** @param {Home} home @param {string} [title] */
export function kernels(home, title = "First-layer kernels") {
  const { side, network, version } = home;
  const [first, columns] = [network.layers[0], network.columns];
  if (first.row !== "Conv") return null;
  const size = `${first.kernel}×${first.kernel}`;
  const blocks = Array.from({ length: columns }, (_, column) =>
    h(
      "div",
      { class: `kernels c${column}` },
      columns > 1 && h("p", { class: "column-name" }, `Column ${column + 1}`),
      h("img", {
        src: address(`api/sides/${side}/kernels/${column}.png?v=${version}`),
        loading: "lazy",
        alt: `${first.maps / columns} kernels of ${size} in colour, column ${column + 1}`,
      }),
    ),
  );
  return figure(blocks, {
    title,
    words:
      `${first.maps} kernels of ${size}×3, as in [A] Fig. 3. ` +
      "Each is scaled by its own largest weight; mid-grey is a weight of zero.",
    png: `api/filters.png?left=${side}&right=${side}`,
    json: `api/sides/${side}/kernels`,
    command: command("see", "filters", home.commands.run),
    name: `${home.name}-kernels`,
  });
}

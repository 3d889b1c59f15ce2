/** A map of one unit whose pixels lead to the page that follows their numbers. */

import { address } from "./api.js";
import { followQuery } from "./chosen.js";
import { h } from "./dom.js";
import { go } from "./navigate.js";

/**
 * @param {Looked} looked
 * @param {string} layer
 * @param {number} unit
 * @param {number} side of the map
 */
export function pixels(looked, layer, unit, side) {
  const image = h("img", {
    class: "pixel-map",
    width: 224,
    height: 224,
    src: address(`${looked.api}/maps/${layer}/${unit}.png`),
    alt: `${layer} · ${unit}: click a pixel to follow its number`,
    title: "click a pixel to follow its number",
    onclick: (/** @type {MouseEvent} */ { offsetX, offsetY }) => {
      const cell = (/** @type {number} */ offset, /** @type {number} */ length) =>
        Math.max(0, Math.min(side - 1, Math.floor((offset / length) * side)));
      const at = [cell(offsetY, image.clientHeight), cell(offsetX, image.clientWidth)];
      go(followQuery(looked, layer, unit, ...at));
    },
  });
  return image;
}

/** Occlusion ([Z] Fig. 7): what changes when a grey square covers part of a picture. */

import { heatmaps } from "./heatmaps.js";
import { h } from "./dom.js";
import { command, download, figure } from "./figure.js";
import { computed } from "./progress.js";

/** @param {Looked} looked */
export function occlusion({ run, api, signal }) {
  const shown = h("div", { class: "pair" });
  const place = h("div", {}, shown);
  const files = [
    download("PNG", `${api}/occlusion.png`, "occlusion.png"),
    " ",
    download("JSON", `${api}/occlusion.json`, "occlusion.json"),
  ];
  const saves = h("span", { hidden: true }, files);
  /** @type {ReturnType<typeof heatmaps>|null} */
  let maps = null;
  computed(place, "Occlusion", `${api}/occlusion`, signal, {
    part: (/** @type {OcclusionPart} */ part) => {
      maps ??= heatmaps(part, api, shown);
      maps.put(part);
    },
    done: (/** @type {Occluded} */ whole) => {
      maps?.finish(whole);
      saves.hidden = false;
    },
  });
  return figure(place, {
    id: "occlusion",
    title: "What the prediction depends on",
    words:
      "A grey square slides over the picture, coarse steps first ([Z] Fig. 7). The darker a place, the lower " +
      "the value when the square covers it; the scales are those of the saved figure.",
    saves,
    command: command("see", "occlusion", run.commands.run, "PICTURE"),
  });
}

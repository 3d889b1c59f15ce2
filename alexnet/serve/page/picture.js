/** What there is to know about a picture, below the living network: made when it comes into sight. */

import { h } from "./dom.js";
import { invariance } from "./invariance.js";
import { neighbours } from "./neighbours.js";
import { occlusion } from "./occlusion.js";

/** @param {Looked} looked */
export function pictureSections(looked) {
  return [occlusion, neighbours, invariance].map((make) => inSight(() => make(looked), looked.signal));
}

/**
 * A place for what takes a computation, which begins when a reader comes near.
 * @param {() => Child} make
 * @param {AbortSignal} signal
 */
function inSight(make, signal) {
  const place = h("div", { class: "in-sight" });
  const observer = new IntersectionObserver(
    (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      place.append(...h("div", {}, make()).childNodes);
    },
    { rootMargin: "200px" },
  );
  observer.observe(place);
  signal.addEventListener("abort", () => observer.disconnect());
  return place;
}

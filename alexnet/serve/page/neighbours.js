/** The nearest training pictures, as in [A] Fig. 4. */

import { address, compute } from "./api.js";
import { pictureQuery, prepared } from "./chosen.js";
import { h } from "./dom.js";
import { fault } from "./figure.js";
import { passButton } from "./progress.js";
import { short, whole } from "./text.js";

/** @param {Looked} looked */
export function neighbours({ run, api, signal }) {
  const count = run.store?.splits.train;
  if (!count) return null;
  const place = h("div", {});

  async function ask() {
    place.replaceChildren();
    try {
      /** @type {Neighbour[]} */
      const found = await compute(`${api}/neighbours`, {}, signal);
      place.replaceChildren(h("ol", { class: "pictures" }, found.map(neighbour)));
    } catch (error) {
      if (signal.aborted) return;
      const missing = error instanceof Error && /not been analysed/.test(error.message);
      place.replaceChildren(missing ? analyse() : fault(error));
    }
  }

  function analyse() {
    const words =
      `All ${whole(count ?? 0)} training pictures have to pass through the network once; ` +
      "their features are kept in the run folder.";
    /** @type {[string, string][]} */
    const passes = [["Training pictures", "api/sides/own/passes/neighbours"]];
    return passButton("Analyse the training pictures", words, passes, signal, ask);
  }

  ask();
  const words = "By Euclidean distance of the last hidden layer's values, as in [A] Fig. 4.";
  const title = h("h2", {}, "Nearest training pictures");
  return h("section", { id: "neighbours" }, title, h("p", { class: "soft" }, words), place);
}

/** @param {Neighbour} neighbour */
function neighbour({ picture, class: name, distance }) {
  const src = address(`api/store/train/${picture}.jpg`);
  const image = h("img", { src, loading: "lazy", width: 128, height: 128, alt: name });
  const words = h("span", {}, name, " ", h("small", {}, short(distance)));
  return h("li", {}, h("a", { href: `picture?${pictureQuery(prepared("train", picture))}` }, image), words);
}

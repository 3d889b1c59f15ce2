/** A picture: what the network predicts, which units it activates, what the prediction depends on. */

import { address } from "./api.js";
import { activations } from "./activations.js";
import { probabilities } from "./bars.js";
import { chooser } from "./choose.js";
import { chosenPicture } from "./chosen.js";
import { announce, h } from "./dom.js";
import { command, figure } from "./figure.js";
import { invariance } from "./invariance.js";
import { go } from "./navigate.js";
import { neighbours } from "./neighbours.js";
import { occlusion } from "./occlusion.js";
import { computed } from "./progress.js";
import { percent } from "./text.js";

/** @param {Page} page @returns {Promise<Shown>} */
export async function show(page) {
  const looked = await chosenPicture(page);
  const figures =
    looked && [prediction, occlusion, activations, neighbours, invariance].map((make) => make(looked));
  const lead =
    "Drop a picture anywhere on this page, paste one, or choose. It is held in memory; nothing is written.";
  const heading = [h("h1", {}, "A picture"), h("p", { class: "lead" }, lead)];
  const look = (/** @type {string} */ query) => go(`picture?${query}`);
  const content = h("article", {}, heading, chooser(page.run, look, page.signal), figures);
  return { title: looked?.name ?? "A picture", content };
}

/** @param {Looked} looked */
function prediction({ run, upload, name, api, signal }) {
  const place = h("div", { class: "answers" });
  /** @type {Map<number, Prediction>} */
  const found = new Map(); // by the number of views
  const put = (/** @type {Prediction} */ one) => {
    found.set(one.views, one);
    place.replaceChildren(...[...found.values()].map(predicted));
  };
  computed(place, "Prediction", `${api}/prediction`, signal, {
    part: put,
    done: (/** @type {Prediction} */ one) => {
      put(one);
      announce(`${one.labels[0].class}, ${percent(one.labels[0].probability, 0)}`);
    },
  });
  const view = h("img", {
    class: "view",
    src: address(`${api}/view.jpg`),
    alt: `What the network sees of ${name}`,
  });
  const notes =
    upload.notes.length > 0 && h("p", { class: "soft" }, `About the file: ${upload.notes.join("; ")}.`);
  const size = `${upload.width} × ${upload.height} pixels`;
  return figure(h("div", { class: "answered" }, view, place), {
    title: name,
    words: [`The centre view of a picture of ${size}; the five most probable classes. `, notes],
    json: () => [...found.values()],
    command: command("predict", run.commands.run, "PICTURE"),
    name: "prediction",
    id: "answer",
  });
}

/** @param {Prediction} prediction */
function predicted({ views, labels }) {
  const title = h("h3", {}, views === 1 ? "Centre view" : "Ten views");
  return h("div", { class: "answer", "data-views": views }, title, probabilities(labels));
}

/**
 * The living network: a picture, a drawing or the camera at the left, its maps on the boxes of the network, the answer
 * at the right. Live frames are dropped, never queued: the next one is taken once the last was answered.
 */

import { address, get, post } from "./api.js";
import { rowPanel } from "./activations.js";
import { answerBars, probabilities } from "./bars.js";
import { chooser } from "./choose.js";
import { announce, h } from "./dom.js";
import { command, copyable, fault, saving } from "./figure.js";
import { note } from "./navigate.js";
import { NetworkDrawing, shownRows } from "./network.js";
import { computed } from "./progress.js";
import { saveJson, savePicture } from "./save.js";
import { percent } from "./text.js";
import { terms } from "./tips.js";

const WAIT = 400; // milliseconds after a frame that was not answered

/**
 * @param {Page} page
 * @param {(query: string) => void} look is called with the part of an address that names a picture
 * @param {() => void} began is called when live frames take the place of the picture
 * @param {() => void} ended is called to have the picture back
 */
export function living({ run, query, signal }, look, began, ended) {
  const { network } = run;
  const bars = answerBars();
  const heading = h("h2", {}, "…");
  const about = h("div", { class: "about" });
  const others = h("div", { class: "others" });
  const rate = h("p", { class: "rate", "aria-live": "off" });
  const drawing = new NetworkDrawing(network, choose, signal);
  const panel = rowPanel(run);
  /** Aborted when another picture, or another source, is looked at. */
  let leaving = new AbortController();
  /** @type {Looked|null} the still picture */
  let still = null;
  /** @type {Glance|null} */
  let glance = null;
  let live = false;

  /** @param {string} row */
  function choose(row) {
    note({ row, unit: null, method: null });
    drawing.show(row);
    panel.show(row, still, glance, live);
  }

  /** @param {Glance} found */
  function put(found) {
    glance = found;
    drawing.paint(found);
    bars.show(found.labels);
  }

  function leave() {
    leaving.abort();
    leaving = new AbortController();
    live = false;
    rate.textContent = "";
    return AbortSignal.any([leaving.signal, signal]);
  }

  /** Look at a picture. @param {Looked} looked @param {string} query */
  async function show(looked, query) {
    const own = leave();
    still = { ...looked, signal: own };
    drawing.query = query;
    const { upload, name } = looked;
    drawing.picture.replaceChildren(recordImage(looked, network));
    heading.textContent = name;
    about.replaceChildren(...aboutPicture(looked));
    others.replaceChildren();
    panel.show(drawing.chosen, null, null, false);
    try {
      put(await get(`${looked.api}/glance`, own));
      if (own.aborted || !glance) return;
      const [best] = glance.labels;
      announce(`${best.class}, ${percent(best.probability, 0)}`);
      about.append(
        ...verdict(upload, best),
        h("p", {}, h("a", { href: `why?${query}` }, "Why this answer?")),
      );
      panel.show(drawing.chosen, still, glance, live);
    } catch (error) {
      if (!own.aborted) about.append(fault(error));
    }
    tenViews(still, others);
  }

  const stage = {
    /** @param {HTMLElement} source @param {() => Promise<Blob>} take @param {() => Promise<void>} next */
    live(source, take, next) {
      const own = leave();
      live = true;
      began();
      drawing.query = "";
      drawing.picture.replaceChildren(source);
      heading.textContent = source instanceof HTMLVideoElement ? "What the camera sees" : "Your drawing";
      about.replaceChildren();
      others.replaceChildren();
      answerFrames(take, next, own);
    },
    /** @param {Blob} file @param {string} name */
    preview(file, name) {
      leave();
      const image = h("img", { src: URL.createObjectURL(file), alt: name });
      image.addEventListener("load", () => URL.revokeObjectURL(image.src));
      drawing.picture.replaceChildren(image);
      heading.textContent = name;
    },
    still() {
      if (!live) return;
      leave();
      ended();
    },
  };

  /** @param {() => Promise<Blob>} take @param {() => Promise<void>} next @param {AbortSignal} own */
  async function answerFrames(take, next, own) {
    let [answers, since] = [0, performance.now()];
    while (!own.aborted) {
      await next();
      if (own.aborted) return;
      try {
        const rows = drawing.rows.join(",");
        put(await post(`api/sides/own/frame?rows=${encodeURIComponent(rows)}`, await take(), own));
        panel.refresh(glance);
        about.replaceChildren();
      } catch (error) {
        if (own.aborted) return;
        about.replaceChildren(fault(error));
        await new Promise((resolve) => setTimeout(resolve, WAIT));
      }
      answers++;
      const seconds = (performance.now() - since) / 1000;
      if (seconds < 1) continue;
      rate.textContent = `${(answers / seconds).toFixed(0)} answers a second`;
      [answers, since] = [0, performance.now()];
    }
  }

  const crossing = network.columns > 1 ? " Where lines cross, the columns read each other." : "";
  const words =
    "As in [A] Fig. 2, but not to scale: a box for each layer and column. On it: the map that this picture excites " +
    `most, darkest where it is strongest. Choose a row below a layer to see it.${crossing}`;
  const element = h(
    "section",
    { id: "network", class: "living" },
    chooser(run, look, signal, stage),
    h(
      "div",
      { class: "flow" },
      drawing.element,
      h(
        "div",
        { id: "answer" },
        heading,
        about,
        h("div", { class: "answer", "data-views": 1 }, bars.element),
        rate,
        others,
      ),
    ),
    panel.element,
    h("p", { class: "soft" }, terms(words)),
    h(
      "div",
      { class: "save" },
      saving("PNG", () => drawing.svg, `${run.name}-network.png`, savePicture),
      saving("JSON", () => ({ network, glance }), `${run.name}-network.json`, saveJson),
      copyable(run.commands.nets),
    ),
  );
  const first = query.get("row") ?? shownRows(network)[0];
  drawing.show(first);
  panel.show(first, null, null, false);
  return { element, show };
}

/** The picture as the network takes it: the middle of its record. @param {Looked} looked @param {Network} network */
function recordImage({ upload, name }, { record, input }) {
  const image = h("img", {
    class: "record",
    src: address(`api/pictures/${encodeURIComponent(upload.id)}/record.jpg`),
    alt: `What the network sees of ${name}`,
  });
  const around = `${(-50 * (record - input)) / input}%`;
  image.style.inset = around;
  image.style.width = image.style.height = `${(100 * record) / input}%`;
  return image;
}

/** @param {Looked} looked */
function aboutPicture({ upload }) {
  const size = upload.class ? "a prepared picture" : `of ${upload.width} × ${upload.height} pixels`;
  return [
    h("p", { class: "soft" }, size),
    ...upload.notes.map((words) => h("p", { class: "soft" }, `About the file: ${words}.`)),
  ];
}

/** Whether the answer is the label of a prepared picture. @param {Upload} upload @param {Label} best */
function verdict({ class: label }, best) {
  if (!label) return [];
  const right = label === best.class;
  const words = right ? "✓ right" : `✗ wrong: its label is ${label}`;
  return [h("p", { class: right ? "right" : "wrong" }, words)];
}

/** The answer averaged over ten views ([A] §4.1). @param {Looked} looked @param {HTMLElement} place */
function tenViews({ run, api, signal }, place) {
  computed(place, "Ten views", `${api}/prediction`, signal, {
    done: (/** @type {Prediction} */ { views, labels }) => {
      const same = copyable(command("predict", run.commands.run, "PICTURE"));
      const title = h("div", { class: "titled" }, h("h3", {}, "Mean of ten views"), same);
      place.replaceChildren(h("div", { class: "answer", "data-views": views }, title, probabilities(labels)));
    },
  });
}

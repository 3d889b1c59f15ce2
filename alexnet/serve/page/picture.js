/** A picture: what the network answers, which units it excites, what the answer hangs on. */

import { address, compute, post } from "./api.js";
import { bars, curves } from "./chart.js";
import { announce, h, percent, short } from "./dom.js";
import { command, copyable, fault, figure, looking, progressLine } from "./figure.js";
import { chooser } from "./choose.js";

/** @param {{run: any, signal: AbortSignal, query: URLSearchParams}} told */
export async function show({ run, signal, query }) {
  const place = h("div", { id: "looked" });
  let looking_ = new AbortController();
  signal.addEventListener("abort", () => looking_.abort());

  /** @param {any} held as /api/pictures tells of it @param {string} name */
  function look(held, name) {
    looking_.abort();
    looking_ = new AbortController();
    place.replaceChildren(...looks(run, held, name, looking_.signal));
    place.scrollIntoView({ block: "nearest" });
  }

  const content = h(
    "article",
    {},
    h("h1", {}, "A picture"),
    h(
      "p",
      { class: "lead" },
      "Drop a picture anywhere on this page, paste one, or choose. It is looked at here, in memory; nothing is written.",
    ),
    chooser(run, look, signal),
    place,
  );
  const chosen = /^(\w+):(\d+)$/.exec(query.get("store") ?? "");
  if (chosen)
    post(`api/store/${chosen[1]}/${chosen[2]}`, null, signal).then(
      (held) => look(held, `${held.class}, ${chosen[1]} ${chosen[2]}`),
      (error) => place.replaceChildren(fault(error)),
    );
  return { title: "A picture", content, ways: {} };
}

function looks(run, held, name, signal) {
  const api = `api/sides/own/pictures/${held.id}`,
    told = { run, held, name, api, signal };
  return [answer(told), occlusion(told), layers(told), neighbours(told), invariance(told)];
}

/** Fill a place with what comes of a computation. */
async function filled(place, what, path, signal, { part = () => {}, done }) {
  const line = progressLine(what);
  place.append(line.element);
  try {
    const found = await compute(path, { ...line.hear, part }, signal);
    line.element.remove();
    done(found);
  } catch (error) {
    if (!signal.aborted) line.element.replaceWith(fault(error));
  }
}

// ── the answer ───────────────────────────────────────────────────────────────────────────────────────────────────

function answer({ run, held, name, api, signal }) {
  const place = h("div", { class: "answers" });
  let found = {};
  const put = (one) => {
    found[one.views] = one;
    place.replaceChildren(
      ...Object.values(found).map(({ views, labels }) =>
        h(
          "div",
          { class: "answer", "data-views": views },
          h("h3", {}, views === 1 ? "Centre view" : "Ten views"),
          bars(labels),
        ),
      ),
    );
    if (views_(one)) announce(`${one.labels[0].class}, ${percent(one.labels[0].probability, 0)}`);
  };
  const views_ = (one) => one.views === 10;
  filled(place, "Answer", `${api}/prediction`, signal, { part: put, done: put });
  const notes =
    held.notes.length > 0 && h("p", { class: "soft" }, `About the file: ${held.notes.join("; ")}.`);
  return figure(
    h(
      "div",
      { class: "answered" },
      h("img", { class: "view", src: address(`${api}/view.jpg`), alt: `What the network sees of ${name}` }),
      place,
    ),
    {
      title: name,
      words: [
        `The centre view of a picture of ${held.width} × ${held.height} pixels; the five most probable classes. `,
        notes,
      ],
      json: () => found,
      command: command("predict", run.commands.run, "PICTURE"),
      name: "answer",
      id: "answer",
    },
  );
}

// ── layers ───────────────────────────────────────────────────────────────────────────────────────────────────────

function layers(told) {
  const place = h("div", { class: "rows" });
  filled(place, "Layers", `${told.api}/layers`, told.signal, {
    done: (found) => place.replaceChildren(...grouped(told, found)),
  });
  return h(
    "section",
    { id: "layers" },
    h("h2", {}, "Layer by layer"),
    h(
      "p",
      { class: "soft" },
      "The units that answer most, and all maps on one scale. Choose a unit to see what in the picture excites it.",
    ),
    place,
  );
}

/** A row for each layer with weights; what follows it until the next is folded below. */
function grouped(told, found) {
  const weighted = new Set(told.run.network.layers.map((layer) => layer.name));
  const groups = [];
  for (const layer of found) {
    if (weighted.has(layer.name) || !groups.length) groups.push([layer]);
    else groups.at(-1).push(layer);
  }
  return groups.map(([layer, ...then]) =>
    h(
      "div",
      { class: "row" },
      ...row(told, layer),
      then.length > 0 &&
        folded(`then ${then.map((one) => one.name).join(", ")}`, () =>
          then.map((one) => h("div", { class: "then" }, row(told, one))),
        ),
    ),
  );
}

/** Content that is made when it is opened first. */
function folded(words, make) {
  const details = h("details", {}, h("summary", {}, words));
  details.addEventListener(
    "toggle",
    () => details.open && details.children.length === 1 && details.append(...[make()].flat()),
  );
  return details;
}

function row(told, layer) {
  const projection = h("div", { class: "projected", "aria-live": "polite" });
  const units = layer.strongest.map(({ unit, value }) =>
    h(
      "button",
      {
        type: "button",
        class: `map c${Math.floor((unit * layer.columns) / layer.maps)}`,
        "aria-label": `${layer.name} unit ${unit}, ${short(value)}: project it`,
        onclick: () => project(told, layer, unit, projection),
      },
      layer.side > 1 &&
        h("img", {
          src: address(`${told.api}/maps/${layer.name}/${unit}.png`),
          loading: "lazy",
          width: 56,
          height: 56,
          alt: "",
        }),
      h("span", {}, unitName(told.run, layer, unit), h("small", {}, short(value))),
    ),
  );
  const path = `${told.api}/maps/${layer.name}.png`;
  const which = () =>
    h(
      "label",
      {},
      "Project unit ",
      h("input", {
        type: "number",
        min: 0,
        max: layer.maps - 1,
        onchange: ({ target }) =>
          target.value !== "" &&
          target.checkValidity() &&
          project(told, layer, Number(target.value), projection),
      }),
    );
  const sheet = () => [
    h("img", {
      class: "maps",
      src: address(path),
      alt: `All ${layer.maps} maps of ${layer.name}`,
      onclick: (event) => project(told, layer, unitAt(event, layer), projection),
    }),
    h(
      "p",
      { class: "save" },
      h("a", { class: "button", href: address(path), download: `${layer.name}.png` }, "PNG"),
      which(),
    ),
  ];
  return [
    h(
      "h3",
      {},
      layer.name,
      h(
        "small",
        {},
        layer.side > 1 ? `${layer.maps} × ${layer.side} × ${layer.side}` : `${layer.maps}`,
        `, ${percent(layer.active, 0)} answer`,
      ),
    ),
    h("div", { class: "strongest" }, units),
    projection,
    folded(`all ${layer.maps} ${layer.side > 1 ? "maps" : "units"}`, sheet),
  ];
}

const unitName = (run, layer, unit) =>
  layer.name === run.network.layers.at(-1).name ? run.classes[unit] : unit;

/** Which map of the sheet was clicked. */
function unitAt(event, layer) {
  const image = event.target,
    rows = Math.ceil(layer.maps / layer.per_row),
    per_row = Math.min(layer.per_row, layer.maps);
  const column = Math.floor((event.offsetX / image.clientWidth) * per_row),
    line = Math.floor((event.offsetY / image.clientHeight) * rows);
  return Math.min(layer.maps - 1, line * layer.per_row + column);
}

function project({ run, api, signal }, layer, unit, place) {
  const method = h(
    "select",
    { "aria-label": "Method", onchange: draw },
    ["deconvnet", "guided", "gradient"].map((one) => h("option", {}, one)),
  );
  const image = h("img", { width: 224, height: 224, alt: `What excites ${layer.name} ${unit}` });
  const below = h("img", { width: 224, height: 224, src: address(`${api}/view.jpg`), alt: "The picture" });
  const save = h("a", { class: "button", download: `${layer.name}-${unit}.png` }, "PNG");
  const same = h("div", {});
  function draw() {
    const path = `${api}/projection/${layer.name}/${unit}.png?method=${method.value}`;
    image.src = address(path);
    save.href = address(`${path}&figure=true`);
    same.replaceChildren(
      copyable(
        command(
          "see",
          "project",
          run.commands.run,
          "PICTURE",
          "--layer",
          layer.name,
          "--channels",
          String(unit),
          ...(method.value === "deconvnet" ? [] : ["--method", method.value]),
        ),
      ),
    );
  }
  draw();
  const weighted = run.network.layers.some((one) => one.name === layer.name);
  place.replaceChildren(
    h("div", { class: "pair" }, image, below),
    h(
      "p",
      {},
      weighted
        ? h("a", { href: `layer/${layer.name}/unit/${unit}` }, `${layer.name} · ${unit}`)
        : `${layer.name} · ${unit}`,
      " by ",
      method,
      " ",
      save,
    ),
    same,
  );
  if (signal.aborted) place.replaceChildren();
}

// ── occlusion ────────────────────────────────────────────────────────────────────────────────────────────────────

function occlusion({ run, api, signal }) {
  const place = h("div", { class: "occlusion" }),
    shown = h("div", { class: "pair" });
  let maps = null;
  filled(place, "Grey square", `${api}/occlusion`, signal, {
    part: (part) => {
      maps ??= heatmaps(part, api, shown);
      maps.put(part);
    },
    done: () => {
      maps?.readWeakest();
      saves.hidden = false;
    },
  });
  place.prepend(shown);
  const saves = h(
    "span",
    { hidden: true },
    h("a", { class: "button", href: address(`${api}/occlusion.png`), download: "occlusion.png" }, "PNG"),
    " ",
    h("a", { class: "button", href: address(`${api}/occlusion.json`), download: "occlusion.json" }, "JSON"),
  );
  return h(
    "figure",
    { id: "occlusion" },
    h(
      "figcaption",
      {},
      h("h2", {}, "What the answer hangs on"),
      h(
        "p",
        {},
        "A grey square slides over the picture, coarse steps first ([Z] Fig. 7). Where the map is dark, covering the place hurts.",
      ),
    ),
    h("div", { class: "shown" }, place),
    h("div", { class: "save" }, saves, copyable(command("see", "occlusion", run.commands.run, "PICTURE"))),
  );
}

/** Two maps over the picture that fill as places come in. */
function heatmaps(first, api, shown) {
  const count = first.corners.length,
    words = h("p", { class: "read" });
  const one = (title, values, top) => {
    const canvas = h("canvas", { width: count, height: count, role: "img", "aria-label": title });
    const least = () => Math.min(...values.flat().filter((value) => value !== null)),
      most = () => top ?? Math.max(...values.flat().filter((value) => value !== null));
    const inset = `${(50 * (first.square - first.corners[1])) / size}%`; // a place fills the room to its neighbours
    canvas.style.inset = inset;
    canvas.style.width = canvas.style.height = `calc(100% - 2 * ${inset})`;
    const picture = h("img", { src: address(`${api}/view.jpg`), alt: "" });
    return {
      canvas,
      values,
      least,
      most,
      element: h("div", { class: "heat" }, h("p", {}, title), h("div", { class: "over" }, picture, canvas)),
    };
  };
  const empty = () => Array.from({ length: count }, () => Array(count).fill(null));
  const predicted = empty(),
    size = first.corners.at(-1) + first.square;
  const probability = one(
    `probability of ${first.class}: ${percent(first.clean)} uncovered`,
    empty(),
    Math.max(first.clean, 0.001),
  );
  const total = one(
    `total of ${first.watched.layer} · ${first.watched.channel}, the map that answers most`,
    empty(),
  );
  shown.replaceChildren(probability.element, total.element, words);
  probability.canvas.addEventListener("pointermove", (event) => {
    const at = (length, offset) => Math.min(count - 1, Math.max(0, Math.floor((offset / length) * count)));
    const row = at(probability.canvas.clientHeight, event.offsetY),
      column = at(probability.canvas.clientWidth, event.offsetX);
    read(row, column, "Here");
  });
  function read(row, column, where) {
    if (predicted[row][column])
      words.textContent = `${where}: ${first.class} ${percent(probability.values[row][column])}, most probable ${predicted[row][column]}. Point at the left map to read it elsewhere.`;
  }
  function paint({ canvas, values, least, most }) {
    const pen = canvas.getContext("2d"),
      low = least(),
      high = most();
    for (let row = 0; row < count; row++)
      for (let column = 0; column < count; column++) {
        const value = nearest(values, row, column);
        if (value === null) continue;
        pen.fillStyle = colour((value - low) / (high - low || 1));
        pen.fillRect(column, row, 1, 1);
      }
  }
  function nearest(values, row, column) {
    for (const step of [1, 2, 4]) {
      const value = values[row - (row % step)]?.[column - (column % step)];
      if (value !== null && value !== undefined) return value;
    }
    return null;
  }
  return {
    readWeakest() {
      const place = probability.values.flat().indexOf(probability.least());
      read(Math.floor(place / count), place % count, "Where it is weakest");
    },
    put(part) {
      part.rows.forEach((row, n) => {
        const column = part.columns[n];
        probability.values[row][column] = part.probability[n];
        total.values[row][column] = part.total[n];
        predicted[row][column] = part.most_probable[n];
      });
      paint(probability);
      paint(total);
    },
  };
}

const VIRIDIS = [
  [68, 1, 84],
  [59, 82, 139],
  [33, 145, 140],
  [94, 201, 98],
  [253, 231, 37],
];

function colour(share) {
  const place = Math.max(0, Math.min(0.9999, share)) * (VIRIDIS.length - 1),
    from = Math.floor(place),
    part = place - from;
  return `rgb(${VIRIDIS[from].map((value, n) => Math.round(value + part * (VIRIDIS[from + 1][n] - value))).join(" ")})`;
}

// ── neighbours ───────────────────────────────────────────────────────────────────────────────────────────────────

function neighbours({ run, api, signal }) {
  const place = h("div", {});
  const section = h(
    "section",
    { id: "neighbours" },
    h("h2", {}, "Nearest training pictures"),
    h("p", { class: "soft" }, "By Euclidean distance of the last hidden layer's values, as in [A] Fig. 4."),
    place,
  );
  if (!run.store?.parts.train) return null;
  const draw = (found) =>
    place.replaceChildren(
      h(
        "ol",
        { class: "pictures" },
        found.map((one) =>
          h(
            "li",
            {},
            h(
              "a",
              { href: `picture?store=train:${one.picture}` },
              h("img", {
                src: address(`api/store/train/${one.picture}.jpg`),
                loading: "lazy",
                width: 128,
                height: 128,
                alt: one.class,
              }),
            ),
            h("span", {}, one.class, " ", h("small", {}, short(one.distance))),
          ),
        ),
      ),
    );
  const ask = () => compute(`${api}/neighbours`, {}, signal).then(draw);
  ask().catch((error) => {
    if (signal.aborted) return;
    if (!/not been analysed/.test(error.message)) place.replaceChildren(fault(error));
    else
      place.replaceChildren(
        looking(
          "Look at the training pictures",
          `All ${run.store.parts.train.toLocaleString("en-GB")} training pictures have to be looked at once; what the network makes of them is kept.`,
          [["Training pictures", "api/sides/own/passes/neighbours"]],
          signal,
          () => {
            place.replaceChildren();
            ask();
          },
        ),
      );
  });
  return section;
}

// ── invariance ───────────────────────────────────────────────────────────────────────────────────────────────────

const MOVES = { translation: "Shift", scale: "Scale", rotation: "Turn" };

function invariance({ run, api, signal }) {
  const place = h("div", {});
  const start = h("button", { type: "button", class: "primary", onclick: look }, "Shift, scale and turn it");
  place.append(start);
  function look() {
    start.remove();
    filled(place, "Moved pictures", `${api}/invariance`, signal, {
      done: (found) => place.replaceChildren(moving(found, api)),
    });
  }
  return figure(place, {
    title: "What if it moved?",
    words:
      "The picture shifted, enlarged and turned ([Z] Fig. 5): how the probabilities move, and how far the features of the first and the last hidden layer go.",
    command: command("see", "invariance", run.commands.run, "PICTURE"),
    name: "invariance",
    id: "invariance",
  });
}

function moving(found, api) {
  const shown = h("div", {});
  const tabs = h(
    "div",
    { class: "tabs", role: "group", "aria-label": "Transformation" },
    found.curves.map((one) =>
      h(
        "button",
        { type: "button", "aria-pressed": "false", onclick: (event) => choose(one, event.currentTarget) },
        MOVES[one.kind],
      ),
    ),
  );
  function choose(one, button) {
    for (const other of tabs.children) other.setAttribute("aria-pressed", String(other === button));
    shown.replaceChildren(moved(one, found, api));
  }
  choose(found.curves[0], tabs.firstChild);
  return h(
    "div",
    {},
    tabs,
    shown,
    h(
      "div",
      { class: "save" },
      h("a", { class: "button", href: address(`${api}/invariance.png`), download: "invariance.png" }, "PNG"),
      " ",
      h("button", { type: "button", onclick: () => saveJson(found) }, "JSON"),
    ),
  );
}

function saveJson(found) {
  const link = h("a", {
    href: URL.createObjectURL(new Blob([JSON.stringify(found, null, 1)], { type: "application/json" })),
    download: "invariance.json",
  });
  link.click();
}

function moved(one, found, api) {
  const still = one.kind === "scale" ? 0 : one.amounts.indexOf(0),
    last = one.amounts.length - 1;
  const image = h("img", { class: "view", width: 224, height: 224, alt: "The moved picture" });
  const answers = h("div", {}),
    words = h("output", {});
  const range = h("input", {
    type: "range",
    min: 0,
    max: last,
    value: still,
    step: 1,
    "aria-label": MOVES[one.kind],
    oninput: () => set(Number(range.value)),
  });
  const colours = one.classes.slice(0, 3);
  const chart = curves({
    x: one.amounts,
    xName: one.unit,
    yName: "probability",
    low: 0,
    high: 1,
    format: (value) => percent(value, 0),
    lines: colours.map((line) => ({ name: line.class, y: line.probability })),
    picked: (place) => set(place),
  });
  const distance = curves({
    x: one.amounts,
    xName: one.unit,
    yName: "distance of features, relative",
    low: 0,
    lines: found.layers.map((layer) => ({ name: layer, y: one.distances[layer] })),
  });
  function set(place) {
    range.value = String(place);
    image.src = address(`${api}/invariance/${one.kind}/${place}.jpg`);
    words.textContent = `${one.amounts[place].toFixed(one.kind === "scale" ? 2 : 0)} ${one.unit}`;
    range.setAttribute("aria-valuetext", words.textContent);
    answers.replaceChildren(
      bars(
        one.classes
          .map((line) => ({ class: line.class, probability: line.probability[place] }))
          .sort((a, b) => b.probability - a.probability),
      ),
    );
  }
  set(still);
  return h(
    "div",
    { class: "moved" },
    h("div", {}, image, h("label", {}, range, words), answers),
    h("div", {}, chart, distance),
  );
}

/** A unit: what excites it, what it is joined to, how it formed. */

import { address, get } from "./api.js";
import { histogram, spectrum } from "./chart.js";
import { h, percent, short, whole } from "./dom.js";
import { command, copyable, figure, looking } from "./figure.js";
import { layerNav, wanting } from "./layer.js";

/** @param {{run: any, words: string[], signal: AbortSignal}} told */
export async function show({ run, words: [name, number], signal }) {
  const unit = await get(`api/sides/own/layers/${name}/units/${number}`, signal);
  const { layer } = unit,
    here = `layer/${name}/unit/`,
    last = layer.maps - 1;
  const before = unit.unit > 0 ? here + (unit.unit - 1) : null,
    after = unit.unit < last ? here + (unit.unit + 1) : null;
  const api = `api/sides/own/layers/${name}/units/${unit.unit}`;
  const content = h(
    "article",
    { class: `unit c${unit.column}` },
    layerNav(
      run.network.layers.map((one) => one.name),
      name,
    ),
    h(
      "h1",
      {},
      h("a", { href: `layer/${name}` }, name),
      " · ",
      unit.unit,
      unit.class && h("small", {}, unit.class),
      " ",
      steps(before, after),
    ),
    h("p", { class: "lead" }, lead(unit)),
    unit.strongest ? strongest(run, unit, api) : wanting(run, signal),
    h(
      "div",
      { class: "plates" },
      unit.histogram && activations(run, unit),
      unit.strongest && !unit.histogram && spreadWanting(signal),
      unit.filters && filters(run, unit, api),
    ),
    run.store && evolution(run, unit, api, signal),
    connections(unit),
    run.store &&
      h(
        "section",
        { class: "commands" },
        h("h2", {}, "This page on the command line"),
        copyable(
          command(
            "see",
            "top",
            run.commands.run,
            run.store.path,
            "--layers",
            name,
            "--channels",
            String(unit.unit),
          ),
        ),
      ),
  );
  return {
    title: `${name} · ${unit.unit}`,
    content,
    ways: { left: before, right: after, up: `layer/${name}` },
  };
}

function steps(before, after) {
  const step = (href, sign, words) =>
    href
      ? h("a", { href, "aria-label": words, class: "step" }, sign)
      : h("span", { class: "step", "aria-hidden": "true" }, sign);
  return h(
    "span",
    { class: "steps" },
    step(before, "←", "The unit before"),
    step(after, "→", "The next unit"),
  );
}

function lead({ layer, column, histogram: answers }) {
  const where = layer.columns > 1 ? `In column ${column + 1} of ${layer.columns}. ` : "";
  const sees = `It sees ${layer.sees} × ${layer.sees} pixels of the picture. `;
  return (
    where +
    sees +
    (answers ? `It answers ${percent(answers.active, 0)} of ${whole(answers.pictures)} pictures.` : "")
  );
}

// ── what excites it ──────────────────────────────────────────────────────────────────────────────────────────────

function strongest(run, unit, api) {
  if (!unit.strongest.length) return h("p", { class: "wanting" }, "No picture excites this unit.");
  const tiles = unit.strongest.map((one) =>
    h(
      "li",
      {},
      h(
        "a",
        {
          href: `picture?store=${run.store.part}:${one.picture}`,
          "aria-label": `Picture ${one.picture}, ${one.class}, activation ${short(one.value)}: look at it`,
        },
        h("img", {
          src: address(`${api}/strongest/${one.rank}/projection.png?v=${run.version}`),
          loading: "lazy",
          width: 96,
          height: 96,
          alt: "",
        }),
        h("img", {
          src: address(`${api}/strongest/${one.rank}/patch.png?v=${run.version}`),
          loading: "lazy",
          width: 96,
          height: 96,
          alt: "",
        }),
      ),
      h("span", { class: "what" }, one.class),
      h("span", { class: "value" }, short(one.value)),
    ),
  );
  return figure(h("ol", { class: "portraits" }, tiles), {
    title: "What excites it most",
    words:
      "The nine strongest pictures, as in [Z] Fig. 2: below, the patch that the unit saw; above, the unit projected down to the pixels by the deconvnet. Choose one to look at the whole picture.",
    png: `${api}/top.png`,
    json: () => unit.strongest,
    command: command(
      "see",
      "top",
      run.commands.run,
      run.store.path,
      "--layers",
      unit.layer.name,
      "--channels",
      String(unit.unit),
    ),
    name: `${run.name}-${unit.layer.name}-${unit.unit}`,
  });
}

function activations(run, unit) {
  const drawn = histogram({ ...unit.histogram, xName: "largest activation in a picture", yName: "pictures" });
  return figure(drawn, {
    title: "How often it answers",
    words: "Before the non-linearity: at 0 or below the unit is silent.",
    png: () => drawn.querySelector("svg"),
    json: () => unit.histogram,
    command: command(
      "see",
      "activations",
      run.commands.run,
      run.store.path,
      "--layers",
      unit.layer.name,
      "--channels",
      String(unit.unit),
    ),
    name: `${run.name}-${unit.layer.name}-${unit.unit}-activations`,
  });
}

function spreadWanting(signal) {
  return looking(
    "Look at its activations",
    "How often this unit answers was not looked at yet.",
    [["Activations", "api/sides/own/passes/spread"]],
    signal,
    again,
  );
}

async function again() {
  (await import("./main.js")).go(location.href);
}

function filters(run, unit, api) {
  const first = unit.inputs?.layer === "picture";
  return figure(
    h("img", {
      class: first ? "filter" : "filters",
      src: address(`${api}/filters.png?v=${run.version}`),
      loading: "lazy",
      alt: `Filters of ${unit.layer.name} ${unit.unit}`,
    }),
    {
      title: first ? "Its kernel" : "Its filters",
      words: first
        ? "In colour, scaled by its largest weight."
        : `One for each map of ${unit.inputs.layer}; the strongest first, white the largest positive weight.`,
      png: `${api}/filters.png`,
      json: () => unit.inputs,
      name: `${run.name}-${unit.layer.name}-${unit.unit}-filters`,
    },
  );
}

// ── how it formed ────────────────────────────────────────────────────────────────────────────────────────────────

function evolution(run, unit, api, signal) {
  if (unit.snapshots.length < 2) return null;
  const told = {
    title: "How it formed",
    words: "The picture that excited it most after each kept epoch, as in [Z] Fig. 4.",
    png: unit.evolution ? `${api}/evolution.png` : undefined,
    json: unit.evolution ? () => unit.evolution : undefined,
    command: command(
      "see",
      "evolution",
      run.commands.run,
      run.store.path,
      "--layers",
      unit.layer.name,
      "--channels",
      String(unit.unit),
      "--split",
      run.store.part,
    ),
    name: `${run.name}-${unit.layer.name}-${unit.unit}-evolution`,
    id: "evolution",
  };
  if (unit.evolution?.length) return figure(slider(run, unit, api), told);
  const count = run.store.parts[run.store.part] * unit.snapshots.length;
  return figure(
    looking(
      "Look at the snapshots",
      `One pass over the pictures for each of ${unit.snapshots.length} snapshots (${whole(count)} looks) shows it for every unit, and is kept.`,
      [["Snapshots", "api/sides/own/passes/evolution"]],
      signal,
      again,
    ),
    told,
  );
}

function slider(run, unit, api) {
  const found = unit.evolution,
    words = h("output", {}),
    last = found.length - 1;
  const image = (shown) => h("img", { width: 192, height: 192, alt: shown });
  const projection = image("projection"),
    patch = image("patch");
  const range = h("input", {
    type: "range",
    min: 0,
    max: last,
    value: last,
    step: 1,
    "aria-label": "Epoch",
    list: "epochs",
    oninput: move,
  });
  function move() {
    const place = Number(range.value),
      one = found[place];
    projection.src = address(`${api}/evolution/${place}/projection.png?v=${run.version}`);
    patch.src = address(`${api}/evolution/${place}/patch.png?v=${run.version}`);
    words.textContent = `epoch ${one.epoch}: ${one.class}, ${short(one.value)}`;
    range.setAttribute("aria-valuetext", words.textContent);
  }
  move();
  return h(
    "div",
    { class: "slider" },
    h("div", { class: "pair" }, projection, patch),
    h("label", {}, range, words),
    h(
      "ol",
      { class: "stops", "aria-hidden": "true" },
      found.map((one) => h("li", {}, one.epoch)),
    ),
  );
}

// ── what it is joined to ─────────────────────────────────────────────────────────────────────────────────────────

function connections(unit) {
  const both = [joined(unit, unit.inputs, "Inputs from"), joined(unit, unit.outputs, "Outputs to")].filter(
    Boolean,
  );
  if (!both.length) return null;
  return h(
    "section",
    { class: "connections" },
    h("h2", {}, "Connections"),
    h(
      "p",
      { class: "soft" },
      "A bar for each channel: the length of the weights between the two. The strongest are links.",
    ),
    both,
  );
}

function joined(unit, found, words) {
  if (!found) return null;
  const { layer } = unit,
    picture = found.layer === "picture";
  const names = picture ? ["red", "green", "blue"] : null;
  return h(
    "div",
    {},
    h("h3", {}, `${words} `, picture ? "the picture" : h("a", { href: `layer/${found.layer}` }, found.layer)),
    !picture &&
      spectrum(
        found.strengths,
        found.strongest,
        layer.columns,
        `Strengths of ${found.strengths.length} connections`,
      ),
    h(
      "ul",
      { class: "joined" },
      found.strongest.map((other) =>
        h(
          "li",
          {},
          names
            ? names[other]
            : h("a", { href: `layer/${found.layer}/unit/${other}` }, `${found.layer} · ${other}`),
          " ",
          h("small", {}, short(found.strengths[other])),
        ),
      ),
    ),
  );
}

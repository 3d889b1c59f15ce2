// What the JSON API responds with, and what modules pass to one another, for the type checker. Not sent to browsers.

type Child = Node | string | number | false | null | undefined | Child[];

interface Page {
  run: Run;
  /** The variable parts of the page's address. */
  words: string[];
  query: URLSearchParams;
  /** Aborted when the page is left. */
  signal: AbortSignal;
}

interface Shown {
  title: string;
  content: Node;
  /** Where the arrow keys and "u" lead. */
  ways?: Ways;
}

interface Ways {
  left?: string;
  right?: string;
  up?: string;
}

interface Progressed {
  done: number;
  total: number;
  seconds_left: number | null;
  /** Of a computation in several steps. */
  step?: string;
}

interface Listeners {
  place?: (place: { before: number }) => void;
  progress?: (progress: Progressed) => void;
  part?: (part: any) => void;
}

// ── runs ────────────────────────────────────────────────────────────────────────────────────────

interface Home {
  side: string;
  name: string;
  version: string;
  network: Network;
  classes: string[];
  pictures: Record<string, number>;
  weights: boolean;
  snapshots: number[];
  state: State;
  recipe: Record<string, string>;
  commands: { train: string; nets: string; run: string };
}

interface Run extends Home {
  sides: string[];
  store: Store | null;
  /** Whether people may collect classes and train on them. */
  teaches: boolean;
}

interface Store {
  path: string;
  split: string;
  splits: Record<string, number>;
  /** Numbers of the pictures that are offered first. */
  offered: number[];
}

interface Network {
  name: string;
  about: string;
  columns: number;
  input: number;
  /** The side of a record, which the centre view of `input` pixels is cut from. */
  record: number;
  layers: Layer[];
  rows: Row[];
}

interface Shape {
  name: string;
  row: string;
  kind: string;
  maps: number;
  side: number;
  entering: { maps: number; side: number };
  columns: number;
}

/** Any row of the table, with the constants of its formula. */
interface Row extends Shape {
  constants: Record<string, any>;
}

interface Layer extends Shape {
  kernel: number | null;
  reads: number[][];
  parameters: number;
  macs: number;
  sees: number;
  every: number;
}

interface State {
  word: "finished" | "training" | "stopped";
  epochs: number;
  planned: number | null;
  seconds_of_epoch: number | null;
  seconds_left: number | null;
  pictures_per_second: number | null;
  last: string;
  val: { nll: number; top1_error: number; top5_error: number; when: string } | null;
}

type Epoch = { epoch: number; pictures_per_second: number } & Record<string, number | null>;

interface RunHistory {
  epochs: Epoch[];
  notes: string[];
  state: State;
}

/** The position of a training inside its epoch. */
interface Position {
  epoch: number;
  batch: number;
  batches: number;
  loss: number;
  top1_error: number;
  speed: number;
  seconds_left: number;
}

// ── layers and units ────────────────────────────────────────────────────────────────────────────

interface LayerPage extends Layer {
  known: boolean;
  pictures: number | null;
  strongest: number[] | null;
  dead: number[] | null;
  rectified: boolean;
  active: number[] | null;
  classes: string[] | null;
}

interface Ranked {
  rank: number;
  value: number;
  picture: number;
  class: string;
}

interface Connections {
  layer: string;
  /** Whether each is one weight, not the sum of a filter's. */
  single: boolean;
  sums: number[];
  for: number[];
  against: number[];
  /** Of the last layer's classes. */
  names: string[] | null;
}

interface UnitPage {
  layer: Layer;
  unit: number;
  column: number;
  class: string | null;
  /** Whether a ReLU follows, so that 0 and below is silence. */
  rectified: boolean;
  filters: boolean;
  inputs: Connections | null;
  outputs: Connections | null;
  strongest: Ranked[] | null;
  negative: Ranked[] | null;
  histogram: { edges: number[]; counts: number[]; active: number; pictures: number } | null;
  evolution: ({ epoch: number } & Ranked)[] | null;
  part: { part: string; iou: number; random: number; pictures: number; least_iou: number } | null;
  /** The activation of the picture that was made for it. */
  optimised: number | null;
  snapshots: number[];
}

// ── pictures ────────────────────────────────────────────────────────────────────────────────────

/** A picture that the explorer holds in memory. */
interface Upload {
  id: string;
  notes: string[];
  width: number;
  height: number;
  /** Of a prepared picture. */
  class: string | null;
}

/** A picture being looked at: `api` is the address of what a network makes of it. */
interface Looked {
  run: Run;
  upload: Upload;
  name: string;
  api: string;
  signal: AbortSignal;
}

interface Label {
  class: string;
  probability: number;
}

interface Prediction {
  views: number;
  labels: Label[];
}

/** What a network makes of a picture, small enough for every frame of a camera. */
interface Glance {
  labels: Label[];
  rows: Record<string, RowGlance>;
}

/** Bytes in base64: 0 stands for `low`, 255 for `high`. */
interface RowGlance {
  low: number;
  high: number;
  active: number;
  /** Of each column. */
  strongest: StrongMap[][];
  /** Of all units of a dense layer. */
  values?: string;
}

interface StrongMap {
  unit: number;
  value: number;
  side?: number;
  values?: string;
}

interface Activations {
  name: string;
  maps: number;
  side: number;
  columns: number;
  per_row: number;
  active: number;
  strongest: { unit: number; value: number }[];
}

interface OcclusionPart {
  step: number;
  corners: number[];
  square: number;
  /** The level of the square, 0 to 255. */
  grey: number;
  class: string;
  /** Without the square. */
  clean: { probability: number; total: number };
  /** What the ends of the colours stand for. */
  scales: { probability: [number, number]; total: [number, number] };
  watched: { layer: string; channel: number };
  rows: number[];
  columns: number[];
  probability: number[];
  total: number[];
  most_probable: string[];
}

/** All of an occlusion map, after its last part. */
interface Occluded {
  /** Whether the probability hardly changes, so that the logit says more. */
  saturated: boolean;
  logit: number[][];
  scales: OcclusionPart["scales"] & { logit: [number, number] };
  clean: { logit: number };
}

interface InvarianceCurve {
  kind: "translation" | "scale" | "rotation";
  unit: string;
  amounts: number[];
  distances: Record<string, number[]>;
  classes: { class: string; probability: number[] }[];
}

interface Invariance {
  class: string;
  layers: string[];
  curves: InvarianceCurve[];
}

interface Neighbour {
  picture: number;
  class: string;
  distance: number;
}

// ── comparisons ─────────────────────────────────────────────────────────────────────────────────

interface Compared {
  side: string;
  name: string;
  version: string;
  network: string;
  columns: number;
  filters: {
    filters: number;
    size: number;
    dead: number;
    dominance: number;
    mean_share: Record<string, number>;
  } | null;
  dead: Record<string, number> | null;
  maps: Record<string, number> | null;
  evaluation: Evaluation | null;
}

interface Evaluation {
  per_class: ClassErrors[];
  results: Counts[];
  trained_on?: {
    pictures: number;
    of: number;
    results_on_the_others: Counts[];
  } | null;
}

interface Counts {
  views?: number;
  pictures: number;
  top1_errors: number;
}

interface ClassErrors extends Counts {
  id: string;
  class: string;
}

// What the browser's network makes of records, for test_browser_network.py: `node engine.mjs FOLDER PAGE`.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, page] = process.argv.slice(2);
const module = (name) => import(pathToFileURL(join(page, "site", name)));
const { Network } = await module("engine.js");
const { recordOf } = await module("resample.js");
const bytes = (name) => Uint8Array.from(readFileSync(join(folder, name)));

for (const { name, kind, ...task } of JSON.parse(readFileSync(join(folder, "tasks.json")))) {
  if (kind === "resample") {
    const { width, height, size, resample } = task;
    writeFileSync(join(folder, `${name}.out`), recordOf({ data: bytes(`${name}.in`), width, height }, size, resample));
  } else {
    const network = new Network(JSON.parse(readFileSync(join(folder, `${name}.json`))), bytes(`${name}.weights`).buffer);
    const maps = network.activations(network.view(bytes(`${name}.in`)));
    const logits = [...maps.values()].at(-1);
    const all = [...maps.values(), new Float32Array(network.probabilities(logits))];
    writeFileSync(join(folder, `${name}.out`), Buffer.concat(all.map((one) => Buffer.from(one.buffer))));
  }
}

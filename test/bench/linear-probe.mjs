/**
 * @file A linear classifier on the frozen features that stage 1 is trained on: `node test/bench/linear-probe.mjs
 * RECIPE.yaml SEEDS PYTHON OUT`. Averages each utterance's features over time and passes them to linear_probe.py with
 * the exact train, dev and test sets of every seed and fold. Writes each seed's predictions of all folds to
 * OUT/seed-N.csv, for `emoq eval --predictions`.
 */

import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decodeHalf } from '../../dist/engine/tensor/index.js';
import { loadRecipe } from '../../dist/recipe/index.js';
import { openFeatures } from '../../dist/training/experiment.js';
import { loadCorpus } from '../../dist/training/index.js';

const [recipePath, seedList, python, out] = process.argv.slice(2);
if (out === undefined) throw new Error('usage: linear-probe.mjs RECIPE.yaml SEEDS PYTHON OUT');

const seeds = seedList.split(',').map(Number);
const PARTS = ['train', 'dev', 'test'];
const recipe = await loadRecipe({ path: recipePath });
const { manifest } = await loadCorpus(recipe, 1, []);
const folds = new Set(manifest.utterances.map(({ session }) => session)).size;

const utterances = new Map();
const splits = [];
for (const seed of seeds) {
  for (let fold = 1; fold <= folds; fold++) {
    const corpus = await loadCorpus({ ...recipe, seed }, fold, []);
    for (const utterance of PARTS.flatMap((part) => corpus[part])) utterances.set(utterance.id, utterance);
    const ids = PARTS.map((part) => [part, corpus[part].map(({ id }) => id)]);
    splits.push({ seed, fold, ...Object.fromEntries(ids) });
  }
}

const cacheDir = process.env.EMOQ_CACHE ?? '.cache/features';
const features = await openFeatures(recipe, [...utterances.values()], { device: { kind: 'cpu' }, cacheDir });
const examples = {};
for (const { id, label } of utterances.values()) {
  examples[id] = { label: recipe.labels.indexOf(label), mean: meanOverTime(await features.read({ id })) };
}
mkdirSync(out, { recursive: true });
const { status } = spawnSync(python, [fileURLToPath(new URL('./linear_probe.py', import.meta.url)), out], {
  input: JSON.stringify({ labels: recipe.labels, examples, splits }),
  stdio: ['pipe', 'inherit', 'inherit'],
});
if (status !== 0) process.exit(1);
console.log(seeds.map((seed) => join(out, `seed-${seed}.csv`)).join('\n'));

/** [frames, width] in float16 -> [width] */
function meanOverTime({ words, frames }) {
  const values = decodeHalf(words);
  const width = values.length / frames;
  return Array.from({ length: width }, (_, channel) => {
    let total = 0;
    for (let frame = 0; frame < frames; frame++) total += values[frame * width + channel];
    return total / frames;
  });
}

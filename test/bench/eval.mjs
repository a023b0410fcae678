/**
 * @file Times the confidence intervals of a test set the size of all of MELD: 13,708 utterances, 10,000 resamples, on
 * one core. Prints its figures: `node test/bench/eval.mjs`.
 */

import { seededRandom } from '../../dist/engine/tensor/index.js';
import { bootstrapIntervals } from '../../dist/evaluation/index.js';
import { pairedBootstrap } from '../../dist/evaluation/statistics/significance.js';
import { medianOf } from './timing.mjs';

const UTTERANCES = 13_708;
const RUNS = 3;
const settings = { resamples: 10_000, seed: 1, unit: 'utterance' };
const labels = ['neutral', 'joy', 'surprise', 'anger', 'sadness', 'disgust', 'fear'];

const random = seededRandom(1, 'eval bench');
const references = Array.from({ length: UTTERANCES }, () => random.pick(labels));
const system = (accuracy) =>
  references.map((reference) => ({
    reference,
    label: random.uniform() < accuracy ? reference : random.pick(labels),
  }));
const [first, second] = [system(0.6), system(0.62)];
const utterances = references.map((_, index) => String(index));
const speakers = references.map(() => String(random.integer(300)));

console.log(`${UTTERANCES} utterances, 7 classes, ${settings.resamples} resamples, seconds:`);
await time('intervals by utterance', () => bootstrapIntervals(first, utterances, labels, settings));
await time('intervals by speaker', () =>
  bootstrapIntervals(first, speakers, labels, { ...settings, unit: 'speaker' }),
);
await time('paired difference by utterance', () =>
  pairedBootstrap(first, second, utterances, labels, settings),
);

async function time(name, work) {
  const { wallSec, processorSec } = await medianOf(RUNS, work);
  console.log(`  ${name.padEnd(32)} ${wallSec.toFixed(2)} (processor ${processorSec.toFixed(2)})`);
}

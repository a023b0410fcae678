/**
 * @file The training graphs whose memory is estimated and then measured: stage 1 at RoBERTa-base's shapes, stage 2 at
 * Qwen2.5-7B's with two of its layers, each with four settings or more. Their weights are one sparse file of zeros.
 */

import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeSparseQwen2 } from '../checkpoints/sparse-qwen2.mjs';
import { emoqModule } from './session-child.mjs';
import { SHAPES_7B } from './toy-models.mjs';

/** Name, phase, recipe keys, and the precision of the language model. */
export const MEMORY_CASES = [
  ['stage 1', 'stage1', []],
  [
    'stage 1 with checkpointing, 128 utterances',
    'stage1',
    ['activation_checkpointing=true', 'batch_size=128'],
  ],
  ['stage 1 with accumulation, 128 utterances', 'stage1', ['accumulate=4', 'batch_size=128']],
  ['stage 1, 128 utterances', 'stage1', ['batch_size=128']],
  ['stage 2, 64 utterances', 'stage2', ['batch_size=64'], 'bfloat16'],
  [
    'stage 2 with checkpointing, 32 utterances',
    'stage2',
    ['activation_checkpointing=true', 'batch_size=32'],
    'bfloat16',
  ],
  ['stage 2 with accumulation, 64 utterances', 'stage2', ['accumulate=4', 'batch_size=64'], 'bfloat16'],
  ['stage 2 in float32', 'stage2', [], 'float32'],
  ['stage 2 over 8 bits, 32 utterances', 'stage2', ['batch_size=32'], 'bfloat16', 8],
  [
    'stage 2 over 4 bits with checkpointing, 32 utterances',
    'stage2',
    ['activation_checkpointing=true', 'batch_size=32'],
    'bfloat16',
    4,
  ],
].map(([name, phase, keys, precision = 'float32', bits]) => ({ name, phase, keys, precision, bits }));

/** Steps of a run: with two, the loop carries state from one to the next. */
export const STEPS_PER_RUN = 2;

const CONFIG = { ...SHAPES_7B, vocab_size: 32_000 };

/** The folder of a language model whose projections have so many bits; absent: 16. */
const llmFolder = (folder, bits = 16) => join(folder, `llm-${bits}`);

/** Writes what the cases read into a folder. */
export async function writeMemoryModels(folder, checkout) {
  const { quantizationEntry } = await emoqModule(checkout, 'checkpoints/index.js');
  mkdirSync(llmFolder(folder), { recursive: true });
  writeFileSync(join(llmFolder(folder), 'config.json'), JSON.stringify(CONFIG));
  for (const bits of [8, 4]) {
    const settings = { bits, blockSize: 32, sourceDtype: 'bfloat16' };
    const config = { ...CONFIG, quantization_config: quantizationEntry(settings) };
    writeSparseQwen2(llmFolder(folder, bits), config, 2 ** 40);
  }
  writeFileSync(join(folder, 'weights.bin'), '');
  truncateSync(join(folder, 'weights.bin'), 2 ** 30); // every weight begins at its start
}

/** A case's phase, its training graph, and the sizes of its step: of a batch, or of each micro-batch. */
export async function buildMemoryCase({ phase: name, keys, precision, bits }, folder, checkout) {
  const emoq = (path) => emoqModule(checkout, path);
  const { loadRecipe } = await emoq('recipe/index.js');
  const { systemOf, trainingStart } = await emoq('systems/index.js');
  const { averageStep, buildTraining } = await emoq('training/step-sizes.js');
  const recipe = await loadRecipe({
    dataset: 'meld7',
    overrides: [`backbones.llm=${llmFolder(folder, bits)}`, ...keys.map((key) => `${name}.${key}`)],
  });
  const system = systemOf(recipe);
  const settings = system.settings(recipe, name);
  const start = trainingStart(recipe, name);
  const phase = await system.open(recipe, name, { weights: 'shapes-only', start });
  const plan = { stepsPerEpoch: 10, warmupSteps: 1, totalSteps: 100 };
  const device = { kind: 'cuda', index: 0 };
  const training = buildTraining(phase, settings, plan, { device, precision, validates: true });
  for (const { content } of training.graph.initializers) {
    if (content.kind === 'external') content.path = join(folder, 'weights.bin');
  }
  const { batch, microBatches } = averageStep(recipe, settings, phase);
  return { phase, training, sizes: batch, microBatches };
}

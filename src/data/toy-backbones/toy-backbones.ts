/** @file Small random models in the real Hugging Face formats, so that everything runs without a download. */

import { join } from 'node:path';
import type { ToyTokenizerFiles } from './random-weights.js';
import { writeToyHubert } from './toy-hubert.js';
import { writeToyQwen2 } from './toy-qwen2.js';
import { writeToyRoberta } from './toy-roberta.js';

export interface ToyBackboneOptions {
  /** Every weight is a function of the seed and of its own key. */
  readonly seed: number;
  readonly roberta: ToyTokenizerFiles;
  readonly qwen2: ToyTokenizerFiles;
}

/** Writes `hubert`, `roberta` and `qwen2` under `dir`. Equal options give equal bytes. */
export async function writeToyBackbones(dir: string, options: ToyBackboneOptions): Promise<void> {
  await writeToyHubert(join(dir, 'hubert'), options.seed);
  await writeToyRoberta(join(dir, 'roberta'), options.seed, options.roberta);
  await writeToyQwen2(join(dir, 'qwen2'), options.seed, options.qwen2);
}

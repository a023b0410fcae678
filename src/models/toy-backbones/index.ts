/**
 * @file Door of the toy backbones: small random models in the real Hugging Face formats, so that everything runs
 * without a download.
 *
 * Nothing here is trained, and two of the three stay frozen, so the weights are scaled to carry their input through
 * (He et al., 2015; 1 / sqrt(fan-in) where no rectifier follows) rather than to BERT's 0.02.
 */

import { join } from 'node:path';
import { writeToyHubert } from './hubert.js';
import { writeToyQwen2 } from './qwen2.js';
import { writeToyRoberta } from './roberta.js';
import type { ToyTokenizerFiles } from './tokenizer-files.js';

export type { ToyTokenizerFiles } from './tokenizer-files.js';
export { writeToyHubert, writeToyQwen2, writeToyRoberta };

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

/** @file Small random models in the real Hugging Face formats, so that everything runs without a download. */

import { join } from 'node:path';
import type { ToyTokenizerFiles } from './random-weights.js';
import { writeToyDecoder } from './toy-decoder.js';
import { writeToyRoberta } from './toy-roberta.js';
import { writeToySpeechEncoder } from './toy-speech-encoder.js';

export interface ToyBackboneOptions {
  /** Every weight is a function of the seed and of its own key. */
  readonly seed: number;
  readonly roberta: ToyTokenizerFiles;
  readonly qwen2: ToyTokenizerFiles;
}

/** Writes `hubert`, `roberta` and `qwen2` under `dir`. Equal options give equal bytes. */
export async function writeToyBackbones(dir: string, options: ToyBackboneOptions): Promise<void> {
  await writeToySpeechEncoder(join(dir, 'hubert'), options.seed, 'hubert');
  await writeToyRoberta(join(dir, 'roberta'), options.seed, options.roberta);
  await writeToyDecoder(join(dir, 'qwen2'), options.seed, 'qwen2', options.qwen2);
}

/**
 * @file The CTC head of a speech recogniser (Graves et al., 2006), as HubertForCTC, Wav2Vec2ForCTC, WavLMForCTC and
 * UniSpeechSatForCTC have it: a linear layer over the last hidden states.
 */

import { z } from 'zod';
import { InputError } from '../../../base/index.js';
import type { Checkpoint } from '../../../checkpoints/index.js';
import { type Value, withScope } from '../../../engine/onnx/index.js';
import { dense, type Weights } from '../../../nn/index.js';
import { parseFields, type RawConfig, vocabulary } from '../../backbone-family.js';

const NAME = 'lm_head';

/** Symbols that transformers assumes where config.json does not say. */
const fieldsOfConfig = z.object({ vocab_size: vocabulary.default(32) });

/** Symbols of the head: `vocab_size` of config.json, 32 by default. @throws InputError naming `path` */
export function ctcVocabularySize(raw: RawConfig, path: string): number {
  return parseFields(fieldsOfConfig, raw, path).vocab_size;
}

/** The error for a checkpoint that is no recogniser. */
export function noRecogniser(dir: string, what: string): InputError {
  return new InputError(
    `checkpoint ${dir} has no ${what}: it is not a speech recogniser; name one with a CTC head, such as facebook/hubert-large-ls960-ft`,
  );
}

/** @throws InputError if a checkpoint has no CTC head */
export function requireCtcHead({ dir, weights }: Pick<Checkpoint, 'dir' | 'weights'>): void {
  if (!weights.has(`${NAME}.weight`)) throw noRecogniser(dir, `${NAME}.weight`);
}

/** Last hidden states [N, frames, width] to logits [N, frames, size]. */
export function ctcHead(weights: Weights, states: Value, size: number): Value {
  return withScope(states.graph, 'ctc', () => dense(weights, NAME, states, size));
}

/** @file What the EmoQ-Former reads of a batch. */

import { cast, type Dim, type Value } from '../../engine/onnx/index.js';
import type { DType } from '../../engine/tensor/index.js';
import type { FormerInputs } from './former.js';

/** Which views of an utterance the system is given (paper, table 4). */
export type InputViews = 'both' | 'audio' | 'text';

/** An input of one batch; symbolic axes differ from batch to batch. */
export interface ModelInput {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly Dim[];
}

export type BatchValues = Readonly<Record<string, Value>>;

/** Key prefix of the Former in checkpoints. */
export const FORMER_PREFIX = 'former.';

/** What the Former reads of a batch: features are float16 on the way in and float32 inside. */
export function formerInputs(audioWidth: number, views: InputViews): ModelInput[] {
  const audio: ModelInput[] = [
    { name: 'audio_features', dtype: 'float16', shape: ['batch', 'frames', audioWidth] },
    { name: 'frame_mask', dtype: 'int64', shape: ['batch', 'frames'] },
  ];
  const text: ModelInput[] = [
    { name: 'input_ids', dtype: 'int64', shape: ['batch', 'text'] },
    { name: 'attention_mask', dtype: 'int64', shape: ['batch', 'text'] },
  ];
  return [...(views !== 'text' ? audio : []), ...(views !== 'audio' ? text : [])];
}

/** The Former's inputs out of a batch. */
export function formerViews(batch: BatchValues, views: InputViews): FormerInputs {
  return {
    audio:
      views === 'text'
        ? undefined
        : { values: cast(batch.audio_features!, 'float32'), mask: batch.frame_mask! },
    text: views === 'audio' ? undefined : { values: batch.input_ids!, mask: batch.attention_mask! },
  };
}

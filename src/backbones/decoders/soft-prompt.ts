/** @file The soft prompt: projected audio embeddings in place of the `<AUDIO>` placeholder's word embedding. */

import {
  add,
  and,
  arange,
  cast,
  type Dim,
  equal,
  formatShape,
  greaterOrEqual,
  matmul,
  reduceMax,
  sizeOf,
  unsqueeze,
  type Value,
  where,
} from '../../engine/onnx/index.js';

export interface SoftPrompt {
  /** Word embeddings, the placeholder's among them: float32 [N, L, d]. */
  readonly embeddings: Value;
  /** Soft prompt e_h: float32 [N, d], or [N, S, d] for S consecutive placeholders. */
  readonly softPrompt: Value;
  /** Where the first placeholder is: int64 [N], -1 for an utterance without any. */
  readonly audioPosition: Value;
  /** int64 [N, S], 1 = real: slots that are padding leave the words alone. All are real where absent. */
  readonly slotMask?: Value;
}

/**
 * Replaces the embeddings at audioPosition + s by slot s of the soft prompt; every other position keeps its own.
 * The soft prompt's gradient is that of the replaced positions; the words get none there.
 * @returns float32 [N, L, d]
 * @throws RangeError for shapes that do not fit
 */
export function spliceSoftPrompt({ embeddings, softPrompt, audioPosition, slotMask }: SoftPrompt): Value {
  const slots = softPrompt.shape.length === 2 ? unsqueeze(softPrompt, [1]) : softPrompt; // [N, S, d]
  const [batch, length, width] = embeddings.shape as [Dim, Dim, Dim];
  const [slotBatch, slotCount, slotWidth] = slots.shape as [Dim, Dim, Dim];
  if (slots.shape.length !== 3 || slotBatch !== batch || slotWidth !== width) {
    throw new RangeError(
      `soft prompt ${formatShape(softPrompt.shape)} for embeddings ${formatShape(embeddings.shape)}`,
    );
  }
  const first = unsqueeze(audioPosition, [1]); // [N, 1]
  let real = greaterOrEqual(first, 0); // [N, 1], or [N, S] with a slot mask
  if (slotMask !== undefined) real = and(real, equal(slotMask, 1));
  const target = add(first, unsqueeze(arange(sizeOf(slots, 1), slotCount), [0])); // [N, S]
  const places = unsqueeze(arange(sizeOf(embeddings, 1), length), [0, 2]); // [1, L, 1]
  const hit = and(equal(places, unsqueeze(target, [1])), unsqueeze(real, [1])); // [N, L, S]
  const selection = cast(hit, slots.dtype);
  const isAudio = equal(reduceMax(selection, [-1], true), 1); // [N, L, 1]
  return where(isAudio, matmul(selection, slots), embeddings);
}

/** @file Groups clips into batches in which padding changes nothing. */

/** Padded audio in a batch: at 50 frames a second 1,000 rows, enough to keep a matrix product busy. */
export const BATCH_SEC = 20;

export interface BatchLimits {
  /** Length to which the encoder pads a clip. */
  readonly paddedSamples: (samples: number) => number;
  /** The most padded samples in one batch; a longer clip is a batch of its own. */
  readonly batchSamples: number;
}

/**
 * Batches of clips of one padded length each, longest first. Such a batch holds no more padding than its clips would
 * have alone, and each of them is computed in the shape that it would have alone.
 */
export function batchesByLength<T extends { readonly samples: Float32Array }>(
  clips: readonly T[],
  { paddedSamples, batchSamples }: BatchLimits,
): T[][] {
  const byLength = new Map<number, T[]>();
  for (const clip of clips) {
    const length = paddedSamples(clip.samples.length);
    const others = byLength.get(length);
    if (others === undefined) byLength.set(length, [clip]);
    else others.push(clip);
  }
  return [...byLength]
    .sort(([a], [b]) => b - a)
    .flatMap(([length, group]) => {
      const size = Math.max(1, Math.floor(batchSamples / length));
      return Array.from({ length: Math.ceil(group.length / size) }, (_, batch) =>
        group.slice(batch * size, (batch + 1) * size),
      );
    });
}

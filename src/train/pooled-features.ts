/** @file Features at a bounded number of frames: neighbouring frames averaged, for a prompt that has a slot for each. */

import type { StoredFeatures } from '../data/features/index.js';
import { decodeHalf, encodeHalf } from '../engine/tensor/index.js';
import type { FeatureSource } from './features.js';

/**
 * The same utterances at `most` frames or fewer. A longer clip is cut into `most` parts that differ by one frame at the
 * most in length, and each part becomes its mean; other clips stay as they are.
 */
export function pooledFeatures(features: FeatureSource, most: number): FeatureSource {
  return {
    frames: (id) => Math.min(features.frames(id), most),
    read: async (utterance) => pooled(await features.read(utterance), most),
  };
}

/** [frames, width] -> [min(frames, most), width], part p the mean of frames floor(p F / most) to floor((p + 1) F / most). */
function pooled({ words, frames, width }: StoredFeatures, most: number): StoredFeatures {
  if (frames <= most) return { words, frames, width };
  const values = decodeHalf(words);
  const means = new Float32Array(most * width);
  for (let part = 0; part < most; part++) {
    const start = Math.floor((part * frames) / most);
    const end = Math.floor(((part + 1) * frames) / most);
    for (let frame = start; frame < end; frame++) {
      for (let channel = 0; channel < width; channel++) {
        means[part * width + channel]! += values[frame * width + channel]! / (end - start);
      }
    }
  }
  return { words: encodeHalf(means), frames: most, width };
}

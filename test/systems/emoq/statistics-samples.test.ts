/**
 * @file The statistics behind initial scales: sampled from the whole training set and vocabulary, not from their
 * beginnings.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../../src/checkpoints/index.js';
import { encodeHalf, float32, seededRandom, writeSafetensors } from '../../../src/engine/tensor/index.js';
import { wordEmbeddingRms } from '../../../src/systems/emoq/initial-values.js';
import { audioStatistics } from '../../../src/systems/speech-features.js';
import type { Example, FeatureSource } from '../../../src/systems/system.js';

const example = (id: number): Example => ({
  ...{ id: String(id), path: '', label: 0, lengths: { inputs: {}, targets: {} } },
});

/** Features of one frame and two channels: the first simulates a corpus of five sessions with different loudness. */
function corpus(count: number): { examples: Example[]; read: string[]; features: FeatureSource } {
  const read: string[] = [];
  const features: FeatureSource = {
    frames: () => 1,
    read: async ({ id }) => {
      read.push(id);
      const session = Math.floor((5 * Number(id)) / count);
      return { frames: 1, width: 2, words: encodeHalf(Float32Array.of(session, Number(id) % 2)) };
    },
  };
  return {
    examples: Array.from({ length: count }, (_, id) => example(id)),
    read,
    features,
  };
}

describe('statistics of audio channels', () => {
  it('are of utterances from all of a large training set, drawn by the seed', async () => {
    const { examples, features, read } = corpus(5000);
    const { mean, deviation } = await audioStatistics(examples, features, 2, 1);
    expect(read).toHaveLength(256);
    expect(new Set(read).size).toBe(256);
    // The first 256 are all from the first session: 0 without deviation. All five together: 2, and the square root of
    // 2.
    expect(Math.abs(mean[0]! - 2)).toBeLessThan(0.3);
    expect(Math.abs(deviation[0]! - Math.SQRT2)).toBeLessThan(0.15);
    expect(Math.abs(mean[1]! - 0.5)).toBeLessThan(0.15);
    const first = [...read];
    read.length = 0;
    await audioStatistics(examples, features, 2, 1);
    expect(read).toEqual(first);
    read.length = 0;
    await audioStatistics(examples, features, 2, 2);
    expect(read).not.toEqual(first);
  });

  it('are of all utterances in their order where there are no more than that', async () => {
    const { examples, features, read } = corpus(256);
    await audioStatistics(examples, features, 2, 1);
    expect(read).toEqual(examples.map(({ id }) => id));
  });
});

describe('the scale of word embeddings', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'emoq-embeddings-'));
    await writeFile(join(folder, 'config.json'), '{}');
  });
  afterAll(() => rm(folder, { recursive: true }));

  async function rmsOf(rows: number, scaleOf: (row: number) => number, seed = 1): Promise<number> {
    const random = seededRandom('embedding rows');
    const values = Float32Array.from(
      { length: 4 * rows },
      (_, i) => scaleOf(Math.floor(i / 4)) * random.normal(),
    );
    const weights = new Map([['model.embed_tokens.weight', float32([rows, 4], values)]]);
    await writeSafetensors(join(folder, 'model.safetensors'), weights);
    return wordEmbeddingRms(await openCheckpoint(folder), seed);
  }

  it('is measured all over a large vocabulary, whose first rows are the frequent tokens', async () => {
    // 4,096 frequent rows of scale 1 before 60,000 others of scale 3: sqrt((4096 + 9 * 60000) / 64096) = 2.91.
    const rms = await rmsOf(64_096, (row) => (row < 4096 ? 1 : 3));
    expect(Math.abs(rms - 2.91)).toBeLessThan(0.15);
  });

  it('is that of all rows of a small one', async () => {
    const all = await rmsOf(4096, (row) => 1 + (row % 2));
    expect(Math.abs(all - Math.sqrt(2.5))).toBeLessThan(0.05);
    expect(await rmsOf(4096, (row) => 1 + (row % 2), 2)).toBe(all);
  });
});

/**
 * @file The speech encoder: batches, normalisation, short clips, and features that do not depend on the rest of a
 * batch.
 */

import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findSpeechEncoder, type SpeechEncoder } from '../../../src/backbones/index.js';
import { openSpeechEncoder } from '../../../src/backbones/speech-encoders/encoder-source.js';
import { decodeHalf, readSafetensors, seededRandom } from '../../../src/engine/tensor/index.js';

const fixtures = new URL('../../fixtures/hubert/', import.meta.url).pathname;
const options = { device: { kind: 'cpu' }, threads: 2 } as const;

let base: SpeechEncoder;
let large: SpeechEncoder;

beforeAll(async () => {
  base = await openSpeechEncoder(join(fixtures, 'base'), options);
  large = await openSpeechEncoder(join(fixtures, 'large'), options);
});

afterAll(async () => {
  await base.close();
  await large.close();
});

function noise(samples: number, seed = 1): Float32Array {
  const random = seededRandom(seed);
  return Float32Array.from(
    { length: samples },
    (_, at) => 0.3 * Math.sin(at * 0.05) + 0.05 * random.normal(),
  );
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((largest, value, place) => Math.max(largest, Math.abs(value - b[place]!)), 0);
}

describe('a speech encoder', () => {
  it('gives every clip its own number of frames and the width of the model', async () => {
    const features = await base.encode([noise(16_000), noise(720), noise(400)]);
    expect(features.map(({ frames }) => frames)).toEqual([49, 2, 1]);
    for (const { frames, width, data } of features) {
      expect(width).toBe(32);
      expect(data.length).toBe(frames * width);
    }
    expect(await base.encode([])).toEqual([]);
  });

  it('agrees with transformers although it pads the batch', async () => {
    const { tensors } = await readSafetensors(join(fixtures, 'reference.safetensors'));
    const clips = [0, 1, 2].map((clip) => decodeHalf(tensors.get(`clip.${clip}`)!.data as Uint16Array));
    const features = await base.encode(clips);
    features.forEach(({ data }, clip) => {
      expect(largestDifference(data, tensors.get(`base.${clip}`)!.data as Float32Array)).toBeLessThan(1e-4);
    });
  });

  it('normalises as the feature extractor of transformers does', async () => {
    const { tensors } = await readSafetensors(join(fixtures, 'reference.safetensors'));
    const clip = decodeHalf(tensors.get('clip.0')!.data as Uint16Array).map((value) => value * 0.1 + 0.3);
    const [features] = await large.encode([clip]);
    const expected = tensors.get('large.normalized')!.data as Float32Array;
    expect(largestDifference(features!.data, expected)).toBeLessThan(1e-3);
  });

  it('normalises each clip where preprocessor_config.json says so, and only there', async () => {
    const clip = noise(8000);
    const moved = clip.map((value) => 0.2 * value + 0.1);
    const [[plain], [shifted]] = [await large.encode([clip]), await large.encode([moved])];
    expect(largestDifference(plain!.data, shifted!.data)).toBeLessThan(1e-3);
    const dir = await mkdtemp(join(tmpdir(), 'emoq-encoder-'));
    await cp(join(fixtures, 'large'), dir, { recursive: true });
    await writeFile(join(dir, 'preprocessor_config.json'), '{"do_normalize": false}');
    const asItIs = await openSpeechEncoder(dir, options);
    const [[raw], [rawMoved]] = [await asItIs.encode([clip]), await asItIs.encode([moved])];
    await asItIs.close();
    await rm(dir, { recursive: true });
    expect(largestDifference(raw!.data, rawMoved!.data)).toBeGreaterThan(0.05);
  });

  it('adds silence to a clip shorter than one frame', async () => {
    const short = noise(150);
    const padded = new Float32Array(400);
    padded.set(short);
    const [[one], [same]] = [await base.encode([short]), await base.encode([padded])];
    expect(one!.frames).toBe(1);
    expect(one!.data).toEqual(same!.data);
  });

  it('refuses a clip without samples', async () => {
    await expect(base.encode([noise(500), new Float32Array(0)])).rejects.toThrow('clip 1 has no samples');
  });

  it.each(['base', 'large'])(
    'gives the same bits whatever else is in a batch of one padded length (%s)',
    async (name) => {
      const encoder = name === 'base' ? base : large;
      for (const samples of [3_900, 11_000, 52_000]) {
        const clip = noise(samples);
        const others = [noise(samples - 300, 2), noise(samples - 1000, 3), noise(samples - 77, 4)];
        expect(new Set([clip, ...others].map(({ length }) => encoder.paddedSamples(length))).size).toBe(1);
        const [alone] = await encoder.encode([clip]);
        const last = await encoder.encode([...others, clip]);
        const second = await encoder.encode([others[2]!, clip]);
        expect(last[3]!.data).toEqual(alone!.data);
        expect(second[1]!.data).toEqual(alone!.data);
      }
    },
  );

  it('names the folder that is no checkpoint', async () => {
    await expect(openSpeechEncoder('/nowhere/hubert', options)).rejects.toThrow('/nowhere/hubert');
  });
});

describe('the files of an encoder', () => {
  it('are its configs, where present, and its weights', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'emoq-encoder-'));
    try {
      await cp(join(fixtures, 'large'), dir, { recursive: true });
      const { files } = await findSpeechEncoder(dir, null);
      expect(files.map((file) => file.slice(dir.length + 1))).toEqual([
        'config.json',
        'preprocessor_config.json',
        'model.safetensors',
      ]);
      await rm(join(dir, 'preprocessor_config.json'));
      await writeFile(join(dir, 'README.md'), 'not part of it');
      expect((await findSpeechEncoder(dir, null)).files).toHaveLength(2);
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});

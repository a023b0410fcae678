/**
 * @file wav2vec 2.0 as emoq's encoder: detected by its config, normalised, and with warnings about unexpected weights.
 */

import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  encoderFamilyOf,
  encoderGraph,
  encoderKeys,
  encoderWidth,
  findSpeechEncoder,
} from '../../../src/backbones/index.js';
import { openSpeechEncoder } from '../../../src/backbones/speech-encoders/encoder-source.js';
import { openCheckpoint, unreadWeights } from '../../../src/checkpoints/index.js';
import { readReferences, relativeError, wav2vec2Fixtures } from './encoding.js';

const options = { device: { kind: 'cpu' }, threads: 2 } as const;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'emoq-wav2vec2-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe('wav2vec 2.0', () => {
  it('gives the features of transformers, whatever else is in the batch', async () => {
    const reference = await readReferences(wav2vec2Fixtures);
    const encoder = await openSpeechEncoder(join(wav2vec2Fixtures, 'base'), options);
    const features = await encoder.encode(reference.clips('base'));
    await encoder.close();
    features.forEach(({ data }, clip) => {
      expect(relativeError(data, reference.values(`base.${clip}`))).toBeLessThan(1e-4);
    });
  });

  it('is fed waveforms of zero mean and unit variance where its preprocessor says so', async () => {
    const reference = await readReferences(wav2vec2Fixtures);
    const encoder = await openSpeechEncoder(join(wav2vec2Fixtures, 'large'), options);
    const clip = reference.clips('large')[0]!.map((value) => value * 0.1 + 0.3);
    const [features] = await encoder.encode([clip]);
    await encoder.close();
    expect(relativeError(features!.data, reference.values('large.normalized'))).toBeLessThan(1e-4);
  });

  it('is a graph of its own name, read without the heads of its training', async () => {
    const checkpoint = await openCheckpoint(join(wav2vec2Fixtures, 'base'));
    expect(encoderGraph(checkpoint).name).toBe('wav2vec2');
    const keys = [...checkpoint.weights.keys()];
    expect(keys).toContain('wav2vec2.masked_spec_embed');
    expect(keys.some((key) => key.startsWith('quantizer.'))).toBe(true);
    const read = encoderKeys(checkpoint);
    expect([...read].every((key) => key.startsWith('wav2vec2.'))).toBe(true);
    const family = encoderFamilyOf(checkpoint);
    expect(unreadWeights(checkpoint, family, read)).toBeUndefined();
    expect(unreadWeights(checkpoint, { ...family, harmless: [] }, read)).toContain('that a wav2vec2 of its');
    const adapter = new Map(checkpoint.weights).set('wav2vec2.adapter.layers.0.conv.weight', {
      ...[...checkpoint.weights.values()][0]!,
      key: 'wav2vec2.adapter.layers.0.conv.weight',
    });
    expect(unreadWeights({ ...checkpoint, weights: adapter }, family, read)).toContain('wav2vec2.adapter');
  });

  it('is distinguished from other models by its config alone', async () => {
    const dir = join(folder, 'renamed');
    await cp(join(wav2vec2Fixtures, 'large-odd'), dir, { recursive: true });
    expect(await encoderWidth(dir, null)).toEqual({ width: 21, held: 1, vocabulary: 0, warning: undefined });
    expect((await findSpeechEncoder(dir, null)).config).toMatchObject({
      hiddenSize: 21,
      featProjLayerNorm: true,
    });
    await writeFile(join(dir, 'config.json'), JSON.stringify({ model_type: 'speech_to_text' }));
    await expect(findSpeechEncoder(dir, null)).rejects.toThrow(
      /is of model_type "speech_to_text"; a "hubert"[^\n]* "wav2vec2"[^\n]* checkpoint is needed here/,
    );
  });
});

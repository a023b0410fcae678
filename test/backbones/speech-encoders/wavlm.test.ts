/** @file WavLM as emoq's encoder: buckets of relative positions, detection by its config, batches, 16-bit products. */

import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { encoderFamilyOf, encoderKeys, findSpeechEncoder } from '../../../src/backbones/index.js';
import { encoderGraph } from '../../../src/backbones/speech-encoders/encoder-families.js';
import { openSpeechEncoder } from '../../../src/backbones/speech-encoders/encoder-source.js';
import { relativeBuckets } from '../../../src/backbones/speech-encoders/wavlm/position-bias.js';
import { openCheckpoint, unreadWeights } from '../../../src/checkpoints/index.js';
import {
  encodeBatch,
  openEncoder,
  readReferences,
  realFrames,
  relativeError,
  wavlmFixtures,
} from './encoding.js';

const device = { kind: 'cpu' } as const;

describe('buckets of relative positions', () => {
  it.each([
    ...[
      [320, 800],
      [4, 2],
      [5, 100],
      [8, 16],
      [64, 500],
      [321, 81],
      [1000, 251],
    ],
    ...[
      [16, 20],
      [32, 50],
      [7, 9],
      [12, 13],
      [20, 11],
    ],
  ])('with %i buckets to %i frames are those of transformers, also beyond', async (numBuckets, distance) => {
    const expected = (await readReferences(wavlmFixtures)).numbers(`buckets.${numBuckets}.${distance}`);
    const buckets = relativeBuckets({ numBuckets, maxBucketDistance: distance });
    expect(buckets).toHaveLength(2 * distance + 1);
    const reach = (expected.length - 1) / 2;
    expect(reach).toBeGreaterThan(distance);
    const ours = expected.map((_, index) => {
      const later = Math.max(-distance, Math.min(distance, index - reach));
      return buckets[later + distance];
    });
    expect(ours).toEqual(expected);
  });
});

describe('WavLM', () => {
  it('has the features of transformers for loud, shifted waveforms, which it normalises if it says so', async () => {
    const reference = await readReferences(wavlmFixtures);
    const encoder = await openSpeechEncoder(join(wavlmFixtures, 'large'), { device });
    const [clip] = reference.clips('large');
    const [features] = await encoder.encode([clip!.map((value) => value * 0.1 + 0.3)]);
    await encoder.close();
    expect(relativeError(features!.data, reference.values('large.normalized'))).toBeLessThan(1e-4);
  });

  it.each(['base', 'base-odd', 'large', 'large-odd', 'layer-post'])(
    '%s gives a clip the same bits alone and beside others',
    async (name) => {
      const encoder = await openSpeechEncoder(join(wavlmFixtures, name), { device });
      const clips = (await readReferences(wavlmFixtures)).clips(name);
      const together = await encoder.encode([...clips, clips[1]!]);
      const alone = await encoder.encode([clips[1]!]);
      await encoder.close();
      expect(together[1]!.data).toEqual(alone[0]!.data);
      expect(together[3]!.data).toEqual(alone[0]!.data);
    },
  );

  it('is found by its config, and its config has what it needs beyond wav2vec 2.0', async () => {
    const checkpoint = await openCheckpoint(join(wavlmFixtures, 'large'));
    expect(encoderGraph(checkpoint).name).toBe('wavlm');
    const { config } = await findSpeechEncoder(checkpoint.dir, null);
    expect(config).toMatchObject({ hiddenSize: 32, numBuckets: 32, maxBucketDistance: 50 });
  });

  it('reads the table of its first layer and the gates of all, and leaves only heads unread', async () => {
    const checkpoint = await openCheckpoint(join(wavlmFixtures, 'base-odd'));
    const read = encoderKeys(checkpoint);
    const attention = (layer: number) => `wavlm.encoder.layers.${layer}.attention`;
    expect(read).toContain(`${attention(0)}.rel_attn_embed.weight`);
    for (const layer of [0, 1, 2]) {
      for (const key of ['linear.weight', 'linear.bias', 'const']) {
        expect(read).toContain(`${attention(layer)}.gru_rel_pos_${key}`);
      }
    }
    expect([...read].every((key) => key.startsWith('wavlm.'))).toBe(true);
    const family = encoderFamilyOf(checkpoint);
    expect(unreadWeights(checkpoint, { ...family, harmless: [] }, read)).toContain('that a wavlm of its');
    const extra = { ...checkpoint.weights.get(`${attention(0)}.rel_attn_embed.weight`)! };
    const key = `${attention(1)}.rel_attn_embed.weight`;
    const weights = new Map(checkpoint.weights).set(key, { ...extra, key });
    expect(unreadWeights({ ...checkpoint, weights }, family, read)).toContain(key);
  });

  it('computes in 16 bits within their rounding, its position bias in float32', async () => {
    const reference = await readReferences(wavlmFixtures);
    const clips = reference.clips('large-odd');
    const session = await openEncoder(join(wavlmFixtures, 'large-odd'), { precision: 'float16' });
    const hidden = realFrames(await encodeBatch(session, clips));
    await session.dispose();
    hidden.forEach((values, clip) => {
      expect(relativeError(values, reference.values(`large-odd.${clip}`))).toBeLessThan(1e-2);
    });
    const graph = encoderGraph(await openCheckpoint(join(wavlmFixtures, 'large-odd')), {
      precision: 'float16',
    });
    const bias = graph.nodes.filter(({ outputs }) => outputs[0]!.name.includes('position_bias'));
    expect(bias.length).toBeGreaterThan(20);
    expect(bias.flatMap(({ inputs }) => inputs).filter((value) => value?.dtype === 'float16')).toEqual([]);
  });
});

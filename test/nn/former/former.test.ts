/**
 * @file The EmoQ-Former with head and losses against PyTorch, which computes every utterance alone and unpadded.
 * Reference: test/reference/stage1.py.
 */

import { beforeAll, describe, expect, it } from 'vitest';
import { addInput } from '../../../src/engine/onnx/index.js';
import { encodeHalf, type Tensor } from '../../../src/engine/tensor/index.js';
import {
  FORMER_PREFIX,
  formerInputs,
  formerViews,
  type InputViews,
} from '../../../src/nn/former/former-config.js';
import { emoqFormer } from '../../../src/nn/index.js';
import { declaredWeights, noDropout, under } from '../../../src/nn/weights.js';
import { stage1Forward, stage1Loss } from '../../../src/systems/emoq/stage1.js';
import { relativeError } from '../../backbones/decoders/graph-run.js';
import { largestError, parityError, recordParity } from '../../parity/figures.js';
import {
  describeStage1,
  formerOf,
  gradientErrors,
  lengthened,
  openReference,
  type ReferenceCase,
  runCase,
  stage1Case,
} from '../../systems/emoq/reference-case.js';

let open: (id: string) => ReferenceCase;
beforeAll(async () => {
  open = (await openReference('stage1')).caseOf;
});

/** Losses, embedding, logits and gradients of a case. */
function run(reference: ReferenceCase, views: InputViews) {
  const { config, losses, inputs } = stage1Case(reference, views);
  return runCase(reference, inputs, (weights, batch) => ({
    ...stage1Loss(weights, config, losses, batch, noDropout),
    ...stage1Forward(weights, config, batch, noDropout),
  }));
}

/** Embeddings of a case, with some of its inputs replaced. */
async function embed(reference: ReferenceCase, views: InputViews, replace: Record<string, Tensor> = {}) {
  const former = formerOf(reference);
  const inputs = formerInputs(former.audioWidth, views);
  const { results } = await runCase(
    reference,
    inputs,
    (weights, batch) => ({
      embedding: emoqFormer(under(weights, FORMER_PREFIX), former, formerViews(batch, views), noDropout),
    }),
    { replace },
  );
  return results.embedding!;
}

for (const views of ['both', 'audio', 'text'] as const) {
  describe(`stage 1 on ${views === 'both' ? 'audio and text' : `${views} alone`}`, () => {
    it('has the embedding, logits, losses and every gradient of PyTorch', async () => {
      const reference = open(views);
      const { results, gradients } = await run(reference, views);
      for (const name of ['embedding', 'logits', 'contrastive', 'focal', 'loss']) {
        const error = parityError(results[name]!, reference.expected(name));
        expect(error.relative, name).toBeLessThan(1e-4);
        if (name === 'loss' || name === 'embedding')
          recordParity({ ...describeStage1(reference, views), quantity: name, ...error });
      }
      const errors = gradientErrors(gradients, reference.gradients);
      for (const [key, { relative }] of errors) expect(relative, key).toBeLessThan(1e-4);
      recordParity({
        ...describeStage1(reference, views),
        quantity: 'gradient of every parameter',
        ...largestError(errors.values()),
      });
    });

    it('asks for the parameters that the reference has, and no others', () => {
      const reference = open(views);
      const declared = declaredWeights((graph, weights) => {
        const batch = Object.fromEntries(
          stage1Case(reference, views).inputs.map(({ name, dtype, shape }) => [
            name,
            addInput(graph, name, dtype, shape),
          ]),
        );
        stage1Forward(weights, stage1Case(reference, views).config, batch, noDropout);
      });
      expect(Object.fromEntries(declared.map(({ key, shape }) => [key, shape]))).toEqual(
        Object.fromEntries([...reference.parameters].map(([key, { shape }]) => [key, shape])),
      );
    });
  });
}

describe('the embedding of an utterance', () => {
  it('does not change when clip and text are padded further, whatever the padding holds', async () => {
    const reference = open('both');
    const near = await embed(reference, 'both');
    const far = await embed(reference, 'both', {
      audio_features: lengthened(reference.batch('audio_features'), 9, encodeHalf(Float32Array.of(-700))[0]!),
      frame_mask: lengthened(reference.batch('frame_mask'), 9, 0n),
      input_ids: lengthened(reference.batch('input_ids'), 4, 22n),
      attention_mask: lengthened(reference.batch('attention_mask'), 4, 0n),
    });
    expect(relativeError(far, near)).toBeLessThan(1e-6);
  });

  it('has unit length', async () => {
    const { data, shape } = await embed(open('both'), 'both');
    const [batch, width] = shape as [number, number];
    for (let row = 0; row < batch; row++) {
      expect(Math.hypot(...(data as Float32Array).subarray(row * width, (row + 1) * width))).toBeCloseTo(
        1,
        6,
      );
    }
  });

  it('depends on the audio and on the text of its own utterance only', async () => {
    const reference = open('both');
    const before = (await embed(reference, 'both')).data as Float32Array;
    const width = reference.config.width!;
    const changedRows = async (name: string, at: number, value: number | bigint): Promise<number[]> => {
      const original = reference.batch(name);
      const changed = { ...original, data: original.data.slice() };
      (changed.data as Float32Array)[at] = value as number;
      const after = (await embed(reference, 'both', { [name]: changed })).data as Float32Array;
      const rows = Array.from({ length: before.length / width }, (_, row) => row);
      return rows.filter((row) =>
        after.subarray(row * width, (row + 1) * width).some((each, i) => each !== before[row * width + i]),
      );
    };
    const [, frames, channels] = reference.batch('audio_features').shape as [number, number, number];
    const [, tokens] = reference.batch('input_ids').shape as [number, number];
    expect(
      await changedRows('audio_features', 3 * frames * channels, encodeHalf(Float32Array.of(2))[0]!),
    ).toEqual([3]);
    expect(await changedRows('input_ids', 2 * tokens, 9n)).toEqual([2]);
  });
});

describe('dropout in stage 1', () => {
  it('acts at every attention, block output, embedding and in the head, each a site of its own', () => {
    const reference = open('both');
    const { config } = stage1Case(reference, 'both');
    const sites = new Map<string, number>();
    const former = { ...config.former, dropout: 0.2, attentionDropout: 0.3 };
    declaredWeights((graph, weights) => {
      const batch = Object.fromEntries(
        stage1Case(reference, 'both').inputs.map(({ name, dtype, shape }) => [
          name,
          addInput(graph, name, dtype, shape),
        ]),
      );
      stage1Forward(weights, { ...config, former }, batch, (x, rate, site) => {
        expect(sites.has(site), site).toBe(false);
        sites.set(site, rate);
        return x;
      });
    });
    const layerOf = (layer: number, parts: string[]): string[] =>
      parts.map((part) => `layer.${layer}.${part}`);
    const self = ['attention.probabilities', 'attention.output'];
    const cross = ['crossattention.probabilities', 'crossattention.output'];
    expect([...sites.keys()].sort()).toEqual(
      [
        ...['embeddings.queries', 'embeddings.text', 'head'],
        ...layerOf(0, [...self, ...cross, 'ffn_query', 'ffn']),
        ...layerOf(1, [...self, 'ffn_query', 'ffn']),
        ...layerOf(2, [...self, ...cross, 'ffn_query']),
      ].sort(),
    );
    for (const [site, rate] of sites) expect(rate, site).toBe(site.endsWith('probabilities') ? 0.3 : 0.2);
  });
});

/** @file emotion2vec computes what its published code does. Reference: test/reference/emotion2vec.py. */

import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encoderFamilyOf, encoderKeys } from '../../../src/backbones/index.js';
import { parseEmotion2vecConfig } from '../../../src/backbones/speech-encoders/emotion2vec/config.js';
import { buildEncoderGraph, encoderGraph } from '../../../src/backbones/speech-encoders/encoder-families.js';
import { openSpeechEncoder } from '../../../src/backbones/speech-encoders/encoder-source.js';
import { InputError } from '../../../src/base/index.js';
import { openCheckpoint, unreadWeights } from '../../../src/checkpoints/index.js';
import { checkCudaKernels } from '../../../src/engine/onnx/index.js';
import { createSession, type Session } from '../../../src/engine/runtime/index.js';
import { float32Of, tensor } from '../../../src/engine/tensor/index.js';
import {
  emotion2vecFixtures,
  encodeBatch,
  largestError,
  openEncoder,
  readReferences,
  realFrames,
  recordEncoder,
} from './encoding.js';

const device = { kind: 'cpu' } as const;
const reference = await readReferences(emotion2vecFixtures);

describe.each(['base', 'plus', 'plain'])('the emotion2vec %s', (name) => {
  const dir = join(emotion2vecFixtures, name);
  const clips = reference.clips(name);
  let session: Session;
  beforeAll(async () => {
    session = await openEncoder(dir);
  });
  afterAll(() => session.dispose());

  async function hold(quantity: string, pairs: (readonly [Float32Array, string])[]): Promise<void> {
    const error = largestError(
      pairs.map(([actual, key]) => [actual, reference.tensor(`${name}.${key}`)] as const),
    );
    recordEncoder(name, await openCheckpoint(dir), quantity, error);
    expect(error.relative).toBeLessThan(1e-4);
    expect(error.absolute).toBeLessThan(1e-4);
  }

  it('has the features of the published code on single clips, down to one frame', async () => {
    const hidden: Float32Array[] = [];
    for (const clip of clips) hidden.push(...realFrames(await encodeBatch(session, [clip])));
    expect(reference.tensor(`${name}.2`).shape[0]).toBe(1);
    await hold(
      'single clips',
      hidden.map((states, clip) => [states, String(clip)] as const),
    );
  });

  it('has them in a padded batch too', async () => {
    for (const further of [0, 999]) {
      const hidden = realFrames(await encodeBatch(session, clips, clips[0]!.length + further));
      await hold(
        `a batch padded by ${further} samples more, against single clips`,
        hidden.map((states, clip) => [states, String(clip)] as const),
      );
    }
  });

  it('has them for a quiet, shifted clip', async () => {
    const quiet = clips[1]!.map((value) => Math.fround(Math.fround(value * 0.01) + 0.002));
    await hold('a quiet clip', [[realFrames(await encodeBatch(session, [quiet]))[0]!, 'quiet']]);
  });

  it('has the states of all layers', async () => {
    const checkpoint = await openCheckpoint(dir);
    const { model, weightsFolder } = buildEncoderGraph(checkpoint, {
      selection: { layers: 'all', mix: 'learned' },
    });
    const all = await createSession(model, { device, threads: 1, weightsFolder });
    const samples = clips[1]!.length;
    const attention_mask = tensor('int64', [1, samples]);
    attention_mask.data.fill(1n);
    const { hidden_states: states } = await all.run({
      input_values: tensor('float32', [1, samples], clips[1]!),
      attention_mask,
    });
    await all.dispose();
    const { numHiddenLayers, hiddenSize: width } = parseEmotion2vecConfig(checkpoint.config, 'config.json');
    const held = numHiddenLayers + 1;
    expect(states!.shape[2]).toBe(held * width);
    const values = float32Of(states!);
    const layers = Array.from({ length: held }, (_, layer) => {
      const own = values.filter((_, at) => Math.floor(at / width) % held === layer);
      return [own, `layers.${layer}`] as const;
    });
    await hold('hidden states of every layer', layers);
  });

  it('gives a clip the same bits alone and beside others', async () => {
    const encoder = await openSpeechEncoder(dir, { device });
    const together = await encoder.encode([...clips, clips[1]!]);
    const alone = await encoder.encode([clips[1]!]);
    await encoder.close();
    expect(together[1]!.data).toEqual(alone[0]!.data);
    expect(together[3]!.data).toEqual(alone[0]!.data);
  });

  it('leaves no weight unread that might matter, and has a CUDA kernel for each node', async () => {
    const checkpoint = await openCheckpoint(dir);
    const family = encoderFamilyOf(checkpoint);
    expect(unreadWeights(checkpoint, family, encoderKeys(checkpoint))).toBeUndefined();
    expect(() => checkCudaKernels(encoderGraph(checkpoint, { precision: 'bfloat16' }))).not.toThrow();
  });
});

describe('a config of emotion2vec', () => {
  type Fields = Record<string, unknown>;
  async function changed(change: Fields, audio: Fields): Promise<Fields> {
    const { config } = await openCheckpoint(join(emotion2vecFixtures, 'base'));
    const modalities = config.modalities as { audio: Fields };
    return { ...config, ...change, modalities: { audio: { ...modalities.audio, ...audio } } };
  }

  it('gives its convolutions as a Python expression', async () => {
    const parsed = parseEmotion2vecConfig(await changed({}, {}), 'config.json');
    expect(parsed.convDim).toEqual(Array(7).fill(12));
    expect(parsed.convKernel).toEqual([10, 3, 3, 3, 3, 2, 2]);
    expect(parsed.convStride).toEqual([5, 2, 2, 2, 2, 2, 2]);
    expect(parsed).toMatchObject({ numHiddenLayers: 4, contextLayers: 2, positionKernel: 4 });
  });

  it.each<[Fields, Fields, string]>([
    [{ layer_norm_first: true }, {}, 'layer_norm_first: true is not supported, only false is'],
    [{ num_heads: 3 }, {}, 'embed_dim 16 is not a multiple of num_heads 3'],
    [{ normalize: undefined }, {}, 'normalize: '],
    [{}, { num_alibi_heads: 2 }, 'modalities.audio.num_alibi_heads 2 must be num_heads, 4'],
    [{}, { learned_alibi: true }, 'modalities.audio.learned_alibi: true is not supported'],
    [{}, { extractor_mode: 'default' }, 'modalities.audio.extractor_mode: "default" is not supported'],
    [{}, { conv_pos_pre_ln: true }, 'modalities.audio.conv_pos_pre_ln: true is not supported'],
    [{}, { feature_encoder_spec: '__import__("os")' }, 'is not a sum of lists of (channels, kernel, stride)'],
    [{}, { feature_encoder_spec: '[(12, 10, 0)]' }, 'is not a sum of lists'],
    [{}, { feature_encoder_spec: '[(12, 10, 5)] + 3' }, 'is not a sum of lists'],
    [{}, { feature_encoder_spec: `[${'(1, 1, 1)  '.repeat(80)}` }, 'is not a sum of lists'],
    [{}, { feature_encoder_spec: '[(12, 10, 5)] * 99999999' }, 'is not a sum of lists'],
  ])('with %j and %j is refused', async (change, audio, message) => {
    const raw = await changed(change, audio);
    expect(() => parseEmotion2vecConfig(raw, 'config.json')).toThrow(InputError);
    expect(() => parseEmotion2vecConfig(raw, 'config.json')).toThrow(message);
  });
});

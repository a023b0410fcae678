/**
 * @file What precedes a system's own model: trained layers of an encoder against transformers, with their gradients, the
 * learned sum, and the masks of training. Reference: test/reference/encoder-layers.py.
 */

import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  cachedBelow,
  type LayerSelection,
  readEncoderConfig,
  type TrainedLayers,
  trainedFrom,
} from '../../src/backbones/index.js';
import { openCheckpoint } from '../../src/checkpoints/index.js';
import { gradients } from '../../src/engine/autodiff/index.js';
import {
  addInput,
  addOutput,
  createGraph,
  hostColumn,
  mul,
  reduceSum,
  type Value,
} from '../../src/engine/onnx/index.js';
import {
  encodeHalf,
  float32,
  float32Of,
  normalArray,
  readSafetensors,
  seededRandom,
  type Tensor,
  tensor,
} from '../../src/engine/tensor/index.js';
import { createDropout, dropoutPools, dropoutWindows } from '../../src/engine/training/dropout.js';
import { maskSpans, noDropout } from '../../src/nn/index.js';
import {
  type EncoderReading,
  type EncoderSettings,
  equallyMixed,
  initialEncoderLayers,
  LAYER_MIX_KEY,
  layerShares,
  NO_AUDIO,
  SPEECH_ENCODER_PREFIX,
  withEncoderLayers,
} from '../../src/systems/encoder-layers.js';
import { phaseParameters } from '../../src/systems/phase-graphs.js';
import { audioKeys } from '../../src/systems/settings.js';
import { describeEncoder } from '../../src/systems/speech-features.js';
import type { PhaseGraphs } from '../../src/systems/system.js';
import { recordEncoder } from '../backbones/speech-encoders/encoding.js';
import { run } from '../engine/onnx-operators.js';
import { largestError, parityError } from '../parity/figures.js';

const fixtures = new URL('../fixtures/', import.meta.url).pathname;
const settings = audioKeys.encoder.parse({});

/** A phase whose output is what it reads of the encoder, and whose loss is a product with given factors. */
function bare(width: number): Omit<PhaseGraphs, 'frozen'> {
  return {
    ...{ name: 'bare', isTrainable: (key) => key === 'own' },
    inputs: [
      { name: 'audio_features', dtype: 'float16', shape: ['batch', 'frames', width] },
      { name: 'frame_mask', dtype: 'int64', shape: ['batch', 'frames'] },
    ],
    targets: [{ name: 'factors', dtype: 'float32', shape: ['batch', 'frames', width] }],
    forward: (_, batch) => ({ probabilities: batch.audio_features!, embedding: undefined }),
    loss: (_, { audio_features, factors }) => ({
      loss: reduceSum(mul(audio_features!, factors!), [0, 1, 2]),
      reported: {},
    }),
  };
}

/** The outputs of a bare phase, its loss, and the gradients of the loss by key. */
async function computed(
  encoder: EncoderReading,
  given: EncoderSettings,
  parameters: Readonly<Record<string, Tensor>>,
  batch: Readonly<Record<string, Tensor>>,
) {
  const phase = withEncoderLayers(bare(encoder.width), encoder, given);
  const graph = createGraph('phase');
  const values: Record<string, Value> = {};
  for (const { name, dtype, shape } of [...phase.inputs, ...phase.targets]) {
    values[name] = addInput(graph, name, dtype, shape);
  }
  const weights = new Map(
    Object.entries(parameters).map(([key, { shape }]) => [key, addInput(graph, key, 'float32', shape)]),
  );
  const lookup = (key: string) => weights.get(key) ?? expect.fail(`reads ${key}`);
  const { probabilities } = phase.forward(lookup, values);
  const { loss } = phase.loss(lookup, values, noDropout);
  addOutput(graph, probabilities, 'read');
  addOutput(graph, loss, 'loss');
  const keys = [...weights.keys()];
  for (const [index, slope] of gradients(loss, [...weights.values()]).entries()) {
    addOutput(graph, slope, `gradient.${keys[index]}`);
  }
  const outputs = await run(graph, { ...batch, ...parameters });
  return {
    read: outputs.read!,
    loss: (outputs.loss!.data as Float32Array)[0]!,
    gradient: (key: string) => outputs[`gradient.${key}`]!,
  };
}

const { tensors: reference } = await readSafetensors(join(fixtures, 'encoder-layers.safetensors'));
const cases = [...reference.keys()]
  .filter((key) => key.endsWith('.features'))
  .map((key) => key.replace('.features', ''));

describe.each(cases)('the trained layers of %s', (name) => {
  const of = (key: string): Tensor | undefined => reference.get(`${name}.${key}`);
  const [folder, read, first] = name.split('.') as [string, string, string];
  const encoderFolder = join(fixtures, folder);
  const layers = read.split('-').map(Number);
  const opened = async () => {
    const config = await readEncoderConfig(encoderFolder);
    const train: TrainedLayers = first === '0' ? 'all' : `top:${config.numHiddenLayers - Number(first)}`;
    const chosen: EncoderSettings = { ...settings, layers, train, dropout: 0 };
    const recipe = { backbones: { encoder: encoderFolder, encoder_onnx: null }, encoder: chosen };
    return { chosen, recipe, encoder: await describeEncoder(recipe, { mayBeAbsent: false }) };
  };

  it('give what transformers gives, with its gradients', async () => {
    const { chosen, recipe, encoder } = await opened();
    const graphs = withEncoderLayers(bare(encoder.width), encoder, chosen);
    const { trainable, frozen } = phaseParameters({ ...graphs, name: 'bare' });
    expect(frozen).toEqual([]);
    const initial = await initialEncoderLayers(trainable, recipe, undefined);
    const shares = of('shares');
    expect(shares === undefined).toBe(layers.length === 1);
    const parameters = { ...initial, ...(shares && { [LAYER_MIX_KEY]: shares }) };
    const clips = [of('mixed.0')!, of('mixed.1')!];
    const frames = clips[0]!.shape[0]!;
    const mask = tensor('int64', [2, frames]);
    const factors = float32Of(of('factors')!);
    clips.forEach(({ shape: [own] }, clip) => {
      mask.data.fill(1n, clip * frames, clip * frames + own!);
      factors.fill(0, (clip * frames + own!) * encoder.width, (clip + 1) * frames * encoder.width);
    });
    const found = await computed(encoder, chosen, parameters, {
      audio_features: of('features')!,
      frame_mask: mask,
      factors: tensor('float32', of('factors')!.shape, factors),
    });
    const values = float32Of(found.read);
    const errors = clips.map((wanted, clip) => {
      const start = clip * frames * encoder.width;
      const own = values.slice(start, start + wanted.shape[0]! * encoder.width);
      return parityError(tensor('float32', wanted.shape, own), wanted);
    });
    const prefix = `${name}.gradient.`;
    const wanted = [...reference.keys()].filter((key) => key.startsWith(prefix));
    // A constant added to all keys changes no attention: these gradients are only rounding.
    const moves = ({ data }: Tensor): boolean =>
      (data as Float32Array).some((value) => Math.abs(value) > 1e-4);
    const keys = trainable.map(({ key }) => key).filter((key) => !key.endsWith('k_proj.bias'));
    expect(
      wanted
        .filter((key) => !key.endsWith('k_proj.bias'))
        .map((key) => key.slice(prefix.length))
        .sort(),
    ).toEqual([...keys].sort());
    const slopes = keys.map((key) => {
      const slope = reference.get(prefix + key)!;
      expect(moves(slope), key).toBe(true);
      return parityError(found.gradient(key), slope);
    });
    const checkpoint = await openCheckpoint(encoderFolder);
    recordEncoder(name, checkpoint, 'trained layers', largestError(errors));
    recordEncoder(name, checkpoint, 'gradients of trained layers', largestError(slopes));
    for (const error of [...errors, ...slopes]) expect(error.relative).toBeLessThan(1e-4);
  });
});

const [ROWS, FRAMES, HELD, WIDTH] = [2, 3, 4, 5];
const random = seededRandom('layer mix');
const features = normalArray(random, ROWS * FRAMES * HELD * WIDTH, 1);
const factors = normalArray(random, ROWS * FRAMES * WIDTH, 1);
const parameters = [0.4, -0.2, 1.1, 0.1];
const summed: EncoderReading = { ...NO_AUDIO, width: WIDTH, held: HELD, heldUntrained: HELD };
const single: EncoderReading = { ...summed, held: 1, heldUntrained: 1 };

function mixed(values: readonly number[]) {
  const mask = tensor('int64', [ROWS, FRAMES]);
  return computed(
    summed,
    settings,
    { [LAYER_MIX_KEY]: float32([HELD], values) },
    {
      audio_features: tensor('float16', [ROWS, FRAMES, HELD * WIDTH], encodeHalf(features)),
      factors: tensor('float32', [ROWS, FRAMES, WIDTH], factors),
      frame_mask: mask,
    },
  );
}

const half = (value: number): number => new Float32Array([value])[0]!;

describe('the learned sum of layers', () => {
  it('weighs each layer by the share that its parameters give', async () => {
    const shares = layerShares(Float32Array.from(parameters));
    expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 12);
    expect(shares[2]! / shares[0]!).toBeCloseTo(Math.exp(half(1.1) - half(0.4)), 4);
    const mix = float32Of((await mixed(parameters)).read);
    for (let frame = 0; frame < ROWS * FRAMES; frame++) {
      for (let channel = 0; channel < WIDTH; channel++) {
        const wanted = shares.reduce(
          (sum, share, layer) => sum + share * features[(frame * HELD + layer) * WIDTH + channel]!,
          0,
        );
        expect(Math.abs(mix[frame * WIDTH + channel]! - wanted)).toBeLessThan(2e-3); // features are float16
      }
    }
  });

  it('has the gradient of finite differences', async () => {
    const gradient = float32Of((await mixed(parameters)).gradient(LAYER_MIX_KEY));
    const step = 1e-2;
    for (const index of parameters.keys()) {
      const moved = (by: number) => parameters.map((value, at) => (at === index ? value + by : value));
      const [up, down] = [await mixed(moved(step)), await mixed(moved(-step))];
      const wanted = (up.loss - down.loss) / (2 * step);
      expect(Math.abs(gradient[index]! - wanted)).toBeLessThan(0.02 * Math.max(1, Math.abs(wanted)));
    }
  });

  it('begins with the mean, which is what statistics are taken of', async () => {
    const recipe = { backbones: { encoder: null, encoder_onnx: null } };
    const initial = await initialEncoderLayers(
      [
        { key: LAYER_MIX_KEY, shape: [HELD] },
        { key: 'other', shape: [1] },
      ],
      recipe,
      undefined,
    );
    expect(Object.keys(initial)).toEqual([LAYER_MIX_KEY]);
    expect([...(initial[LAYER_MIX_KEY]!.data as Float32Array)]).toEqual([0, 0, 0, 0]);
    const words = encodeHalf(features.slice(0, FRAMES * HELD * WIDTH));
    const source = {
      frames: () => FRAMES,
      read: async () => ({ frames: FRAMES, width: HELD * WIDTH, words }),
    };
    const { width, words: means } = await equallyMixed(source, summed).read({ id: '' });
    expect(width).toBe(WIDTH);
    const mix = float32Of((await mixed([0, 0, 0, 0])).read);
    const wanted = encodeHalf(mix.slice(0, FRAMES * WIDTH));
    expect(means.every((word, index) => Math.abs(word - wanted[index]!) <= 1)).toBe(true);
    expect(equallyMixed(source, single)).toBe(source);
  });

  it('is trained beside the rest, and absent where one layer is read', () => {
    const phase = bare(WIDTH);
    const graphs = withEncoderLayers(phase, summed, settings);
    expect(graphs.inputs[0]!.shape).toEqual(['batch', 'frames', HELD * WIDTH]);
    expect(
      [LAYER_MIX_KEY, `${SPEECH_ENCODER_PREFIX}x`, 'own', 'frozen'].map((key) => graphs.isTrainable(key)),
    ).toEqual([true, true, true, false]);
    expect(withEncoderLayers(phase, single, settings)).toBe(phase);
  });
});

describe('masks in training', () => {
  const [clips, frames, width] = [3, 400, 50];
  const lengths = [400, 250, 120];
  const values = normalArray(seededRandom('masks'), clips * frames * width, 1);
  const mask = tensor('int64', [clips, frames]);
  lengths.forEach((own, clip) => {
    mask.data.fill(1n, clip * frames, clip * frames + own);
  });
  const none = { share: 0, length: 1 };

  /** Masked values of step `step`. */
  async function masked(masks: Parameters<typeof maskSpans>[2], step: number): Promise<Float32Array> {
    const graph = createGraph('masks');
    const x = addInput(graph, 'x', 'float32', ['batch', 'frames', width]);
    const real = addInput(graph, 'mask', 'int64', ['batch', 'frames']);
    const index = addInput(graph, 'index', 'int64', []);
    const dropout = createDropout(graph, ['K'], (table) => hostColumn(table, index));
    addOutput(graph, maskSpans(x, real, masks, dropout.apply), 'masked');
    const sizes = { batch: clips, frames };
    const outputs = await run(graph, {
      x: tensor('float32', [clips, frames, width], values),
      mask,
      index: tensor('int64', [], BigInt64Array.of(0n)),
      ...dropoutPools(dropout.plan, 7, sizes),
      ...dropoutWindows(dropout.plan, 7, step, [sizes], sizes),
    });
    return float32Of(outputs.masked!);
  }

  const meanOf = (clip: number, channel: number): number => {
    let sum = 0;
    for (let frame = 0; frame < lengths[clip]!; frame++)
      sum += values[(clip * frames + frame) * width + channel]!;
    return sum / lengths[clip]!;
  };
  /** Whether a value is the mean of its clip's channel, where it was not. */
  const isMasked = (found: Float32Array, clip: number, frame: number, channel: number): boolean => {
    const at = (clip * frames + frame) * width + channel;
    if (found[at] === values[at]) return false;
    expect(Math.abs(found[at]! - meanOf(clip, channel))).toBeLessThan(1e-5);
    return true;
  };

  it('cover spans of frames, of about the share that is asked for, with the mean of the clip', async () => {
    const length = 10;
    let [count, steps] = [0, 0];
    for (const step of [0, 1, 2, 3, 4, 5]) {
      const found = await masked({ frames: { share: 0.3, length }, channels: none }, step);
      for (const clip of lengths.keys()) {
        const rows = [...Array(lengths[clip]!).keys()].map((frame) => isMasked(found, clip, frame, 0));
        rows.forEach((isIn, frame) => {
          for (let channel = 1; channel < width; channel++) {
            expect(isMasked(found, clip, frame, channel)).toBe(isIn);
          }
        });
        // A run that neither begins at the edge nor ends there is at least a span long.
        const runs = rows
          .map((isIn) => (isIn ? '1' : '0'))
          .join('')
          .split('0')
          .filter(Boolean);
        for (const run of runs.slice(1, -1)) expect(run.length).toBeGreaterThanOrEqual(length);
        count += rows.filter(Boolean).length;
        steps += rows.length;
      }
    }
    const expected = 1 - (1 - 0.3 / length) ** length; // with the overlap of spans
    expect(Math.abs(count / steps - expected)).toBeLessThan(0.08);
  });

  it('cover spans of channels in all frames of a clip', async () => {
    const found = await masked({ frames: none, channels: { share: 0.5, length: 7 } }, 3);
    let count = 0;
    for (const clip of lengths.keys()) {
      for (let channel = 0; channel < width; channel++) {
        const isIn = isMasked(found, clip, 0, channel);
        if (isIn) count++;
        for (let frame = 1; frame < lengths[clip]!; frame++) {
          expect(isMasked(found, clip, frame, channel)).toBe(isIn);
        }
      }
    }
    expect(count).toBeGreaterThan(10);
    expect(count).toBeLessThan(clips * width);
  });

  it('are a function of the seed and the step, and absent outside of training', async () => {
    const masks = { frames: { share: 0.2, length: 5 }, channels: { share: 0.2, length: 5 } };
    const [first, again, other] = [await masked(masks, 2), await masked(masks, 2), await masked(masks, 3)];
    expect(again).toEqual(first);
    expect(other).not.toEqual(first);
    const chosen = { ...settings, mask_frames: 0.2 };
    const graphs = withEncoderLayers(bare(WIDTH), single, chosen);
    const graph = createGraph('inference');
    const x = addInput(graph, 'audio_features', 'float16', ['batch', 'frames', WIDTH]);
    const real = addInput(graph, 'frame_mask', 'int64', ['batch', 'frames']);
    graphs.forward(() => expect.fail(), { audio_features: x, frame_mask: real });
    expect(graph.nodes.map(({ operator }) => operator)).toEqual(['Cast']);
  });
});

describe('what is cached below trained layers', () => {
  const config = { numHiddenLayers: 12 };
  const selection = (layers: LayerSelection['layers']): LayerSelection => ({ layers, mix: 'mean' });

  it('is the input of the first of them, after lower layers that are read', () => {
    expect(trainedFrom('frozen', selection('last'), config)).toBeUndefined();
    expect(trainedFrom('top:4', selection('last'), config)).toBe(8);
    expect(trainedFrom('all', selection([3]), config)).toBe(0);
    expect(cachedBelow(selection('last'), 8, config)).toEqual({ layers: [8], mix: 'learned' });
    expect(cachedBelow(selection([12, 8, 3, 9]), 8, config).layers).toEqual([3, 8]);
    expect(cachedBelow(selection('all'), 0, config).layers).toEqual([0]);
  });

  it('is refused where no trained layer is read, or there are not as many', () => {
    expect(() => trainedFrom('top:4', selection([3, 8]), config)).toThrow(
      'encoder.train is top:4, but encoder.layers reads nothing above layer 8; read one of layers 9 to 12, or set encoder.train to frozen',
    );
    expect(() => trainedFrom('top:13', selection('last'), config)).toThrow(
      'encoder.train is top:13, but the encoder has 12 layers',
    );
  });
});

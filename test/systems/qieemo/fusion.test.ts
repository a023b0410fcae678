/** @file Qieemo's fusion against PyTorch: values and gradients, whole and without each of its parts. Reference: test/reference/qieemo.py. */

import { describe, expect, it } from 'vitest';
import { gradients } from '../../../src/engine/autodiff/index.js';
import { addInput, addOutput, createGraph, type Value } from '../../../src/engine/onnx/index.js';
import { float32Of, readSafetensors, type Tensor, tensor } from '../../../src/engine/tensor/index.js';
import { noDropout } from '../../../src/nn/index.js';
import { NO_AUDIO, withEncoderLayers } from '../../../src/systems/encoder-layers.js';
import { phaseParameters } from '../../../src/systems/phase-graphs.js';
import type { FusionConfig } from '../../../src/systems/qieemo/fusion.js';
import { type QieemoRecipe, qieemoSchema } from '../../../src/systems/qieemo/settings.js';
import { emotionGraphs } from '../../../src/systems/qieemo/system.js';
import { run } from '../../engine/onnx-operators.js';
import { largestError, parityError, recordParity } from '../../parity/figures.js';

const { tensors } = await readSafetensors(
  new URL('../../fixtures/qieemo.safetensors', import.meta.url).pathname,
);
const of = (key: string): Tensor => tensors.get(key) ?? expect.fail(`no ${key}`);
const [FEATURES, SYMBOLS, CLASSES] = [9, 4, 3];
const sizes: FusionConfig = {
  ...{ width: 6, mmf: true, cma: true, heads: 2, feedForward: 10, headHidden: 5, classes: CLASSES },
  dropout: 0,
};
const { emotion, encoder: settings } = qieemoSchema.pick({ emotion: true, encoder: true }).parse({}) as Pick<
  QieemoRecipe,
  'emotion' | 'encoder'
>;
const variants: Readonly<Record<string, Partial<FusionConfig> & { streams?: 'ppg' | 'emotion' }>> = {
  whole: {},
  without_mmf: { mmf: false },
  without_cma: { cma: false },
  sum: { mmf: false, cma: false },
  ppg: { streams: 'ppg' },
  emotion: { streams: 'emotion' },
};

describe.each(Object.keys(variants))('the fusion of Qieemo, %s', (name) => {
  const { streams, ...changes } = variants[name]!;
  const [held, vocabulary] = [streams === 'ppg' ? 0 : 1, streams === 'emotion' ? 0 : SYMBOLS];
  const encoder = {
    ...NO_AUDIO,
    width: FEATURES,
    held,
    heldUntrained: held,
    vocabulary,
    symbols: vocabulary,
  };
  const config = { ...sizes, ...changes };
  const inputs = [
    { name: 'audio_features', dtype: 'float16', shape: ['batch', 'frames', FEATURES] },
    { name: 'frame_mask', dtype: 'int64', shape: ['batch', 'frames'] },
  ] as const;
  const graphs = withEncoderLayers(emotionGraphs({ emotion }, config, inputs, [1, 1, 1]), encoder, settings);

  it('has the values and the gradients of PyTorch', async () => {
    const frames = [...(of('frames').data as BigInt64Array)].map(Number);
    const longest = Math.max(...frames);
    const [features, logits] = [of('features').data as Uint16Array, of('logits').data as Uint16Array];
    const width = held * FEATURES + vocabulary;
    const cached = tensor('float16', [frames.length, longest, width]);
    for (let frame = 0; frame < frames.length * longest; frame++) {
      const states = features.slice(frame * FEATURES, (frame + 1) * FEATURES * held);
      if (held > 0) cached.data.set(states.slice(0, FEATURES), frame * width);
      if (vocabulary > 0) {
        cached.data.set(
          logits.slice(frame * SYMBOLS, (frame + 1) * SYMBOLS),
          frame * width + held * FEATURES,
        );
      }
    }
    const mask = tensor('int64', [frames.length, longest]);
    for (const [clip, own] of frames.entries()) mask.data.fill(1n, clip * longest, clip * longest + own);

    const graph = createGraph('qieemo');
    const batch: Record<string, Value> = {};
    for (const { name: input, dtype, shape } of [...graphs.inputs, ...graphs.targets]) {
      batch[input] = addInput(graph, input, dtype, shape);
    }
    const parameters = phaseParameters(graphs).trainable;
    const weights = new Map(
      parameters.map(({ key, shape }) => [key, addInput(graph, key, 'float32', shape)]),
    );
    const lookup = (key: string): Value => weights.get(key) ?? expect.fail(`reads ${key}`);
    const { probabilities, embedding } = graphs.forward(lookup, batch);
    const { loss } = graphs.loss(lookup, batch, noDropout);
    for (const [output, value] of Object.entries({ probabilities, embedding: embedding!, loss })) {
      addOutput(graph, value, output);
    }
    gradients(loss, [...weights.values()]).forEach((slope, index) => {
      addOutput(graph, slope, `gradient.${parameters[index]!.key}`);
    });
    const values = Object.fromEntries(parameters.map(({ key }) => [key, of(`${name}.${key}`)]));
    const found = await run(graph, {
      ...{ audio_features: cached, frame_mask: mask, labels: of('labels'), ...values },
    });

    const prefix = `${name}.gradient.`;
    const wanted = [...tensors.keys()]
      .filter((key) => key.startsWith(prefix))
      .map((key) => key.slice(prefix.length));
    expect(wanted.sort()).toEqual(parameters.map(({ key }) => key).sort());
    const outputs = ['probabilities', 'embedding'].map((key) =>
      parityError(found[key]!, of(`${name}.${key}`)),
    );
    const loss0 = float32Of(of(`${name}.loss`))[0]!;
    expect(Math.abs(float32Of(found.loss!)[0]! - loss0)).toBeLessThan(1e-5);
    // A constant added to all keys changes no attention, so that the gradient of their bias is rounding.
    const slopes = wanted
      .filter((key) => !/\.key\.bias$/.test(key))
      .map((key) => parityError(found[`gradient.${key}`]!, of(prefix + key)));
    const row = { model: `Qieemo, ${name}`, shape: 'width 6', dtype: 'float32' };
    recordParity({ ...row, quantity: 'probabilities and embedding', ...largestError(outputs) });
    recordParity({ ...row, quantity: 'gradients', ...largestError(slopes) });
    for (const { relative } of outputs) expect(relative).toBeLessThan(1e-5);
    for (const { relative } of slopes) expect(relative).toBeLessThan(1e-4);
  });
});

/** @file The hidden states of chosen layers, against transformers. Reference: test/reference/hidden-layers.py. */

import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildEncoderGraph, encoderGraph } from '../../../src/backbones/speech-encoders/encoder-families.js';
import { encoderWidth, openSpeechEncoder } from '../../../src/backbones/speech-encoders/encoder-source.js';
import {
  chosenLayers,
  type LayerSelection,
  resolvedSelection,
  selectionName,
} from '../../../src/backbones/speech-encoders/layer-selection.js';
import { InputError } from '../../../src/base/index.js';
import { openCheckpoint } from '../../../src/checkpoints/index.js';
import { createSession } from '../../../src/engine/runtime/index.js';
import { float32Of, readSafetensors, type Tensor, tensor } from '../../../src/engine/tensor/index.js';
import { largestError, parityError } from '../../parity/figures.js';
import { recordEncoder } from './encoding.js';

const fixtures = new URL('../../fixtures/', import.meta.url).pathname;
const { tensors } = await readSafetensors(join(fixtures, 'hidden-layers.safetensors'));
const clip = float32Of(tensors.get('clip')!);
const names = [
  ...new Set([...tensors.keys()].filter((key) => key !== 'clip').map((key) => key.replace(/\.\d+$/, ''))),
];
/** [first frames, width] of each layer. */
const statesOf = (name: string): Tensor[] =>
  [...tensors.keys()]
    .filter((key) => key.replace(/\.\d+$/, '') === name)
    .sort((a, b) => Number(a.split('.').at(-1)) - Number(b.split('.').at(-1)))
    .map((key) => tensors.get(key)!);

async function features(name: string, selection: LayerSelection) {
  const { model, weightsFolder } = buildEncoderGraph(await openCheckpoint(join(fixtures, name)), {
    ...{ groupNormSteps: 'padded', selection },
  });
  const session = await createSession(model, { device: { kind: 'cpu' }, threads: 1, weightsFolder });
  const ones = tensor('int64', [1, clip.length]);
  ones.data.fill(1n);
  const outputs = await session.run({
    input_values: tensor('float32', [1, clip.length], clip),
    attention_mask: ones,
  });
  await session.dispose();
  return outputs;
}

function largest(found: Float32Array, wanted: Float32Array): number {
  return Math.max(...wanted.map((value, index) => Math.abs(value - found[index]!)));
}

describe.each(names)('the layers of %s', (name) => {
  const states = statesOf(name).map(float32Of);
  const width = statesOf(name)[0]!.shape[1]!;
  const frames = statesOf(name)[0]!.shape[0]!;
  const last = states.length - 1;
  const part = (whole: Float32Array, held: number, layer: number): Float32Array =>
    Float32Array.from({ length: frames * width }, (_, index) => {
      const [frame, channel] = [Math.floor(index / width), index % width];
      return whole[frame * held * width + layer * width + channel]!;
    });

  it('are those of transformers, one after the other', async () => {
    const { hidden_states: all } = await features(name, { layers: 'all', mix: 'learned' });
    expect(all!.shape[2]).toBe((last + 1) * width);
    const errors = statesOf(name).map((state, layer) =>
      parityError(tensor('float32', state.shape, part(all!.data as Float32Array, last + 1, layer)), state),
    );
    recordEncoder(
      name.split('/')[1]!,
      await openCheckpoint(join(fixtures, name)),
      'hidden states of every layer',
      largestError(errors),
    );
    states.forEach((state, layer) => {
      expect(largest(part(all!.data as Float32Array, last + 1, layer), state)).toBeLessThan(1e-4);
    });
    const two = await features(name, { layers: [last, 0], mix: 'learned' });
    for (const [place, layer] of [0, last].entries()) {
      expect(largest(part(two.hidden_states!.data as Float32Array, 2, place), states[layer]!)).toBeLessThan(
        1e-4,
      );
    }
  });

  it('have the mean as features, where that is asked for', async () => {
    const { hidden_states: mean } = await features(name, { layers: [0, last], mix: 'mean' });
    const wanted = states[0]!.map((value, index) => (value + states[last]![index]!) / 2);
    expect(mean!.shape[2]).toBe(width);
    expect(largest(mean!.data as Float32Array, wanted)).toBeLessThan(1e-4);
  });

  it('are computed up to the highest that is asked for', async () => {
    const checkpoint = await openCheckpoint(join(fixtures, name));
    const size = (layers: LayerSelection['layers']): number =>
      encoderGraph(checkpoint, { selection: { layers, mix: 'learned' } }).nodes.length;
    expect(size([0])).toBeLessThan(size('all'));
    const { hidden_states: one } = await features(name, { layers: [last - 1], mix: 'learned' });
    expect(largest(one!.data as Float32Array, states[last - 1]!)).toBeLessThan(1e-4);
    const { last_hidden_state: same } = await features(name, { layers: [last], mix: 'mean' });
    expect(largest(same!.data as Float32Array, states[last]!)).toBeLessThan(1e-4);
  });
});

describe('a selection of layers', () => {
  const config = { numHiddenLayers: 12 };
  it('is named by its layers, and not at all where it is the last', () => {
    const named = (layers: LayerSelection['layers'], mix: LayerSelection['mix'] = 'learned') =>
      selectionName({ layers, mix }, config);
    expect(named('last')).toBe('');
    expect(named([12], 'mean')).toBe('');
    expect(named([12, 9, 9])).toBe('layers-9-12');
    expect(named([9, 12], 'mean')).toBe('layers-9-12-mean');
    expect(named([9], 'mean')).toBe('layers-9');
    expect(named('all', 'mean')).toBe('layers-all-mean');
  });

  it('means the same by numbers', () => {
    expect(resolvedSelection({ layers: 'all', mix: 'mean' }, { numHiddenLayers: 2 })).toEqual({
      ...{ layers: [0, 1, 2], mix: 'mean' },
    });
    expect(resolvedSelection({ layers: [12], mix: 'mean' }, config).layers).toBe('last');
  });

  it('is refused where the encoder does not have it', async () => {
    expect(() => chosenLayers({ layers: [3, 13] }, config)).toThrow(InputError);
    await expect(
      encoderWidth(join(fixtures, 'hubert', 'base-odd'), null, { layers: [40], mix: 'mean' }),
    ).rejects.toThrow(/^encoder\.layers has 40, but the encoder's layers are 0 to \d+$/);
  });

  it('gives a clip the features that it has alone, in a batch too', async () => {
    const layers = { layers: 'all', mix: 'learned' } as const;
    const encoder = await openSpeechEncoder(join(fixtures, 'hubert', 'base-odd'), {
      ...{ device: { kind: 'cpu' }, threads: 1, layers },
    });
    const clips = [clip, clip.slice(0, 3000)];
    const together = await encoder.encode(clips);
    for (const [index, own] of clips.entries()) {
      expect((await encoder.encode([own]))[0]).toEqual(together[index]);
    }
    await encoder.close();
  });
});

describe('a third of the layers', () => {
  const thirdsOf = (numHiddenLayers: number) =>
    (['lower', 'middle', 'upper'] as const).map((layers) => chosenLayers({ layers }, { numHiddenLayers }));

  it('is one of three parts that meet, the middle one the largest', () => {
    for (const depth of [3, 4, 5, 6, 12, 24, 25, 26]) {
      const thirds = thirdsOf(depth);
      expect(thirds.flat()).toEqual(Array.from({ length: depth }, (_, index) => index + 1));
      expect(thirds[1]!.length).toBeGreaterThanOrEqual(thirds[0]!.length);
      expect(thirds[0]).toHaveLength(thirds[2]!.length);
    }
    expect(thirdsOf(12)[1]).toEqual([5, 6, 7, 8]);
    expect(thirdsOf(2)).toEqual([[1], [2], [2]]);
    expect(thirdsOf(1)).toEqual([[1], [1], [1]]);
  });

  it('has the features of the same layers by number', () => {
    const config = { numHiddenLayers: 12 };
    const name = (layers: LayerSelection['layers']) => selectionName({ layers, mix: 'learned' }, config);
    expect(name('middle')).toBe(name([5, 6, 7, 8]));
  });
});

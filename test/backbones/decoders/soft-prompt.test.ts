import { describe, expect, it } from 'vitest';
import { spliceSoftPrompt } from '../../../src/backbones/index.js';
import { gradients } from '../../../src/engine/autodiff/index.js';
import { addInput, createGraph, mul, reduceSum } from '../../../src/engine/onnx/index.js';
import { int64, seededRandom, type Tensor, tensor } from '../../../src/engine/tensor/index.js';
import { compute, type Feed } from './graph-run.js';

const [batch, length, width] = [3, 5, 4];
const random = seededRandom(3, 'soft prompt');
const uniform = (shape: number[]): Tensor<'float64'> => {
  const made = tensor('float64', shape);
  made.data.forEach((_, i) => {
    made.data[i] = random.uniform() - 0.5;
  });
  return made;
};
const embeddings = uniform([batch, length, width]);
const weighting = uniform([batch, length, width]);

/** Spliced embeddings, loss = sum(weighting * spliced^2) and its gradients. */
function splice(softPrompt: Tensor, audioPosition: number[], slotMask?: Tensor) {
  const slotDims = softPrompt.shape.length === 2 ? ['N', width] : ['N', 'S', width];
  const feeds: Record<string, Feed> = {
    embeddings: [embeddings, ['N', 'L', width]],
    weighting: [weighting, ['N', 'L', width]],
    softPrompt: [softPrompt, slotDims],
    audioPosition: [int64([batch], audioPosition), ['N']],
    ...(slotMask && { slotMask: [slotMask, ['N', 'S']] as const }),
  };
  return compute(feeds, (_, inputs) => {
    const { embeddings, softPrompt, audioPosition, slotMask, weighting } = inputs as Required<typeof inputs>;
    const spliced = spliceSoftPrompt({
      embeddings: embeddings!,
      softPrompt: softPrompt!,
      audioPosition: audioPosition!,
      ...(slotMask && { slotMask }),
    });
    const loss = reduceSum(mul(mul(spliced, spliced), weighting!));
    const [slots, words] = gradients(loss, [softPrompt!, embeddings!]);
    return { spliced, loss, slots: slots!, words: words! };
  });
}

/** Row `position` of utterance `n`. */
const row = ({ data }: Tensor, n: number, position: number, rows = length) =>
  Array.from(data as Float64Array).slice((n * rows + position) * width, (n * rows + position + 1) * width);

describe('the soft prompt', () => {
  it('takes the place of the placeholder and of nothing else', async () => {
    const soft = uniform([batch, width]);
    const { spliced } = await splice(soft, [2, -1, 0]);
    const places = [2, -1, 0];
    for (let n = 0; n < batch; n++) {
      for (let position = 0; position < length; position++) {
        const wanted = position === places[n] ? row(soft, n, 0, 1) : row(embeddings, n, position);
        expect(row(spliced!, n, position)).toEqual(wanted);
      }
    }
  });

  it('fills consecutive places with several slots, and leaves masked slots to the words', async () => {
    const soft = uniform([batch, 3, width]);
    const mask = int64([batch, 3], [1, 1, 1, 1, 1, 1, 1, 1, 0]);
    const { spliced } = await splice(soft, [1, -1, 2], mask);
    expect([0, 1, 2].map((slot) => row(spliced!, 0, 1 + slot))).toEqual(
      [0, 1, 2].map((slot) => row(soft, 0, slot, 3)),
    );
    expect(row(spliced!, 0, 4)).toEqual(row(embeddings, 0, 4));
    // -1 + 1 is a valid position, but this utterance has no audio at all.
    for (let position = 0; position < length; position++)
      expect(row(spliced!, 1, position)).toEqual(row(embeddings, 1, position));
    expect(row(spliced!, 2, 3)).toEqual(row(soft, 2, 1, 3));
    expect(row(spliced!, 2, 4)).toEqual(row(embeddings, 2, 4));
  });

  it('has the gradient of finite differences', async () => {
    const places = [1, -1, 3];
    const soft = uniform([batch, 2, width]);
    const { slots, words } = await splice(soft, places);
    const step = 1e-5;
    for (let i = 0; i < soft.data.length; i += 3) {
      const losses = [];
      for (const sign of [1, -1]) {
        const moved = { ...soft, data: soft.data.slice() };
        moved.data[i]! += sign * step;
        losses.push(Number((await splice(moved, places)).loss!.data[0]));
      }
      const difference = (losses[0]! - losses[1]!) / (2 * step);
      expect(Number(slots!.data[i])).toBeCloseTo(difference, 7);
      if (Math.floor(i / (2 * width)) === 1) expect(difference).toBe(0);
    }
    expect(row(words!, 0, 1).every((value) => value === 0)).toBe(true);
    expect(row(words!, 0, 0).every((value) => value !== 0)).toBe(true);
  });

  it('refuses a soft prompt of another width', () => {
    const graph = createGraph('test');
    const embeddings = addInput(graph, 'embeddings', 'float32', ['N', 'L', width]);
    const softPrompt = addInput(graph, 'softPrompt', 'float32', ['N', width + 1]);
    const audioPosition = addInput(graph, 'audioPosition', 'int64', ['N']);
    expect(() => spliceSoftPrompt({ embeddings, softPrompt, audioPosition })).toThrow(
      'soft prompt [N, 5] for embeddings [N, L, 4]',
    );
  });
});

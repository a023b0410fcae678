/** @file The CTC loss and its gradient: PyTorch, a sum over all alignments, finite differences. */

import { describe, expect, it } from 'vitest';
import { gradients } from '../../src/engine/autodiff/index.js';
import { addInput, addOutput, createGraph } from '../../src/engine/onnx/index.js';
import {
  float32Of,
  normalArray,
  readSafetensors,
  seededRandom,
  type Tensor,
  tensor,
} from '../../src/engine/tensor/index.js';
import { ctcLoss, frameCrossEntropy } from '../../src/nn/index.js';
import { run } from '../engine/onnx-operators.js';
import { parityError, recordParity } from '../parity/figures.js';

interface Given {
  readonly logits: Tensor;
  readonly frames: readonly number[];
  readonly targets: readonly (readonly number[])[];
  readonly blank: number;
}

async function computed({ logits, frames, targets, blank }: Given) {
  const [rows, most, size] = logits.shape as [number, number, number];
  const graph = createGraph('ctc');
  const inputs = {
    logits: addInput(graph, 'logits', 'float32', ['batch', 'frames', size]),
    mask: addInput(graph, 'mask', 'int64', ['batch', 'frames']),
    symbols: addInput(graph, 'symbols', 'int64', ['batch', 'symbols']),
    symbolMask: addInput(graph, 'symbol_mask', 'int64', ['batch', 'symbols']),
  };
  const target = { symbols: inputs.symbols, mask: inputs.symbolMask };
  const { loss, impossible } = ctcLoss(inputs.logits, inputs.mask, target, blank);
  addOutput(graph, loss, 'loss');
  addOutput(graph, impossible, 'impossible');
  addOutput(graph, gradients(loss, [inputs.logits])[0]!, 'gradient');
  const length = Math.max(1, ...targets.map((symbols) => symbols.length));
  const [mask, ids, idMask] = [
    tensor('int64', [rows, most]),
    tensor('int64', [rows, length]),
    tensor('int64', [rows, length]),
  ];
  for (const [row, count] of frames.entries()) mask.data.fill(1n, row * most, row * most + count);
  for (const [row, symbols] of targets.entries()) {
    ids.data.set(symbols.map(BigInt), row * length);
    ids.data.fill(BigInt(blank), row * length + symbols.length, (row + 1) * length);
    idMask.data.fill(1n, row * length, row * length + symbols.length);
  }
  const outputs = await run(graph, { logits, mask, symbols: ids, symbol_mask: idMask });
  return {
    loss: float32Of(outputs.loss!)[0]!,
    impossible: float32Of(outputs.impossible!)[0]!,
    gradient: outputs.gradient!,
  };
}

const { tensors } = await readSafetensors(
  new URL('../fixtures/ctc-loss.safetensors', import.meta.url).pathname,
);

describe('the CTC loss', () => {
  it.each(['short', 'long'])('is that of PyTorch, with its gradient: %s', async (name) => {
    const of = (key: string): Tensor => tensors.get(`${name}.${key}`)!;
    const numbers = (key: string): number[] => [...(of(key).data as BigInt64Array)].map(Number);
    const [lengths, width] = [numbers('lengths'), of('targets').shape[1]!];
    const given = {
      ...{ logits: of('logits'), frames: numbers('frames'), blank: numbers('blank')[0]! },
      targets: lengths.map((count, row) => numbers('targets').slice(row * width, row * width + count)),
    };
    const { loss, impossible, gradient } = await computed(given);
    expect(impossible).toBeCloseTo(name === 'short' ? 1 / 5 : 0, 6);
    const wanted = float32Of(of('loss'))[0]!;
    expect(Math.abs(loss - wanted) / wanted).toBeLessThan(2e-6);
    const error = parityError(gradient, of('gradient'));
    const shape = of('logits').shape.join(' x ');
    recordParity({ model: 'CTC loss', shape, dtype: 'float32', quantity: 'gradient', ...error });
    expect(error.absolute).toBeLessThan(1e-6);
    expect(error.relative).toBeLessThan(1e-4);
  });

  it('is the sum over all alignments', async () => {
    const [frames, size, blank] = [5, 3, 2];
    const logits = tensor(
      'float32',
      [1, frames, size],
      normalArray(seededRandom('alignments'), frames * size, 1),
    );
    const probability = (frame: number, symbol: number): number => {
      const row = float32Of(logits).slice(frame * size, (frame + 1) * size);
      const powers = Array.from(row, Math.exp);
      return powers[symbol]! / powers.reduce((sum, power) => sum + power, 0);
    };
    const collapsed = (path: readonly number[]): string =>
      path.filter((symbol, at) => symbol !== blank && symbol !== path[at - 1]).join('');
    for (const target of [[0, 0], [1, 0], [0], []]) {
      let likelihood = 0;
      for (let code = 0; code < size ** frames; code++) {
        const path = Array.from({ length: frames }, (_, frame) => Math.floor(code / size ** frame) % size);
        if (collapsed(path) !== target.join('')) continue;
        likelihood += path.reduce((product, symbol, frame) => product * probability(frame, symbol), 1);
      }
      const { loss } = await computed({ logits, frames: [frames], targets: [target], blank });
      expect(loss).toBeCloseTo(-Math.log(likelihood) / Math.max(target.length, 1), 5);
    }
  });

  it('has the gradient of finite differences, none in padding', async () => {
    const [rows, frames, size] = [2, 6, 4];
    const values = normalArray(seededRandom('differences'), rows * frames * size, 1);
    const given = { frames: [6, 4], targets: [[1, 1, 3], [2]], blank: 0 };
    const at = (moved: Float32Array) =>
      computed({ ...given, logits: tensor('float32', [rows, frames, size], moved) });
    const slopes = float32Of((await at(values)).gradient);
    const step = 1e-2;
    for (const place of values.keys()) {
      const moved = (by: number) => values.map((value, index) => (index === place ? value + by : value));
      const wanted = ((await at(moved(step))).loss - (await at(moved(-step))).loss) / (2 * step);
      expect(Math.abs(slopes[place]! - wanted)).toBeLessThan(1e-4);
      if (place >= (frames + 4) * size) expect(Math.abs(slopes[place]!)).toBe(0);
    }
  });
});

describe('the cross-entropy of frames', () => {
  it('is the mean of -log P over the frames that count, and its gradient softmax minus one', async () => {
    const [rows, frames, size] = [2, 3, 4];
    const logits = tensor('float32', [rows, frames, size], normalArray(seededRandom(5), 24, 2));
    const graph = createGraph('frames');
    const inputs = {
      logits: addInput(graph, 'logits', 'float32', ['batch', 'frames', size]),
      labels: addInput(graph, 'labels', 'int64', ['batch', 'frames']),
      mask: addInput(graph, 'mask', 'int64', ['batch', 'frames']),
    };
    const loss = frameCrossEntropy(inputs.logits, inputs.labels, inputs.mask);
    addOutput(graph, loss, 'loss');
    addOutput(graph, gradients(loss, [inputs.logits])[0]!, 'gradient');
    const [labels, counts] = [
      [1, 0, 3, 2, 2, 0],
      [1, 1, 1, 1, 0, 0],
    ];
    const outputs = await run(graph, {
      logits,
      labels: tensor('int64', [rows, frames], BigInt64Array.from(labels, BigInt)),
      mask: tensor('int64', [rows, frames], BigInt64Array.from(counts, BigInt)),
    });
    let expected = 0;
    const gradient = float32Of(outputs.gradient!);
    for (const [row, label] of labels.entries()) {
      const scores = [...logits.data.subarray(row * size, (row + 1) * size)];
      const total = scores.reduce((sum, score) => sum + Math.exp(score), 0);
      expected -= (counts[row]! * (scores[label]! - Math.log(total))) / 4;
      for (const [symbol, score] of scores.entries()) {
        const slope = (Math.exp(score) / total - (symbol === label ? 1 : 0)) / 4;
        expect(gradient[row * size + symbol]!).toBeCloseTo(counts[row]! * slope, 6);
      }
    }
    expect(float32Of(outputs.loss!)[0]!).toBeCloseTo(expected, 5);
  });
});

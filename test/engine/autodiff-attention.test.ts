/** @file The gradient of a complete two-layer attention block, against finite differences and PyTorch's autograd. */

import { beforeAll, describe, expect, it } from 'vitest';
import { gradients } from '../../src/engine/autodiff/index.js';
import {
  add,
  addInput,
  addOutput,
  cast,
  constant,
  createGraph,
  type Dim,
  gelu,
  layerNorm,
  linear,
  matmul,
  mul,
  reduceSum,
  reshape,
  serializeModel,
  softmax,
  transpose,
  unsqueeze,
  type Value,
  where,
  withScope,
} from '../../src/engine/onnx/index.js';
import { createSession, type Tensors } from '../../src/engine/runtime/index.js';
import { readSafetensors, type Tensor, tensor } from '../../src/engine/tensor/index.js';
import { checkGradient, type Differentiable } from './finite-differences.js';

const WIDTH = 8;
const HEADS = 2;
const LAYERS = 2;
const fixture = new URL('../fixtures/autodiff.safetensors', import.meta.url).pathname;

/** Post-norm transformer layers. x [N, L, width], mask bool [N, L] true where a frame is real -> [N, L, width]. */
function attentionBlock(x: Value, mask: Value, weights: Readonly<Record<string, Value>>): Value {
  const { graph } = x;
  const [batch, frames] = x.shape as [Dim, Dim];
  const dense = (input: Value, name: string): Value =>
    linear(input, weights[`${name}.weight`]!, weights[`${name}.bias`]!);
  const norm = (input: Value, name: string): Value =>
    layerNorm(input, weights[`${name}.weight`]!, weights[`${name}.bias`]!, 1e-5);
  const heads = (input: Value): Value =>
    transpose(reshape(input, [batch, frames, HEADS, WIDTH / HEADS]), [0, 2, 1, 3]); // [N, heads, L, width / heads]
  const visible = unsqueeze(mask, [1, 2]); // [N, 1, 1, L]
  let state = x;
  for (let layer = 0; layer < LAYERS; layer++) {
    state = withScope(graph, `layer.${layer}`, () => {
      const at = (name: string): string => `layer.${layer}.${name}`;
      const [q, k, v] = ['query', 'key', 'value'].map((name) => heads(dense(state, at(name)))) as [
        Value,
        Value,
        Value,
      ];
      const logits = mul(matmul(q, transpose(k, [0, 1, 3, 2])), (WIDTH / HEADS) ** -0.5);
      const attention = softmax(where(visible, logits, Number.NEGATIVE_INFINITY)); // [N, heads, L, L]
      const context = reshape(transpose(matmul(attention, v), [0, 2, 1, 3]), [batch, frames, WIDTH]);
      const hidden = norm(add(state, dense(context, at('attention_output'))), at('attention_norm'));
      const inner = dense(gelu(dense(hidden, at('intermediate'))), at('output'));
      return norm(add(hidden, inner), at('output_norm'));
    });
  }
  return state;
}

let tensors: Map<string, Tensor>;
let parameterKeys: string[];
beforeAll(async () => {
  ({ tensors } = await readSafetensors(fixture));
  parameterKeys = [...tensors.keys()]
    .filter((key) => key.startsWith('gradient/'))
    .map((key) => key.slice('gradient/'.length));
});

/** Largest difference, relative to the largest element, or to 1 (a key bias has no gradient apart from rounding). */
function largestError(found: Tensor, expected: Tensor): number {
  const [got, wanted] = [found, expected].map(({ data }) => Array.from(data as Float64Array)) as [
    number[],
    number[],
  ];
  const scale = Math.max(1, ...wanted.map(Math.abs));
  return Math.max(...wanted.map((value, i) => Math.abs(value - got[i]!))) / scale;
}

describe('the gradient of a two-layer attention block', () => {
  it('is that of PyTorch autograd', async () => {
    const graph = createGraph('attention');
    const shapeOf = (key: string): readonly Dim[] =>
      key === 'x' ? ['N', 'L', WIDTH] : tensors.get(key)!.shape;
    const inputs = parameterKeys.map((key) => addInput(graph, key, 'float32', shapeOf(key)));
    const named = Object.fromEntries(inputs.map((value) => [value.name, value]));
    const mask = addInput(graph, 'mask', 'bool', ['N', 'L']);
    const lossWeights = addInput(graph, 'loss_weights', 'float64', ['N', 'L', WIDTH]);
    const y = attentionBlock(named.x!, mask, named);
    const loss = reduceSum(mul(cast(y, 'float64'), lossWeights));
    gradients(loss, inputs).forEach((gradient, i) => {
      addOutput(graph, gradient, `gradient/${parameterKeys[i]}`);
    });
    addOutput(graph, loss, 'loss');

    const session = await createSession(serializeModel(graph), { device: { kind: 'cpu' }, threads: 1 });
    const names = [...parameterKeys, 'mask', 'loss_weights'];
    const feeds: Tensors = Object.fromEntries(names.map((name) => [name, tensors.get(name)!]));
    const outputs = await session.run(feeds);
    await session.dispose();
    expect(parameterKeys).toHaveLength(1 + LAYERS * 16);
    expect(outputs.loss!.data[0]).toBeCloseTo(Number(tensors.get('loss')!.data[0]), 5);
    for (const key of parameterKeys) {
      const expected = tensors.get(`gradient/${key}`)!;
      const found = outputs[`gradient/${key}`]!;
      expect(found.shape, key).toEqual(expected.shape);
      expect(largestError(found, expected), key).toBeLessThan(1e-5);
    }
  });

  it('agrees with finite differences, element by element', async () => {
    const inputs: Record<string, Differentiable> = {};
    for (const key of parameterKeys) {
      inputs[key] = { shape: key === 'x' ? [2, 3, WIDTH] : tensors.get(key)!.shape };
    }
    const visible = tensor('bool', [2, 3], Uint8Array.from([1, 1, 1, 1, 0, 1]));
    const check = await checkGradient(
      {
        name: 'attention',
        dtype: 'float32',
        why: 'LayerNormalization and Erf have no float64 here',
        inputs,
        build: (v, graph) => attentionBlock(v.x!, constant(graph, visible), v),
      },
      {},
    );
    expect(check.elements).toBeGreaterThan(1000);
    expect(check.error).toBeLessThan(1e-3);
  });
});

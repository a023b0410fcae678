/**
 * @file Stage 2 with its language model in 16 bits, emulated on the CPU, compared with PyTorch under autocast on the
 * same weights: rounded at the same points, where almost every value must be the same, and as transformers rounds.
 * Reference: test/reference/precision.py, which lists the points that differ.
 */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Graph, Node } from '../../../src/engine/onnx/index.js';
import { type SessionWorker, startSessionWorker } from '../../../src/engine/runtime/index.js';
import { type DType, float32, float32Of, type Tensor } from '../../../src/engine/tensor/index.js';
import type { Precision } from '../../../src/nn/index.js';
import type { EmulationOptions } from '../../engine/emulated-precision.js';
import { largestError, parityError, recordParity } from '../../parity/figures.js';
import {
  differentiate,
  distance,
  openPrecisionCase,
  type PrecisionCase,
  predict,
  type ReferenceType,
  trainCase,
  trainingGraphOf,
} from './reduced-precision-case.js';
import { gradientErrors, rootMeanSquare } from './reference-case.js';

let worker: SessionWorker;
beforeAll(() => {
  worker = startSessionWorker();
});
afterAll(() => worker.close());

/** Largest relative error of a rounding. */
const unit = { bfloat16: 2 ** -8, float16: 2 ** -11 } as const;
/** Roundings on the way from a prompt to its loss and back, in the two layers of the models here. */
const ROUNDINGS = 50;
/**
 * Distances from PyTorch as parts of the distance between PyTorch in 16 bits and in float64: below SAME where values are
 * rounded at the same points. Another processor may sum in another order, and a single value that this puts on the other
 * side of a boundary changes all that follow; what follows is still near. float16 has more boundaries.
 */
const SAME = 0.2;
const near = { bfloat16: 0.9, float16: 2 } as const;

const cases = ['qwen2', 'qwen3'] as const;
const types = ['bfloat16', 'float16'] as const;

/** The distance of a result from PyTorch's, as a part of the latter's distance from float64. */
function part(opened: PrecisionCase, type: ReferenceType, key: string, result: Tensor): number {
  const theirs = opened.reference(type).expected(key);
  return distance(result, theirs) / distance(theirs, opened.reference('float64').expected(key));
}

function partOfGradients(
  opened: PrecisionCase,
  type: ReferenceType,
  result: ReadonlyMap<string, Tensor>,
  of: 'gradients' | 'after' = 'gradients',
): number {
  const theirs = opened.reference(type)[of];
  return distance(result, theirs) / distance(theirs, opened.reference('float64')[of]);
}

const flat = (values: ReadonlyMap<string, Tensor>): number[] =>
  [...values.values()].flatMap((value) => [...float32Of(value)]);

const first = (value: Tensor, count: number): Tensor =>
  float32([count], [...float32Of(value).slice(0, count)]);

const row = (name: string, type: string, rounded: string) => ({
  model: `stage 2 in ${type}`,
  shape: `${name === 'qwen2' ? 'Former; Qwen2' : 'Qwen3'} of 2 layers, 32`,
  dtype: `${type} products, reference ${rounded}`,
});

describe.each(cases)('stage 2 on %s', (name) => {
  let opened: PrecisionCase;
  /** What it computes in each type, on the first batch and in all the steps. */
  const computed = new Map<Precision, Awaited<ReturnType<typeof computeAll>>>();
  const computeAll = async (type: Precision) => ({
    ...(await differentiate(opened, type)),
    predicted: await predict(opened, type),
    trained: await trainCase(worker, opened, type),
  });
  beforeAll(async () => {
    opened = await openPrecisionCase(name);
    for (const type of types) computed.set(type, await computeAll(type));
  });

  it.each(types)('in %s has the loss, probabilities and gradients of PyTorch', (type) => {
    const reference = opened.reference(type);
    const { loss, gradients, predicted: probabilities } = computed.get(type)!;
    expect(part(opened, type, 'loss', loss)).toBeLessThan(near[type]);
    expect(part(opened, type, 'probabilities', probabilities)).toBeLessThan(near[type]);
    expect(partOfGradients(opened, type, gradients)).toBeLessThan(near[type]);
    const errors = gradientErrors(gradients, reference.gradients);
    for (const [key, { relative }] of errors) expect(relative, key).toBeLessThan(64 * unit[type]);
    const described = row(name, type, 'rounded at the same points');
    const lossError = parityError(loss, reference.expected('loss'));
    recordParity({ ...described, quantity: 'loss', ...lossError });
    const probabilityError = parityError(probabilities, reference.expected('probabilities'));
    recordParity({ ...described, quantity: 'probabilities', ...probabilityError });
    const quantity = 'gradient of every parameter';
    recordParity({ ...described, quantity, ...largestError(errors.values()) });
  });

  it.each(types)('in %s takes 20 steps as PyTorch does', (type) => {
    const reference = opened.reference(type);
    const { losses, after, probabilities } = computed.get(type)!.trained;
    expect(part(opened, type, 'probabilities', probabilities)).toBeLessThan(near[type]);
    const wanted = reference.expected('steps/loss');
    expect(parityError(losses, wanted).relative).toBeLessThan(Math.sqrt(ROUNDINGS) * unit[type]);
    // In each step some parameters come to lie on the other side of a boundary.
    expect(partOfGradients(opened, type, after, 'after')).toBeLessThan(near[type]);
    const exact = first(opened.reference('float64').expected('steps/loss'), 4);
    const [ours, theirs] = [first(losses, 4), first(wanted, 4)];
    expect(distance(ours, theirs) / distance(theirs, exact)).toBeLessThan(2 * near[type]);
    const described = row(name, type, 'rounded at the same points');
    const lossError = parityError(losses, wanted);
    recordParity({ ...described, quantity: 'losses of 20 AdamW steps', ...lossError });
    const errors = [...reference.after].map(([key, value]) => parityError(after.get(key)!, value));
    recordParity({ ...described, quantity: 'every parameter after 20 AdamW steps', ...largestError(errors) });
  });

  it('in bfloat16 takes the same steps with activation checkpointing', async () => {
    const kept = computed.get('bfloat16')!.trained;
    const recomputed = await trainCase(worker, opened, 'bfloat16', true);
    const early = parityError(first(recomputed.losses, 2), first(kept.losses, 2));
    expect(early.relative).toBeLessThan(unit.bfloat16 / 2);
    const { after } = opened.reference('float64');
    const apart = distance(recomputed.after, kept.after) / distance(kept.after, after);
    expect(apart).toBeLessThan(Math.SQRT2);
  });

  it('in bfloat16 is as close to float64 as transformers and PEFT are', () => {
    const [theirs, exact] = [opened.reference('autocast'), opened.reference('float64')];
    const { loss, gradients, predicted: probabilities, trained } = computed.get('bfloat16')!;
    const { losses, after } = trained;
    const u = unit.bfloat16;
    expect(parityError(loss, theirs.expected('loss')).relative).toBeLessThan(2 * u);
    expect(parityError(probabilities, theirs.expected('probabilities')).absolute).toBeLessThan(4 * u);
    // A value that is rounded k times in succession is off by about sqrt(k) u / 2.
    const scale = rootMeanSquare(flat(exact.gradients));
    expect(distance(gradients, exact.gradients) / scale).toBeLessThan((Math.sqrt(ROUNDINGS) * u) / 1.5);
    // Two that are rounded at different points are sqrt(2) times as far from each other as from the truth.
    expect(distance(gradients, exact.gradients)).toBeLessThan(
      1.2 * distance(theirs.gradients, exact.gradients),
    );
    expect(distance(after, exact.after)).toBeLessThan(1.2 * distance(theirs.after, exact.after));
    expect(partOfGradients(opened, 'autocast', gradients)).toBeLessThan(1.2 * Math.SQRT2);
    expect(partOfGradients(opened, 'autocast', after, 'after')).toBeLessThan(1.2 * Math.SQRT2);
    // Twenty losses are few.
    expect(part(opened, 'autocast', 'steps/loss', losses)).toBeLessThan(2 * Math.SQRT2);
    const described = row(name, 'bfloat16', 'transformers and PEFT under autocast');
    const lossError = parityError(losses, theirs.expected('steps/loss'));
    recordParity({ ...described, quantity: 'losses of 20 AdamW steps', ...lossError });
    const errors = gradientErrors(gradients, theirs.gradients);
    recordParity({
      ...described,
      quantity: 'gradient of every parameter',
      ...largestError(errors.values()),
    });
  });
});

describe('the training graph', () => {
  /** Operators with inputs or outputs of a type, in a graph and its subgraphs. */
  const operatorsIn = (graph: Graph, type: DType): string[] =>
    graph.nodes.flatMap(({ operator, inputs, outputs, attributes }) => [
      ...([...inputs, ...outputs].some((value) => value?.dtype === type) ? [operator] : []),
      ...Object.values(attributes).flatMap(({ kind, value }) =>
        kind === 'graph' ? operatorsIn(value, type) : [],
      ),
    ]);

  it.each([false, true])(
    'has no operator in bfloat16 whose kernel on CUDA rounds on the way to its result, recomputing: %s',
    async (recompute) => {
      const graph = trainingGraphOf(await openPrecisionCase('qwen2'), 'bfloat16', recompute).graph;
      const operators = [...new Set(operatorsIn(graph, 'bfloat16'))].sort();
      const moves = ['Gather', 'Reshape', 'Shape', 'Slice', 'Squeeze', 'Transpose'];
      const computes = operators.filter((operator) => !moves.includes(operator));
      expect(computes).toEqual(['Add', 'Cast', 'Gemm', 'MatMul', 'Mul']);
    },
  );
});

describe('the comparison', () => {
  /** How far the gradients of both models are from PyTorch's in bfloat16, the smaller first. */
  const parts = async (precision: Precision, options: EmulationOptions = {}): Promise<number[]> => {
    const figures: number[] = [];
    for (const name of cases) {
      const opened = await openPrecisionCase(name);
      const { gradients } = await differentiate(opened, precision, options);
      figures.push(partOfGradients(opened, 'bfloat16', gradients));
    }
    return figures.sort((a, b) => a - b);
  };
  const forward = ({ name }: Node): boolean => !name.includes('/gradient/') && name.includes('/layers.');
  const rounding = (chosen: (node: Node) => boolean): EmulationOptions => ({
    rounded: (node) => (chosen(node) ? 'bfloat16' : undefined),
  });
  const isResidual = ({ operator, name }: Node): boolean =>
    operator === 'Add' && /\/(mlp|self_attn)\/Add$/.test(name);

  it('finds the points of rounding to be those of PyTorch', async () => {
    const [least] = await parts('bfloat16');
    expect(least).toBeLessThan(SAME);
  });

  it.each<[string, EmulationOptions]>([
    ['a rounded sigmoid', rounding((node) => forward(node) && node.operator === 'Sigmoid')],
    ['rounded norms', rounding((node) => forward(node) && node.operator === 'Div')],
    ['a rounded softmax', rounding((node) => forward(node) && node.operator === 'Softmax')],
    ['a rounded residual stream', rounding((node) => forward(node) && isResidual(node))],
  ])('notices %s', async (_, options) => {
    const [least, most] = await parts('bfloat16', options);
    expect(least).toBeGreaterThan(SAME);
    expect(most).toBeGreaterThan(2 * SAME);
  });

  it.each(['float16', 'float32'] as const)('notices products in %s', async (precision) => {
    const [least] = await parts(precision);
    expect(least).toBeGreaterThan(4 * SAME);
  });
});

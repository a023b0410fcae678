/** @file Gradient accumulation: a step in micro-batches is equivalent to a step on the whole batch. */

import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mul, serializeModel } from '../../src/engine/onnx/index.js';
import { type SessionWorker, startSessionWorker } from '../../src/engine/runtime/index.js';
import { float32, float32Of, int64, type Tensor } from '../../src/engine/tensor/index.js';
import {
  type Batch,
  buildTrainingGraph,
  dropoutWindows,
  matrixFlops,
  stackMicroBatches,
  stepNodes,
  type TrainingSpec,
} from '../../src/engine/training/index.js';
import {
  LARGEST,
  openTraining,
  pooledLoss,
  pooledSpec,
  randomBatch,
  randomBatches,
  relativeError,
  rowsOf,
  stateNames,
  type Training,
  takeStepsIn,
} from './training-model.js';

let folder: string;
let worker: SessionWorker;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'emoq-accumulation-'));
  worker = startSessionWorker();
});
afterAll(async () => {
  await worker.close();
  await rm(folder, { recursive: true, force: true });
});

/** The small model with a reported scalar in addition to its loss. */
const spec = (rate = 0, accumulate = false): TrainingSpec => ({
  ...pooledSpec(rate),
  step: (context) => {
    const { loss } = pooledLoss(context, rate);
    return { loss, reported: { thrice: mul(loss, 3) } };
  },
  accumulate,
});

const micro =
  (size: number) =>
  (batch: Batch): ReturnType<typeof rowsOf> =>
    rowsOf(batch, size);

const stateOf = ({ session }: Training): Promise<Record<string, Tensor>> => session.readState(stateNames());

describe('steps in micro-batches', () => {
  // 1 to 5 rows each: full micro-batches, partial ones, and steps with fewer rows than others have micro-batches.
  const batches = randomBatches(16);

  it.each([1, 2, 3, 5])('of %i are steps of the whole batches to rounding', async (size) => {
    const whole = await openTraining(worker, spec());
    const expected = await takeStepsIn(whole, batches, [16]);
    const cut = await openTraining(worker, spec(0, true));
    const actual = await takeStepsIn(cut, batches, [16], { cut: micro(size) });
    expect(Object.keys(actual)).toEqual(Object.keys(expected));
    for (const [name, series] of Object.entries(expected))
      expect(relativeError(actual[name]!, series), name).toBeLessThan(2e-6);
    const [state, wanted] = [await stateOf(cut), await stateOf(whole)];
    for (const [name, value] of Object.entries(wanted))
      expect(relativeError(float32Of(state[name]!), float32Of(value)), name).toBeLessThan(1e-5);
  });

  it('count each by its weight', async () => {
    const training = await openTraining(worker, spec(0, true));
    const [a, b] = [randomBatch(2, 3, 1), randomBatch(2, 3, 2)];
    const lossOf = async (weights: readonly [number, number]): Promise<number> => {
      const cut = () => [
        { batch: a, weight: weights[0] },
        { batch: b, weight: weights[1] },
      ];
      const { loss } = await takeStepsIn(training, [a], [1], { cut, rate: 0 });
      return loss![0]!;
    };
    const [first, second] = [await lossOf([1, 0]), await lossOf([0, 1])];
    expect(await lossOf([0.25, 0.75])).toBeCloseTo(0.25 * first + 0.75 * second, 5);
    expect(first).not.toBeCloseTo(second, 3);
  });

  it('end in the same bytes whatever the steps in a run, with dropout on', async () => {
    const results = [];
    for (const runs of [Array<number>(16).fill(1), [8, 8], [3, 1, 7, 5]]) {
      const training = await openTraining(worker, spec(0.2, true));
      const series = await takeStepsIn(training, batches, runs, { cut: micro(2) });
      results.push({ series, state: await stateOf(training) });
    }
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
  });
});

describe('dropout in micro-batches', () => {
  const { dropout } = buildTrainingGraph(spec(0.2, true));
  const sizes = { batch: 1, length: 2 };
  /** The first rows of both sites' windows, by step and micro-batch; 0 where there is none. */
  const windows = (firstStep: number, steps: readonly (readonly (typeof sizes)[])[]): bigint[][] => {
    const { dropout_windows: drawn } = dropoutWindows(dropout, 7, firstStep, steps, LARGEST);
    const [, , parts, count] = drawn!.shape as [number, number, number, number];
    const at = (site: number, part: number, step: number): bigint =>
      (drawn!.data as BigInt64Array)[((1 + site) * parts + part) * count + step]!;
    return steps.flatMap((cut, step) => cut.map((_, part) => [at(0, part, step), at(1, part, step)]));
  };

  it('draws by step and number in the step, whatever the run they are in', () => {
    const three = [sizes, sizes, sizes];
    const all = windows(4, [three, [sizes], three]);
    expect(all).toHaveLength(7);
    expect([...windows(4, [three]), ...windows(5, [[sizes], three])]).toEqual(all);
    expect(windows(5, [three])[0]).toEqual(all[3]);
    expect(new Set(all.flat()).size).toBe(all.flat().length);
  });

  it('gives the rows of a batch masks of their own', async () => {
    // Four equal rows, each a micro-batch: without dropout all losses would be equal.
    const row = randomBatch(1, 3, 5);
    const training = await openTraining(worker, spec(0.5, true));
    const losses = new Set<number>();
    for (const weighted of [0, 1, 2, 3]) {
      const cut = () => [0, 1, 2, 3].map((part) => ({ batch: row, weight: part === weighted ? 1 : 0 }));
      const { loss } = await takeStepsIn(training, [row], [1], { cut, rate: 0 });
      losses.add(loss![0]!);
    }
    expect(losses.size).toBe(4);
  });
});

describe('a stack of micro-batches', () => {
  it('tells where those of a step begin, how many they are and what each counts', () => {
    const batch = (length: number, first: number): Batch => ({
      tensors: { ids: int64([length], [first, first + 1, first + 2].slice(0, length)) },
      sizes: { length },
    });
    const steps = [
      [
        { batch: batch(1, 5), weight: 0.25 },
        { batch: batch(3, 7), weight: 0.75 },
      ],
      [{ batch: batch(2, 1), weight: 1 }],
    ];
    expect(stackMicroBatches([{ name: 'ids', dtype: 'int64', shape: ['length'] }], steps)).toEqual({
      ids: int64([3, 3], [5, 0, 0, 7, 8, 9, 1, 2, 0]),
      // A row of zeros, then the lengths: of the first parts of both steps, then of the second.
      batch_sizes: int64([2, 2, 2], [0, 0, 0, 0, 1, 2, 3, 0]),
      micro_batches: int64([2], [2, 1]),
      first_micro_batch: int64([2], [0, 2]),
      micro_weight: float32([3], [0.25, 0.75, 1]),
    });
  });
});

const python = process.env.EMOQ_PYTHON;
if (python === undefined) {
  console.log('onnx.checker of a nested loop skipped: EMOQ_PYTHON names no Python with the onnx package');
}

describe('the training graph', () => {
  it('is without accumulation the one of a spec that says nothing of it', () => {
    const { accumulate: _, ...plain } = spec(0.1);
    const { graph, body, gradientBody } = buildTrainingGraph(spec(0.1));
    expect(serializeModel(graph)).toEqual(serializeModel(buildTrainingGraph(plain).graph));
    expect(gradientBody).toBe(body);
    expect(body.nodes.map(({ operator }) => operator)).not.toContain('Loop');
    expect(graph.inputs.map(({ name }) => name).filter((name) => name.includes('micro'))).toEqual([]);
  });

  it('has a loop of micro-batches inside the step, with three inputs more and the same outputs', async () => {
    const [whole, cut] = [await openTraining(worker, spec(0.1)), await openTraining(worker, spec(0.1, true))];
    const more = ['micro_batches', 'first_micro_batch', 'micro_weight'];
    expect(new Set(cut.session.inputNames)).toEqual(new Set([...whole.session.inputNames, ...more]));
    expect(cut.session.outputNames).toEqual(whole.session.outputNames);
    const loops = cut.graph.body.nodes.filter(({ operator }) => operator === 'Loop');
    expect(loops).toHaveLength(1);
    expect(loops[0]!.attributes.body).toEqual({ kind: 'graph', value: cut.graph.gradientBody });
    // The inner graph contains the model once; the update is outside.
    const products = (graph: Training['graph']['body']): number =>
      graph.nodes.filter(({ operator }) => operator === 'Gemm' || operator === 'MatMul').length;
    expect(products(cut.graph.body)).toBe(0);
    expect(products(cut.graph.gradientBody)).toBe(products(whole.graph.body));
    expect(stepNodes(cut.graph)).toBe(cut.graph.body.nodes.length + cut.graph.gradientBody.nodes.length);
  });

  it('takes as many floating-point operations as a whole batch', () => {
    const [whole, cut] = [buildTrainingGraph(spec()), buildTrainingGraph(spec(0, true))];
    const flops = matrixFlops(whole, { batch: 8, length: 5 });
    expect(flops).toBeGreaterThan(0);
    expect(matrixFlops(cut, { batch: 2, length: 5 }, 4)).toBe(flops);
  });

  it.skipIf(python === undefined)(
    'passes the checker and the shape inference of the onnx package',
    async () => {
      const path = join(folder, 'training_model.onnx');
      await writeFile(path, serializeModel(buildTrainingGraph(spec(0.1, true)).graph));
      const script = `
import onnx, sys
onnx.checker.check_model(sys.argv[1], full_check=True)
onnx.shape_inference.infer_shapes(onnx.load(sys.argv[1]), strict_mode=True, data_prop=True)`;
      execFileSync(python!, ['-c', script, path], { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });
    },
  );
});

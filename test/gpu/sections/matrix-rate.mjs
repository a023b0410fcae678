/** @file The machine's own rate of matrix products through onnxruntime, against which the steps are held. */

import {
  addInput,
  addOutput,
  cast,
  createGraph,
  gemm,
  loop,
  mul,
  serializeInPlace,
  slice,
} from '../../../dist/engine/onnx/index.js';
import { createSession } from '../../../dist/engine/runtime/index.js';
import { float32, int64 } from '../../../dist/engine/tensor/index.js';
import { checkpointWeights } from '../../../dist/nn/index.js';
import { medianOf } from '../../bench/timing.mjs';
import { attempt } from '../attempt.mjs';
import { randomWeights, weightsPath } from '../random-weights.mjs';

/** bfloat16, and float32 as CUDA computes it by default: in TF32. */
export async function matrixRate(options, report) {
  if (options.device.kind === 'cuda') await rateIn('bfloat16', 'bfloat16', options, report);
  await rateIn('float32', options.device.kind === 'cuda' ? 'float32 (TF32)' : 'float32', options, report);
}

/** In a process where TF32 is off. */
export const float32Rate = (options, report) => rateIn('float32', 'float32 without TF32', options, report);

function rateIn(dtype, title, options, report) {
  const { size, products } = options.models.matrix;
  const what = `products of ${size} x ${size}, ${title}`;
  return attempt(report, what, async () => {
    const { teraflopPerSec, finite } = await measured(dtype, size, products, options);
    const note = finite ? {} : { note: 'the result is not a number' };
    report({
      kind: 'matrix',
      what,
      dtype,
      tf32: title.includes('TF32)'),
      teraflopPerSec,
      ok: finite,
      ...note,
    });
  });
}

/** A chain of products inside a loop; the time of one iteration is the difference between long and short loops. */
async function measured(dtype, size, products, { device, threads, folder, quick }) {
  const weights = randomWeights(weightsPath(folder, 'matrix'));
  const graph = createGraph('matrix_products');
  const matrix = checkpointWeights(
    graph,
    (key, shape) => weights.lookup(key, shape, dtype),
    () => dtype,
  );
  const weight = matrix('matrix', [size, size]);
  // Of an input, or the first product would be a constant.
  const start = mul(weight, cast(addInput(graph, 'scale', 'float32', []), dtype));
  const iterations = addInput(graph, 'iterations', 'int64', []);
  const { states } = loop(iterations, 'K', [start], (_body, _iteration, [x]) => {
    let product = x;
    for (let i = 0; i < products; i++) product = gemm(product, weight, undefined, { transB: true });
    return { states: [product], collected: [] };
  });
  addOutput(graph, cast(slice(states[0], 0, 0, 1), 'float32'), 'row');
  const { model, weightsFolder } = serializeInPlace(graph);
  weights.write();
  const session = await createSession(model, { device, threads, weightsFolder });
  const run = (count) => session.run({ scale: float32([], [1]), iterations: int64([], [count]) });
  const [few, many] = [1, quick ? 2 : 6];
  const short = await medianOf(3, () => run(few));
  const long = await medianOf(3, () => run(many));
  const { row } = await run(many);
  await session.dispose();
  const flop = 2 * size ** 3 * products * (many - few);
  return {
    teraflopPerSec: flop / (long.wallSec - short.wallSec) / 1e12,
    finite: row.data.every(Number.isFinite),
  };
}

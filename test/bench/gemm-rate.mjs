/** @file This machine's matrix-product rate through onnxruntime, the yardstick of the other benchmarks. */

import {
  addInput,
  addOutput,
  createGraph,
  gemm,
  serializeModel,
  slice,
} from '../../dist/engine/onnx/index.js';
import { createSession } from '../../dist/engine/runtime/index.js';
import { tensor } from '../../dist/engine/tensor/index.js';
import { medianOf } from './timing.mjs';

/** Rows of a Former batch (8 utterances of 32 queries and 30 words), its width and its inner width. */
const [ROWS, WIDTH, INNER] = [496, 768, 3072];
const PRODUCTS = 20;

/**
 * GFLOP per second of 496 x 768 x 3072 products with changing weights, as in training: by wall clock and processor
 * time.
 * @param threads absent: one per physical core
 */
export async function gemmRate(threads) {
  const graph = createGraph('gemm');
  const x = addInput(graph, 'x', 'float32', [ROWS, WIDTH]);
  const feeds = { x: random([ROWS, WIDTH]) };
  for (let i = 0; i < PRODUCTS; i++) {
    feeds[`w${i}`] = random([INNER, WIDTH]);
    const product = gemm(x, addInput(graph, `w${i}`, 'float32', [INNER, WIDTH]), undefined, { transB: true });
    // Outputs one row: returning the whole product would take a third of the product's time.
    addOutput(graph, slice(product, 0, 0, 1), `y${i}`);
  }
  const session = await createSession(serializeModel(graph), { device: { kind: 'cpu' }, threads });
  const { wallSec, processorSec } = await medianOf(7, () => session.run(feeds));
  await session.dispose();
  const gflop = (2 * ROWS * WIDTH * INNER * PRODUCTS) / 1e9;
  return { wall: gflop / wallSec, processor: gflop / processorSec };
}

function random(shape) {
  const value = tensor('float32', shape);
  for (let i = 0; i < value.data.length; i++) value.data[i] = Math.random() - 0.5;
  return value;
}

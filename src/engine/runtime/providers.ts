/** @file Execution providers of the installed onnxruntime, and a smoke test of a session. */

import { addInput, addOutput, createGraph, matmul, serializeModel } from '../onnx/index.js';
import { tensor } from '../tensor/index.js';
import type { Device } from './device.js';
import { onnxruntime } from './onnxruntime.js';
import { createSession } from './session.js';

/** An execution provider compiled into the build. */
export interface Provider {
  readonly name: string;
  /** Part of the package; the others need separately downloaded libraries. */
  readonly bundled: boolean;
}

/** The execution providers compiled into this build of onnxruntime. */
export function listProviders(): Provider[] {
  return onnxruntime()
    .listSupportedBackends()
    .map(({ name, bundled }) => ({ name, bundled }));
}

/**
 * Loads and runs a graph of one matrix product.
 * @returns the time it took, in milliseconds
 * @throws Error with onnxruntime's own message, or about a wrong product
 */
export async function trySession(device: Device): Promise<number> {
  const startMs = performance.now();
  const graph = createGraph('trial');
  const [a, b] = ['a', 'b'].map((name) => addInput(graph, name, 'float32', [2, 2]));
  addOutput(graph, matmul(a!, b!), 'product');
  const session = await createSession(serializeModel(graph), { device, threads: 1 });
  try {
    const matrix = (...values: number[]) => tensor('float32', [2, 2], Float32Array.from(values));
    const { product } = await session.run({ a: matrix(1, 2, 3, 4), b: matrix(5, 6, 7, 8) });
    const found = Array.from(product!.data as Float32Array).join(' ');
    if (found !== '19 22 43 50') throw new Error(`a matrix product came out as ${found}, not 19 22 43 50`);
  } finally {
    await session.dispose();
  }
  return performance.now() - startMs;
}

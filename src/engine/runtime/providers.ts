/** @file What the installed onnxruntime can do here: its execution providers, and whether a graph really runs. */

import { addInput, addOutput, createGraph, matmul, serializeModel } from '../onnx/index.js';
import { tensor } from '../tensor/index.js';
import type { Device } from './device.js';
import { onnxruntime } from './onnxruntime.js';
import { createSession } from './session.js';

/** An execution provider that the build knows. */
export interface Provider {
  readonly name: string;
  /** Part of the package; the others need libraries that are fetched apart. */
  readonly bundled: boolean;
}

/** The files that onnxruntime-node's install script fetches for CUDA, in the folder of its native libraries. */
export const CUDA_PROVIDER_LIBRARIES: readonly string[] = ['shared', 'cuda', 'tensorrt'].map(
  (provider) => `libonnxruntime_providers_${provider}.so`,
);

/** The execution providers that this build of onnxruntime knows. */
export function listProviders(): Provider[] {
  return onnxruntime()
    .listSupportedBackends()
    .map(({ name, bundled }) => ({ name, bundled }));
}

/**
 * Loads and runs a graph of one matrix product.
 * @returns milliseconds that it took
 * @throws Error with onnxruntime's own message, or one that names a wrong product
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

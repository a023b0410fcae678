/** @file Helpers for the decoder tests: build and run a small graph on the CPU, and open the decoder fixtures. */

import { fileURLToPath } from 'node:url';
import { type DecoderConfig, parseDecoderConfig } from '../../../src/backbones/index.js';
import { type Checkpoint, openCheckpoint, requireWeight } from '../../../src/checkpoints/index.js';
import {
  addInput,
  addOutput,
  createGraph,
  type Dim,
  type Graph,
  serializeModel,
  type Value,
} from '../../../src/engine/onnx/index.js';
import { createSession } from '../../../src/engine/runtime/index.js';
import { readSafetensors, type Tensor } from '../../../src/engine/tensor/index.js';
import type { LoraConfig } from '../../../src/nn/index.js';
import { checkpointWeights, type Precision, type Weights } from '../../../src/nn/weights.js';
import { parityError } from '../../parity/figures.js';

/** A fed tensor with its axes, which may be symbolic. */
export type Feed = readonly [Tensor, readonly Dim[]];

/** Runs what `build` returns for the given inputs, in a graph that `rewrite` may change when it is finished. */
export async function compute<F extends Record<string, Feed>>(
  feeds: F,
  build: (graph: Graph, inputs: { [name in keyof F]: Value }) => Record<string, Value>,
  weightsFolder?: string,
  rewrite: (graph: Graph) => void = () => undefined,
): Promise<Record<string, Tensor>> {
  const graph = createGraph('test');
  const inputs = Object.fromEntries(
    Object.entries(feeds).map(([name, [{ dtype }, dims]]) => [name, addInput(graph, name, dtype, dims)]),
  );
  const outputs = build(graph, inputs as { [name in keyof F]: Value });
  for (const [name, value] of Object.entries(outputs)) addOutput(graph, value, `out.${name}`);
  rewrite(graph);
  const folder = weightsFolder === undefined ? {} : { weightsFolder };
  const session = await createSession(serializeModel(graph, folder), { device: { kind: 'cpu' }, ...folder });
  try {
    const tensors = Object.fromEntries(Object.entries(feeds).map(([name, [value]]) => [name, value]));
    const results = await session.run(tensors);
    return Object.fromEntries(Object.keys(outputs).map((name) => [name, results[`out.${name}`]!]));
  } finally {
    await session.dispose();
  }
}

export interface Fixture {
  readonly checkpoint: Checkpoint;
  readonly config: DecoderConfig;
  readonly lora: LoraConfig;
  /** PyTorch's result, by key. @throws Error for a key that is not in the fixture */
  expected(key: string): Tensor;
  /** The tensors under a key prefix, with the prefix removed. */
  expectedUnder(prefix: string): Map<string, Tensor>;
  weights(graph: Graph, precision?: Precision): Weights;
}

/** Opens test/fixtures/<family>/<name>. */
export async function openFixture(name: string, family = 'qwen2'): Promise<Fixture> {
  const dir = fileURLToPath(new URL(`../../fixtures/${family}/${name}`, import.meta.url));
  const checkpoint = await openCheckpoint(dir);
  const { metadata, tensors } = await readSafetensors(`${dir}/expected.safetensors`);
  const { rank, alpha, targets } = JSON.parse(metadata.reference!) as Omit<LoraConfig, 'dropout'>;
  return {
    checkpoint,
    config: parseDecoderConfig(checkpoint.config, `${dir}/config.json`),
    lora: { rank, alpha, dropout: 0.1, targets },
    expected(key) {
      const value = tensors.get(key);
      if (value === undefined) throw new Error(`the fixture ${name} has no ${key}`);
      return value;
    },
    expectedUnder(prefix) {
      const found = [...tensors].filter(([key]) => key.startsWith(prefix));
      return new Map(found.map(([key, value]) => [key.slice(prefix.length), value]));
    },
    weights: (graph, precision = 'float32') =>
      checkpointWeights(
        graph,
        (key, shape) => requireWeight(checkpoint, key, shape),
        () => precision,
      ),
  };
}

/** Only the relative error of `parityError`. */
export const relativeError = (...compared: Parameters<typeof parityError>): number =>
  parityError(...compared).relative;

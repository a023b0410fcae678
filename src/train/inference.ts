/** @file Examples through an evaluation graph: grouped by length, answers in the order asked. */

import type { HostedSession } from '../engine/runtime/index.js';
import { argmax, classificationMetrics, type Outcome } from '../evaluate/index.js';
import { type Collation, collate } from './collation.js';
import type { Example } from './examples.js';
import type { ValidationFigures } from './trainer.js';

/** What the model says of one example. */
export interface Inference {
  /** [C], in label order. */
  readonly probabilities: Float32Array;
  /** e'_q [d_h]; absent where there is no Former. */
  readonly embedding: Float32Array | undefined;
}

export interface InferenceOptions {
  readonly session: HostedSession;
  /** Session whose state holds the parameters, where they are inputs of the graph. */
  readonly parametersOf?: HostedSession;
  readonly collation: Collation;
  readonly batchSize: number;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly stop?: AbortSignal | undefined;
}

/**
 * Runs all examples. Batches hold examples of like length, which changes the work and not the results.
 * @throws the reason of `stop` between two batches
 */
export async function inferAll(
  examples: readonly Example[],
  options: InferenceOptions,
): Promise<Inference[]> {
  const { session, collation, batchSize } = options;
  const lengthOf = ({ id, textIds, prompt }: Example): number =>
    collation.frames(id) + textIds.length + (prompt?.ids.length ?? 0);
  const order = [...examples.keys()].sort((a, b) => lengthOf(examples[a]!) - lengthOf(examples[b]!));
  const results: Inference[] = new Array(examples.length);
  for (let start = 0; start < order.length; start += batchSize) {
    options.stop?.throwIfAborted();
    const indices = order.slice(start, start + batchSize);
    const batch = await collate(
      indices.map((index) => examples[index]!),
      collation,
    );
    const outputs = await session.run(batch.tensors, options.parametersOf);
    indices.forEach((index, row) => {
      results[index] = {
        probabilities: rowOf(outputs.probabilities!.data as Float32Array, row, indices.length),
        embedding: outputs.embedding && rowOf(outputs.embedding.data as Float32Array, row, indices.length),
      };
    });
    options.onProgress?.(Math.min(start + batchSize, order.length), order.length);
  }
  return results;
}

/** References and answers of labelled examples. */
export function outcomesOf(
  examples: readonly Example[],
  inferences: readonly Inference[],
  labels: readonly string[],
): Outcome[] {
  return examples.map(({ label }, index) => ({
    reference: labels[label]!,
    label: labels[argmax(inferences[index]!.probabilities)],
  }));
}

/** WA, UA, weighted F1 and negative mean log-likelihood of labelled examples. */
export function validationFigures(
  examples: readonly Example[],
  inferences: readonly Inference[],
  labels: readonly string[],
): ValidationFigures {
  const { wa, ua, wf1 } = classificationMetrics(outcomesOf(examples, inferences, labels), labels);
  const logLikelihood = examples.reduce(
    (sum, { label }, index) => sum + Math.log(Math.max(inferences[index]!.probabilities[label]!, 1e-30)),
    0,
  );
  return { wa, ua, wf1, nll: -logLikelihood / examples.length };
}

function rowOf(data: Float32Array, row: number, rows: number): Float32Array {
  const width = data.length / rows;
  return data.slice(row * width, (row + 1) * width);
}

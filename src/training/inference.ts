/**
 * @file Saves graphs as artifacts of a run, opens sessions on them, and runs examples through an evaluation graph in
 * batches of similar length. Results keep the order of the examples.
 */

import { mkdir, realpath } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ComputationError, mapConcurrently, writeFileAtomic } from '../base/index.js';
import { type Graph, type SerializedModel, serializeInPlace } from '../engine/onnx/index.js';
import type { SessionWorker, WorkerSession } from '../engine/runtime/index.js';
import type { Tensor } from '../engine/tensor/index.js';
import {
  type Batch,
  evaluationFeeds,
  evaluationName,
  evaluationOutputs,
  type GraphInput,
  type TrainingGraph,
} from '../engine/training/index.js';
import {
  argmax,
  validationFigures as figuresOf,
  type Outcome,
  type ProbabilisticOutcome,
  type SelectKey,
} from '../evaluation/metrics/index.js';
import type { Example, FeatureSource, Phase } from '../systems/index.js';
import type { ComputeOptions } from './compute-options.js';
import type { Batching } from './inference-batches.js';
import { type RunLimits, runSizing } from './run-sizing.js';
import type { ValidationFigures } from './trainer.js';

/** The model's output for one example. */
export interface Inference {
  readonly kind: 'inferred';
  /** [C], in label order. */
  readonly probabilities: Float32Array;
  /** e'_q [d_h]; absent without a Former. */
  readonly embedding: Float32Array | undefined;
}

/** An example with unusable output. */
export interface FailedInference {
  readonly kind: 'failed';
  /** What is wrong with the output. */
  readonly fault: string;
}

/** Computes batches. */
export interface Evaluator {
  /** Batches for the next run. */
  readonly batchesPerRun: () => number;
  /** The outputs of each batch by name; the batches have the same number of examples. */
  readonly run: (batches: readonly Batch[]) => Promise<Record<string, Tensor>[]>;
}

/** A session of an evaluation graph: one batch at a time. */
export function sessionEvaluator(session: WorkerSession): Evaluator {
  return {
    batchesPerRun: () => 1,
    run: ([batch]) => session.run(batch!.tensors).then((outputs) => [outputs]),
  };
}

/**
 * The evaluation in a training graph, with the parameters as they are.
 * @param inputs of training
 */
export function trainingEvaluator(
  session: WorkerSession,
  graph: TrainingGraph,
  inputs: readonly GraphInput[],
  limits: RunLimits,
): Evaluator {
  const sizing = runSizing(limits);
  const names = graph.evaluation!.outputs.map(evaluationName);
  return {
    batchesPerRun: sizing.size,
    async run(batches) {
      const feeds = evaluationFeeds(graph, inputs, batches);
      const startedAt = performance.now();
      const outputs = await session.evaluate(feeds, names);
      sizing.took({ count: batches.length, feeds }, (performance.now() - startedAt) / 1000);
      return evaluationOutputs(outputs, graph);
    },
  };
}

export interface InferenceOptions {
  /** Work side by side, each on the next batches that are left. */
  readonly evaluators: readonly Evaluator[];
  readonly phase: Phase;
  /** Features of the examples, as the phase reads them. */
  readonly features: FeatureSource;
  readonly batching: Batching;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly stop?: AbortSignal | undefined;
}

/**
 * Runs all examples, in batches of similar length for speed; results do not depend on them. An output that is not a
 * distribution over the labels, or an embedding with non-finite values, is a fault of its example.
 * @throws the reason of `stop` between two batches; the first evaluator's error, once the others have ended theirs
 */
export async function inferAll(
  examples: readonly Example[],
  options: InferenceOptions,
): Promise<(Inference | FailedInference)[]> {
  const { evaluators, phase, features } = options;
  const left = [...options.batching(examples, features)];
  const results: (Inference | FailedInference)[] = new Array(examples.length);
  let done = 0;
  /** Batches of one run have the same number of examples. */
  const take = (evaluator: Evaluator): (readonly number[])[] => {
    const { length } = left[0]!;
    const other = left.findIndex((batch) => batch.length !== length);
    return left.splice(0, Math.min(evaluator.batchesPerRun(), other < 0 ? left.length : other));
  };
  const infer = async (evaluator: Evaluator, batches: readonly (readonly number[])[]): Promise<void> => {
    const collated = await Promise.all(
      batches.map((indices) =>
        phase.collate(
          indices.map((index) => examples[index]!),
          features,
          false,
        ),
      ),
    );
    const outputs = await evaluator.run(collated);
    batches.forEach((indices, position) => {
      const { probabilities, embedding } = outputs[position]!;
      indices.forEach((index, row) => {
        const inference: Inference = {
          kind: 'inferred',
          probabilities: rowOf(probabilities!.data as Float32Array, row, indices.length),
          embedding: embedding && rowOf(embedding.data as Float32Array, row, indices.length),
        };
        const fault = faultOf(inference);
        results[index] = fault === undefined ? inference : { kind: 'failed', fault };
      });
    });
  };
  await mapConcurrently(evaluators, evaluators.length, async (evaluator) => {
    try {
      while (left.length > 0) {
        options.stop?.throwIfAborted();
        const batches = take(evaluator);
        await infer(evaluator, batches);
        done += batches.reduce((total, { length }) => total + length, 0);
        options.onProgress?.(done, examples.length);
      }
    } catch (error) {
      left.length = 0; // the others take no more
      throw error;
    }
  });
  return results;
}

/** Tolerance for the sum of one example's probabilities: a float32 softmax is off by about 1e-6. */
const SUM_TOLERANCE = 1e-3;

/** What is wrong with an inference; undefined if nothing is. */
function faultOf({ probabilities, embedding }: Inference): string | undefined {
  if (!probabilities.every(Number.isFinite)) return 'the model gave probabilities that are not numbers';
  if (probabilities.some((probability) => probability < 0)) return 'the model gave negative probabilities';
  const sum = probabilities.reduce((total, probability) => total + probability, 0);
  if (Math.abs(sum - 1) > SUM_TOLERANCE) {
    return `the model gave probabilities that add up to ${Number(sum.toPrecision(4))}, not to 1`;
  }
  if (embedding?.every(Number.isFinite) === false)
    return 'the model gave an embedding that is not of numbers';
  return undefined;
}

/** Utterances listed in an error. */
const NAMED = 5;

/**
 * The inferences, if none failed.
 * @param conclusion what the failures imply, appended to the message
 * @throws ComputationError naming the first utterances that failed
 */
export function requireInferences(
  examples: readonly Pick<Example, 'id'>[],
  inferences: readonly (Inference | FailedInference)[],
  conclusion: string,
): Inference[] {
  const whole = inferences.filter((inference): inference is Inference => inference.kind === 'inferred');
  if (whole.length === inferences.length) return whole;
  const failed = [...inferences.keys()].filter((index) => inferences[index]!.kind === 'failed');
  const { fault } = inferences[failed[0]!] as FailedInference;
  const named = failed.slice(0, NAMED).map((index) => examples[index]!.id);
  const rest = failed.length > NAMED ? ` and ${failed.length - NAMED} more` : '';
  throw new ComputationError(
    `${fault} for ${failed.length} of ${inferences.length} utterances (${named.join(', ')}${rest}): ${conclusion}`,
  );
}

/** References, answers and probabilities of labelled examples. */
export function outcomesOf(
  examples: readonly Example[],
  inferences: readonly Inference[],
  labels: readonly string[],
): (Outcome & ProbabilisticOutcome)[] {
  return examples.map(({ label }, index) => {
    const { probabilities } = inferences[index]!;
    return { reference: labels[label]!, label: labels[argmax(probabilities)], probabilities };
  });
}

/** The validation figures of labelled examples. @param select the metric that selects, if any */
export function validationFigures(
  examples: readonly Example[],
  inferences: readonly Inference[],
  labels: readonly string[],
  select?: SelectKey,
): ValidationFigures {
  return figuresOf(outcomesOf(examples, inferences, labels), labels, select);
}

function rowOf(data: Float32Array, row: number, rows: number): Float32Array {
  const width = data.length / rows;
  return data.slice(row * width, (row + 1) * width);
}

/**
 * Writes a graph as an artifact. Weights stay in their own files; the model stores their folder, relative to its own.
 */
export async function writeModel(path: string, graph: Graph): Promise<SerializedModel> {
  await mkdir(dirname(path), { recursive: true });
  const placed = serializeInPlace(graph, { fileFolder: await realpath(dirname(path)) });
  await writeFileAtomic(path, placed.model);
  return placed;
}

/** Opens a session on a saved training graph; parameters and moments stay in the worker. */
export function openTrainingSession(
  worker: SessionWorker,
  { model, weightsFolder }: SerializedModel,
  { device, threads }: ComputeOptions,
  { state }: TrainingGraph,
): Promise<WorkerSession> {
  const options = {
    ...{ device, threads, weightsFolder },
    ...{ disablePrepacking: true, withoutArena: true, withSpinning: true },
  };
  return worker.open(model, options, state);
}

/** @file What a stage is to the trainer: its inputs, its parameters, its loss and its way to probabilities. */

import { addInput, addOutput, createGraph, type Graph, type Value, withScope } from '../engine/onnx/index.js';
import {
  type AdamWOptions,
  buildTrainingGraph,
  type Schedule,
  type TrainingGraph,
  type TrainingSpec,
} from '../engine/training/index.js';
import type { BatchValues, Dropout, ModelInput, ParameterShape, Weights } from '../nn/index.js';
import { declaredWeights, layeredWeights, noDropout } from '../nn/index.js';

/** One of the two stages, as graph fragments over named weights. */
export interface Stage {
  readonly number: 1 | 2;
  /** What prediction reads. */
  readonly inputs: readonly ModelInput[];
  /** What a training step reads beside `inputs`. */
  readonly targets: readonly ModelInput[];
  readonly isTrainable: (key: string) => boolean;
  /** Frozen weights by key, made in the given graph. */
  readonly frozen: (graph: Graph) => Weights;
  readonly loss: (
    weights: Weights,
    batch: BatchValues,
    dropout: Dropout,
  ) => { readonly loss: Value; readonly reported: Readonly<Record<string, Value>> };
  readonly forward: (
    weights: Weights,
    batch: BatchValues,
  ) => { readonly probabilities: Value; readonly embedding: Value | undefined };
}

/** The stage's weights: which are trained and which stay as they are. */
export interface StageParameters {
  readonly trainable: readonly ParameterShape[];
  readonly frozen: readonly ParameterShape[];
}

/** Asks the stage's training graph for its weights, without building it for real. */
export function stageParameters(stage: Stage): StageParameters {
  const all = declaredWeights((graph, weights) => {
    const batch = declareInputs(graph, [...stage.inputs, ...stage.targets]);
    stage.loss(weights, batch, noDropout);
  });
  return {
    trainable: all.filter(({ key }) => stage.isTrainable(key)),
    frozen: all.filter(({ key }) => !stage.isTrainable(key)),
  };
}

/** The K-step training graph of a stage. */
export function stageTrainingGraph(
  stage: Stage,
  parameters: StageParameters,
  optimizer: AdamWOptions,
  schedule: Schedule,
  memory: Pick<TrainingSpec, 'recompute' | 'accumulate'>,
): TrainingGraph {
  return buildTrainingGraph({
    name: `emoq_stage${stage.number}_training`,
    parameters: parameters.trainable,
    batch: [...stage.inputs, ...stage.targets],
    optimizer,
    schedule,
    ...memory,
    step: ({ root, parameters: values, batch, dropout }) =>
      stage.loss(layeredWeights(values, stage.frozen(root)), batch, dropout),
  });
}

/**
 * The graph from inputs to `probabilities` [N, C] and `embedding` [N, d_h].
 * @param trained where trained parameters come from; as graph inputs by their keys where absent
 */
export function stageEvaluationGraph(
  stage: Stage,
  parameters: StageParameters,
  trained?: (graph: Graph) => Weights,
): Graph {
  const graph = createGraph(`emoq_stage${stage.number}`);
  const batch = declareInputs(graph, stage.inputs);
  const frozen = stage.frozen(graph);
  const weights = trained === undefined ? undefined : trained(graph);
  const values = new Map(
    weights === undefined
      ? parameters.trainable.map(({ key, shape }) => [key, addInput(graph, key, 'float32', shape)] as const)
      : [],
  );
  const lookup: Weights =
    weights === undefined
      ? layeredWeights(values, frozen)
      : (key, shape) => (stage.isTrainable(key) ? weights(key, shape) : frozen(key, shape));
  const { probabilities, embedding } = withScope(graph, `stage${stage.number}`, () =>
    stage.forward(lookup, batch),
  );
  addOutput(graph, probabilities, 'probabilities');
  if (embedding !== undefined) addOutput(graph, embedding, 'embedding');
  return graph;
}

function declareInputs(graph: Graph, inputs: readonly ModelInput[]): Record<string, Value> {
  return Object.fromEntries(
    inputs.map(({ name, dtype, shape }) => [name, addInput(graph, name, dtype, shape)]),
  );
}

/** @file The ONNX graphs of a phase: its training steps, and its inference. */

import { addInput, addOutput, createGraph, type Graph, type Value, withScope } from '../engine/onnx/index.js';
import {
  type AdamWOptions,
  buildTrainingGraph,
  type GraphInput,
  type Schedule,
  type TrainingGraph,
  type TrainingSpec,
} from '../engine/training/index.js';
import { declaredWeights, layeredWeights, noDropout, type Weights } from '../nn/index.js';
import type { PhaseGraphs, PhaseParameters } from './system.js';

/** Asks a phase's training graph for its weights, without building it for real. */
export function phaseParameters(phase: Omit<PhaseGraphs, 'frozen'>): PhaseParameters {
  const all = declaredWeights((graph, weights) => {
    const batch = declareInputs(graph, [...phase.inputs, ...phase.targets]);
    phase.loss(weights, batch, noDropout);
  });
  return {
    trainable: all.filter(({ key }) => phase.isTrainable(key)),
    frozen: all.filter(({ key }) => !phase.isTrainable(key)),
  };
}

/** The K-step training graph of a phase. */
export function phaseTrainingGraph(
  phase: PhaseGraphs,
  parameters: PhaseParameters,
  optimizer: AdamWOptions,
  schedule: Schedule,
  memory: Pick<TrainingSpec, 'recompute' | 'accumulate'>,
): TrainingGraph {
  return buildTrainingGraph({
    name: `emoq_${phase.name}_training`,
    parameters: parameters.trainable,
    batch: [...phase.inputs, ...phase.targets],
    optimizer,
    schedule,
    ...memory,
    step: ({ root, parameters: values, batch, dropout }) =>
      phase.loss(layeredWeights(values, phase.frozen(root)), batch, dropout),
  });
}

/**
 * The graph from inputs to `probabilities` [N, C] and `embedding` [N, d_h].
 * @param trained where trained parameters come from; as graph inputs by their keys where absent
 */
export function phaseEvaluationGraph(
  phase: PhaseGraphs,
  parameters: PhaseParameters,
  trained?: (graph: Graph) => Weights,
): Graph {
  const graph = createGraph(`emoq_${phase.name}`);
  const batch = declareInputs(graph, phase.inputs);
  const frozen = phase.frozen(graph);
  const weights = trained === undefined ? undefined : trained(graph);
  const values = new Map(
    weights === undefined
      ? parameters.trainable.map(({ key, shape }) => [key, addInput(graph, key, 'float32', shape)] as const)
      : [],
  );
  const lookup: Weights =
    weights === undefined
      ? layeredWeights(values, frozen)
      : (key, shape) => (phase.isTrainable(key) ? weights(key, shape) : frozen(key, shape));
  const { probabilities, embedding } = withScope(graph, phase.name, () => phase.forward(lookup, batch));
  addOutput(graph, probabilities, 'probabilities');
  if (embedding !== undefined) addOutput(graph, embedding, 'embedding');
  return graph;
}

function declareInputs(graph: Graph, inputs: readonly GraphInput[]): Record<string, Value> {
  return Object.fromEntries(
    inputs.map(({ name, dtype, shape }) => [name, addInput(graph, name, dtype, shape)]),
  );
}

/**
 * @file Builds the ONNX graphs of a phase, for training steps and for inference, and the batch tensors that several
 * systems share.
 */

import { addInput, addOutput, createGraph, type Graph, type Value, withScope } from '../engine/onnx/index.js';
import { type Tensor, tensor } from '../engine/tensor/index.js';
import {
  type AdamWOptions,
  type Batch,
  buildTrainingGraph,
  type GraphInput,
  type Schedule,
  type TrainingGraph,
  type TrainingSpec,
} from '../engine/training/index.js';
import {
  declaredWeights,
  layeredWeights,
  type ModelGraph,
  noDropout,
  type Precision,
  type Weights,
} from '../nn/index.js';
import type {
  Example,
  FeatureSource,
  PhaseAttention,
  PhaseGraphs,
  PhaseParameters,
  StandaloneModel,
} from './system.js';

/** Lists the weights that a phase's training graph reads, without building the full graph. */
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

export interface PhaseTrainingOptions
  extends Pick<TrainingSpec, 'recompute' | 'accumulate' | 'sharedBelow' | 'average'> {
  /** With the outputs of {@link phaseEvaluationGraph} for batches of its own. */
  readonly evaluates?: boolean;
  /** Of a language model's products. Default float32. */
  readonly precision?: Precision;
}

/** The K-step training graph of a phase. */
export function phaseTrainingGraph(
  phase: PhaseGraphs,
  parameters: PhaseParameters,
  optimizer: AdamWOptions,
  schedule: Schedule,
  { evaluates, precision = 'float32', ...options }: PhaseTrainingOptions,
): TrainingGraph {
  let frozen: Weights | undefined; // training and evaluation share them
  const frozenOf = (root: Graph): Weights => {
    frozen ??= phase.frozen(root, precision);
    return frozen;
  };
  return buildTrainingGraph({
    name: `emoq_${phase.name}_training`,
    parameters: parameters.trainable,
    batch: [...phase.inputs, ...phase.targets],
    optimizer,
    schedule,
    ...options,
    ...(phase.memory && { memory: phase.memory }),
    step: ({ root, parameters: values, batch, dropout, memory }) =>
      phase.loss(layeredWeights(values, frozenOf(root)), batch, dropout, memory),
    ...(evaluates && {
      evaluation: {
        batch: phase.inputs,
        forward: ({ root, body, parameters: values, batch }) =>
          namedOutputs(
            withScope(body, phase.name, () => phase.forward(layeredWeights(values, frozenOf(root)), batch)),
          ),
      },
    }),
  });
}

/** The output of an opened model's graph that its input for past keys and values takes. */
export const PRESENT_KEY_VALUES = 'present_key_values';

/** The outputs of a phase's forward graph by name. */
function namedOutputs({
  probabilities,
  embedding,
  presentKeyValues,
}: ReturnType<PhaseGraphs['forward']>): Record<string, Value> {
  return {
    probabilities,
    ...(embedding && { embedding }),
    ...(presentKeyValues && { [PRESENT_KEY_VALUES]: presentKeyValues }),
  };
}

/**
 * The graph from inputs to `probabilities` [N, C] and `embedding` [N, d_h].
 * @param trained source of the trained parameters; if absent they are graph inputs named by their keys
 * @param precision of a language model's products
 */
export function phaseEvaluationGraph(
  phase: PhaseGraphs,
  parameters: PhaseParameters,
  trained?: (graph: Graph) => Weights,
  precision: Precision = 'float32',
): Graph {
  return forwardGraph(phase, phase.inputs, parameters, trained, precision);
}

/**
 * The graph of an opened model, like {@link phaseEvaluationGraph}. That of a phase with a prompt also has the input
 * `past_key_values`, for the keys and values of tokens that begin all prompts of a batch, and the output
 * `present_key_values`, those of the first prompt's own tokens.
 */
export function phaseInferenceGraph(
  phase: PhaseGraphs,
  parameters: PhaseParameters,
  trained: (graph: Graph) => Weights,
  precision: Precision = 'float32',
): Graph {
  const inputs = [...phase.inputs, ...(phase.past ? [phase.past] : [])];
  return forwardGraph(phase, inputs, parameters, trained, precision);
}

function forwardGraph(
  phase: PhaseGraphs,
  inputs: readonly GraphInput[],
  parameters: PhaseParameters,
  trained: ((graph: Graph) => Weights) | undefined,
  precision: Precision,
): Graph {
  const graph = createGraph(`emoq_${phase.name}`);
  const batch = declareInputs(graph, inputs);
  const frozen = phase.frozen(graph, precision);
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
  const outputs = namedOutputs(withScope(graph, phase.name, () => phase.forward(lookup, batch)));
  for (const [name, value] of Object.entries(outputs)) addOutput(graph, value, name);
  return graph;
}

/**
 * The graph from the inputs of a phase's Former to what its queries attend to: `frames` [N, N_q, L_a] if it reads audio,
 * `joint` [N, N_q, N_q + L_t] and `pooling` [N, N_q], see `FormerAttention`.
 */
export function phaseAttentionGraph(
  phase: Pick<PhaseGraphs, 'name' | 'isTrainable' | 'frozen'>,
  { inputs, shares }: PhaseAttention,
  trained: (graph: Graph) => Weights,
): Graph {
  const graph = createGraph(`emoq_${phase.name}_attention`);
  const batch = declareInputs(graph, inputs);
  const [own, frozen] = [trained(graph), phase.frozen(graph, 'float32')];
  const lookup: Weights = (key, shape) => (phase.isTrainable(key) ? own(key, shape) : frozen(key, shape));
  const values = withScope(graph, phase.name, () => shares(lookup, batch));
  for (const [name, value] of Object.entries(values)) if (value) addOutput(graph, value, name);
  return graph;
}

/**
 * A phase's forward graph as one standalone model.
 * @param weight see {@link StandaloneModel.weight}
 */
export function wholeModel(
  { inputs, forward }: Pick<PhaseGraphs, 'inputs' | 'forward'>,
  model: Pick<StandaloneModel, 'name' | 'description' | 'weight'>,
): StandaloneModel {
  return {
    ...model,
    inputs,
    outputs: ['probabilities', 'embedding'],
    isLanguageModel: false,
    define(weights, batch) {
      const { probabilities, embedding } = forward(weights, batch);
      return { probabilities, embedding: embedding! };
    },
  };
}

/** A standalone model over named weights. */
export function standaloneGraph({ name, description, inputs, define }: StandaloneModel): ModelGraph {
  return {
    name: `emoq_${name}`,
    description,
    define(graph, weights) {
      const outputs = withScope(graph, name, () => define(weights, declareInputs(graph, inputs)));
      for (const [output, value] of Object.entries(outputs)) addOutput(graph, value, output);
    },
  };
}

function declareInputs(graph: Graph, inputs: readonly GraphInput[]): Record<string, Value> {
  return Object.fromEntries(
    inputs.map(({ name, dtype, shape }) => [name, addInput(graph, name, dtype, shape)]),
  );
}

/** Merges the tensors and sizes of the parts of a batch. */
export function joined(parts: readonly Batch[]): Batch {
  return {
    tensors: Object.assign({}, ...parts.map(({ tensors }) => tensors)),
    sizes: Object.assign({}, ...parts.map(({ sizes }) => sizes)),
  };
}

/** `labels`, int64 [batch]. */
export function labelPart(examples: readonly Pick<Example, 'label'>[]): Batch {
  const labels = idVector(
    [examples.length],
    examples.map(({ label }) => label),
  );
  return { tensors: { labels }, sizes: {} };
}

/**
 * Stored features, padded with zeros: `audio_features` float16 [batch, frames, width] and `frame_mask` int64 [batch,
 * frames].
 */
export async function audioPart(
  examples: readonly Pick<Example, 'id'>[],
  source: FeatureSource,
  audioWidth: number,
): Promise<Batch> {
  const features = await Promise.all(examples.map(({ id }) => source.read({ id })));
  const frames = Math.max(...features.map((each) => each.frames));
  const values = tensor('float16', [features.length, frames, audioWidth]);
  const mask = tensor('int64', [features.length, frames]);
  features.forEach((each, row) => {
    values.data.set(each.words, row * frames * audioWidth);
    mask.data.fill(1n, row * frames, row * frames + each.frames);
  });
  return { tensors: { audio_features: values, frame_mask: mask }, sizes: { frames } };
}

/** Token ids, padded on the right, with their mask: both int64 [batch, length]. */
export function sequencePart(
  sequences: readonly (readonly number[])[],
  symbol: string,
  idsName: string,
  maskName: string,
  padId: number,
): Batch {
  const length = Math.max(...sequences.map((sequence) => sequence.length));
  const values = tensor('int64', [sequences.length, length]);
  const mask = tensor('int64', [sequences.length, length]);
  values.data.fill(BigInt(padId));
  sequences.forEach((sequence, row) => {
    sequence.forEach((id, position) => {
      values.data[row * length + position] = BigInt(id);
    });
    mask.data.fill(1n, row * length, row * length + sequence.length);
  });
  return { tensors: { [idsName]: values, [maskName]: mask }, sizes: { [symbol]: length } };
}

/** Integers as an int64 tensor. */
export function idVector(shape: readonly number[], values: readonly number[]): Tensor<'int64'> {
  return tensor(
    'int64',
    shape,
    BigInt64Array.from(values, (value) => BigInt(value)),
  );
}

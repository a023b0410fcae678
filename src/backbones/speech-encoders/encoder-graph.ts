/** @file The encoder as an ONNX model of its own, its weights left in place in the checkpoint's files. */

import { join } from 'node:path';
import { type Checkpoint, requireWeight, weightsUnder } from '../../checkpoints/index.js';
import {
  addInput,
  addOutput,
  createGraph,
  type Graph,
  type PlacedModel,
  serializeInPlace,
} from '../../engine/onnx/index.js';
import { checkpointWeights } from '../../nn/index.js';
import { encoderFamilyOf } from './encoder-families.js';
import type { Wav2Vec2Options } from './wav2vec2/encoder.js';

/** Names that older checkpoints have for the two parts of a weight norm. */
const OLDER_NAMES: readonly (readonly [string, string])[] = [
  ['parametrizations.weight.original0', 'weight_g'],
  ['parametrizations.weight.original1', 'weight_v'],
];

/**
 * The model as a graph: inputs `input_values` float32 [batch, samples] and `attention_mask` int64 [batch, samples],
 * outputs `last_hidden_state` float32 [batch, frames, width] and `frame_mask` int64 [batch, frames]. Weights of
 * 16 bits are cast to float32 when a session loads them.
 * @throws InputError when the config is of no family, or a weight is missing or misshapen.
 */
export function encoderGraph(checkpoint: Checkpoint, options: Wav2Vec2Options = {}): Graph {
  const family = encoderFamilyOf(checkpoint);
  const config = family.parseConfig(checkpoint.config, join(checkpoint.dir, 'config.json'));
  const stored = weightsUnder(checkpoint, family.prefixes);
  const graph = createGraph(family.modelType);
  const inputValues = addInput(graph, 'input_values', 'float32', ['batch', 'samples']);
  const attentionMask = addInput(graph, 'attention_mask', 'int64', ['batch', 'samples']);
  const weights = checkpointWeights(graph, (key, shape) =>
    requireWeight(stored, storedKey(stored, key), shape),
  );
  const outputs = family.encoder(weights, config, { inputValues, attentionMask }, options);
  addOutput(graph, outputs.lastHiddenState, 'last_hidden_state');
  addOutput(graph, outputs.frameMask, 'frame_mask');
  return graph;
}

/** The weights that the model reads, by the keys that they are stored under. @throws InputError as {@link encoderGraph} */
export function encoderKeys(checkpoint: Checkpoint): Set<string> {
  const placed = encoderGraph(checkpoint).initializers.flatMap(({ content }) =>
    content?.kind === 'external' ? [`${content.path} ${content.offset}`] : [],
  );
  const read = new Set(placed);
  const refs = [...checkpoint.weights.values()].filter(({ path, offset }) => read.has(`${path} ${offset}`));
  return new Set(refs.map(({ key }) => key));
}

/** {@link encoderGraph} serialised, its weights where they are. @throws InputError as that does */
export function buildEncoderGraph(checkpoint: Checkpoint, options: Wav2Vec2Options = {}): PlacedModel {
  return serializeInPlace(encoderGraph(checkpoint, options), {
    description: encoderDescription(checkpoint),
  });
}

/** One line that says what the graph computes. */
export function encoderDescription(checkpoint: Checkpoint): string {
  const { title } = encoderFamilyOf(checkpoint);
  return `${title} encoder: 16 kHz waveforms to hidden states at 50 frames a second`;
}

function storedKey({ weights }: Checkpoint, key: string): string {
  const older = OLDER_NAMES.reduce((name, [current, before]) => name.replace(current, before), key);
  return weights.has(older) ? older : key;
}

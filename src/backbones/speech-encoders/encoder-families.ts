/**
 * @file Registry of the speech encoder families, config parsing, and the encoder as a standalone ONNX model that reads
 * the checkpoint's weights as external data.
 */

import { join } from 'node:path';
import { InputError } from '../../base/index.js';
import {
  type Checkpoint,
  findCheckpointFolder,
  readConfig,
  readWeight,
  requireWeight,
  weightsUnder,
} from '../../checkpoints/index.js';
import {
  add,
  addInput,
  addOutput,
  checkCudaKernels,
  concat,
  createGraph,
  type Graph,
  mul,
  type SerializedModel,
  serializeInPlace,
  type Value,
  withScope,
} from '../../engine/onnx/index.js';
import type { Device } from '../../engine/runtime/index.js';
import { float32Of, type Tensor, tensor } from '../../engine/tensor/index.js';
import { checkpointWeights, type Precision, type Weights } from '../../nn/index.js';
import { familyOf, familyTitles, type RawConfig } from '../backbone-family.js';
import { ctcHead, ctcVocabularySize, requireCtcHead } from './ctc/head.js';
import { emotion2vec } from './emotion2vec/family.js';
import { hubert } from './hubert/family.js';
import { chosenLayers, isLastLayer, LAST_LAYER, type LayerSelection } from './layer-selection.js';
import { type Preprocessor, readPreprocessor } from './preprocessor.js';
import type {
  EncoderOptions,
  Framing,
  LayerFrames,
  LayerRange,
  SpeechEncoderConfig,
  SpeechEncoderFamily,
} from './speech-encoder.js';
import { unispeechSat } from './unispeech-sat/family.js';
import { wav2vec2 } from './wav2vec2/family.js';
import { wavlm } from './wavlm/family.js';
import { whisper } from './whisper/family.js';

export const encoderFamilies: readonly SpeechEncoderFamily[] = [
  hubert,
  wav2vec2,
  unispeechSat,
  wavlm,
  whisper,
  emotion2vec,
];

/** The supported encoders, for messages: "HuBERT or wav2vec 2.0". */
export const encoderTitles = familyTitles(encoderFamilies);

/** The family of an encoder checkpoint. @throws InputError if it is not supported */
export function encoderFamilyOf({ dir, config }: Pick<Checkpoint, 'dir' | 'config'>): SpeechEncoderFamily {
  return familyOf(encoderFamilies, config, join(dir, 'config.json'));
}

/**
 * Parses config.json, and preprocessor_config.json if present.
 * @throws InputError naming the file and key of anything that is not supported, or an unsupported model type
 */
export function parseEncoderConfig(
  raw: RawConfig,
  path: string,
  preprocessor?: Preprocessor,
): SpeechEncoderConfig {
  return familyOf(encoderFamilies, raw, path).parseConfig(raw, path, preprocessor);
}

/** The same, and how such an encoder divides clips into frames. @throws InputError as {@link parseEncoderConfig} */
export function parseFramedEncoder(
  raw: RawConfig,
  path: string,
  preprocessor?: Preprocessor,
): { readonly config: SpeechEncoderConfig; readonly framing: Framing } {
  const family = familyOf(encoderFamilies, raw, path);
  const config = family.parseConfig(raw, path, preprocessor);
  return { config, framing: family.framing(config) };
}

/** Reads the config of a folder, or of a model id in the Hugging Face cache. @throws InputError */
export async function readEncoderConfig(nameOrPath: string): Promise<SpeechEncoderConfig> {
  return (await readFramedEncoder(nameOrPath)).config;
}

/** {@link parseFramedEncoder} of a folder, or of a model id in the Hugging Face cache. @throws InputError */
export async function readFramedEncoder(nameOrPath: string): Promise<ReturnType<typeof parseFramedEncoder>> {
  return parseFramedEncoder(...(await rawEncoder(nameOrPath)));
}

/** config.json of an encoder, its path, and preprocessor_config.json if present. */
async function rawEncoder(nameOrPath: string): Promise<[RawConfig, string, Preprocessor | undefined]> {
  const dir = await findCheckpointFolder(nameOrPath);
  const preprocessor = await readPreprocessor(dir);
  return [await readConfig(dir), join(dir, 'config.json'), preprocessor];
}

/** An encoder whose layers a model can train. */
export interface TrainableEncoder {
  readonly config: SpeechEncoderConfig;
  /** Some of its layers, see {@link SpeechEncoderFamily.layers}; weights by their keys without prefix. */
  layers(weights: Weights, frames: LayerFrames, range: LayerRange): Value[];
  /** Symbols of its CTC head. A checkpoint without a head has a number of them too. */
  readonly symbols: number;
  /** Logits of its CTC head: last hidden states [N, L, hiddenSize] -> [N, L, symbols]. */
  logits(weights: Weights, states: Value): Value;
}

/** @throws InputError as {@link parseEncoderConfig}, and for a family whose layers cannot be trained */
export function parseTrainableEncoder(
  raw: RawConfig,
  path: string,
  preprocessor?: Preprocessor,
): TrainableEncoder {
  const family = familyOf(encoderFamilies, raw, path);
  const config = family.parseConfig(raw, path, preprocessor);
  if (family.layers === undefined) {
    const titles = familyTitles(encoderFamilies.filter(({ layers }) => layers !== undefined));
    throw new InputError(
      `the layers of ${family.title} (${path}) cannot be trained, only those of ${titles}; set encoder.train to frozen`,
    );
  }
  const symbols = ctcVocabularySize(raw, path);
  return {
    config,
    layers: (weights, frames, range) => family.layers!(weights, config, frames, range),
    symbols,
    logits: (weights, states) => ctcHead(weights, states, symbols),
  };
}

/** {@link parseTrainableEncoder} of a folder, or of a model id in the Hugging Face cache. @throws InputError */
export async function readTrainableEncoder(nameOrPath: string): Promise<TrainableEncoder> {
  return parseTrainableEncoder(...(await rawEncoder(nameOrPath)));
}

/**
 * The key under which a checkpoint stores a weight of its encoder.
 * @param key without prefix, as the model reads it
 * @throws InputError when it has no such weight
 */
export function encoderWeightKey(checkpoint: Checkpoint, key: string): string {
  const stored = weightsUnder(checkpoint, encoderFamilyOf(checkpoint).prefixes);
  const found = stored.weights.get(storedKey(stored, key));
  if (found !== undefined) return found.key;
  throw new InputError(`checkpoint ${checkpoint.dir} has no weight "${key}"`);
}

/**
 * A weight of an encoder by its key without prefix, as float32.
 * @throws InputError when it is missing, has another shape, or is quantized
 */
export async function readEncoderWeight(
  checkpoint: Checkpoint,
  key: string,
  shape: readonly number[],
): Promise<Tensor<'float32'>> {
  const stored = weightsUnder(checkpoint, encoderFamilyOf(checkpoint).prefixes);
  const ref = requireWeight(stored, storedKey(stored, key), shape);
  if (ref.quantization !== undefined) {
    throw new InputError(
      `weight "${ref.key}" of ${checkpoint.dir} is quantized, and cannot be trained; take the original weights`,
    );
  }
  return tensor('float32', shape, float32Of(await readWeight(ref)));
}

/** How an encoder's graph computes, and which of its layers it gives. */
export interface EncoderGraphOptions extends Pick<EncoderOptions, 'groupNormSteps'> {
  readonly precision?: Precision | undefined;
  /** Default: the last layer. */
  readonly selection?: LayerSelection | undefined;
}

/** The output of a graph that gives other layers than the last. */
export const SELECTED_STATES = 'hidden_states';
/** The output of one that gives the last layer. */
export const LAST_STATES = 'last_hidden_state';
/** The output of one that gives the logits of a CTC head, after the hidden states. */
export const STATES_AND_LOGITS = 'features';

/** The name of a graph's first output. */
export function outputName(
  selection: LayerSelection,
  config: { readonly numHiddenLayers: number } | undefined,
): string {
  if (selection.logits) return STATES_AND_LOGITS;
  return isLastLayer(selection, config) ? LAST_STATES : SELECTED_STATES;
}

/** Names of the two parts of a weight norm in older checkpoints. */
const OLDER_NAMES: readonly (readonly [string, string])[] = [
  ['parametrizations.weight.original0', 'weight_g'],
  ['parametrizations.weight.original1', 'weight_v'],
];

/**
 * The model as a graph: inputs `input_values` float32 [batch, samples] and `attention_mask` int64 [batch, samples],
 * outputs `last_hidden_state` float32 [batch, frames, width] and `frame_mask` int64 [batch, frames]. For a selection of
 * other layers the first output is `hidden_states`: their mean, or all of them, one after the other, [batch, frames,
 * layers * width]. Layers above the highest of them are not computed. With logits it is `features`: these states, and
 * after them the logits of the CTC head, [batch, frames, layers * width + vocabulary].
 * @param precision of the transformer's linear layers; the convolutions, attention and norms are float32
 * @throws InputError when the model is not supported, or a weight is missing or has another shape; for logits, when
 *   the checkpoint has no CTC head
 */
export function encoderGraph(
  checkpoint: Checkpoint,
  { precision = 'float32', selection = LAST_LAYER, ...options }: EncoderGraphOptions = {},
): Graph {
  const family = encoderFamilyOf(checkpoint);
  const config = family.parseConfig(checkpoint.config, join(checkpoint.dir, 'config.json'));
  const stored = weightsUnder(checkpoint, family.prefixes);
  const graph = createGraph(family.modelType);
  const inputValues = addInput(graph, 'input_values', 'float32', ['batch', 'samples']);
  const attentionMask = addInput(graph, 'attention_mask', 'int64', ['batch', 'samples']);
  const weights = checkpointWeights(
    graph,
    (key, shape) => requireWeight(stored, storedKey(stored, key), shape),
    () => precision,
  );
  const chosen = chosenLayers(selection, config);
  const last = config.numHiddenLayers;
  const { hiddenStates, inFrames, frameMask } = family.encoder(
    weights,
    config,
    { inputValues, attentionMask },
    { ...options, layers: selection.logits ? last : chosen.at(-1)! },
  );
  const stateOf = (layer: number): Value => inFrames?.(hiddenStates[layer]!) ?? hiddenStates[layer]!;
  const states = chosen.map(stateOf);
  if (selection.logits) requireCtcHead(stored);
  addOutput(
    graph,
    withScope(graph, 'layers', () => {
      const own = states.length === 0 ? [] : [mixed(states, selection)];
      if (!selection.logits) return own[0]!;
      const size = ctcVocabularySize(checkpoint.config, join(checkpoint.dir, 'config.json'));
      return joined([...own, ctcHead(weights, stateOf(last), size)]);
    }),
    outputName(selection, config),
  );
  addOutput(graph, frameMask, 'frame_mask');
  return graph;
}

/** One value of those of several layers. */
function mixed(states: readonly Value[], { mix }: LayerSelection): Value {
  if (states.length === 1) return states[0]!;
  return mix === 'learned'
    ? joined(states)
    : mul(
        states.reduce((sum, state) => add(sum, state)),
        1 / states.length,
      );
}

/** Values of a frame one after the other. */
function joined(values: readonly Value[]): Value {
  return values.length === 1 ? values[0]! : concat(values, 2);
}

/** The weights that the model reads, by their stored keys. @throws InputError as {@link encoderGraph} */
export function encoderKeys(checkpoint: Checkpoint): Set<string> {
  const used = encoderGraph(checkpoint).initializers.flatMap(({ content }) =>
    content?.kind === 'external' ? [`${content.path} ${content.offset}`] : [],
  );
  const read = new Set(used);
  const refs = [...checkpoint.weights.values()].filter(({ path, offset }) => read.has(`${path} ${offset}`));
  return new Set(refs.map(({ key }) => key));
}

/**
 * Serialises {@link encoderGraph}, leaving its weights in place.
 * @param options `device`: for CUDA, checks that it has the graph's kernels
 * @throws InputError as that function
 */
export function buildEncoderGraph(
  checkpoint: Checkpoint,
  { device, ...options }: EncoderGraphOptions & { readonly device?: Device } = {},
): SerializedModel {
  const graph = encoderGraph(checkpoint, options);
  if (device?.kind === 'cuda') checkCudaKernels(graph);
  return serializeInPlace(graph, { description: encoderDescription(checkpoint) });
}

/** One line that describes what the graph computes. */
export function encoderDescription(checkpoint: Checkpoint): string {
  const { title } = encoderFamilyOf(checkpoint);
  return `${title} encoder: 16 kHz waveforms to hidden states at 50 frames a second`;
}

function storedKey({ weights }: Checkpoint, key: string): string {
  const older = OLDER_NAMES.reduce((name, [current, before]) => name.replace(current, before), key);
  return weights.has(older) ? older : key;
}

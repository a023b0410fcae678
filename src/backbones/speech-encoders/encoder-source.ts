/**
 * @file Finds the encoder that a recipe names: emoq's own graph over a checkpoint's weights, or an exported ONNX file.
 */

import { join } from 'node:path';
import { InputError, pathExists } from '../../base/index.js';
import {
  type Checkpoint,
  findCheckpointFolder,
  openCheckpoint,
  readConfig,
  weightFiles,
} from '../../checkpoints/index.js';
import {
  type Device,
  type SessionOptions,
  type SessionWorker,
  startSessionWorker,
} from '../../engine/runtime/index.js';
import type { Precision } from '../../nn/index.js';
import { ctcVocabularySize, requireCtcHead } from './ctc/head.js';
import { readCtcVocabulary } from './ctc/vocabulary.js';
import {
  buildEncoderGraph,
  encoderTitles,
  outputName,
  readEncoderConfig,
  readFramedEncoder,
} from './encoder-families.js';
import { openExportedEncoder, readExportedEncoder, trialWidth } from './exported-encoder.js';
import {
  chosenLayers,
  heldLayers,
  LAST_LAYER,
  type LayerSelection,
  selectionName,
} from './layer-selection.js';
import {
  createSpeechEncoder,
  type EncoderIO,
  type EncoderProperties,
  paddedLength,
  type SpeechEncoder,
  type SpeechEncoderConfig,
} from './speech-encoder.js';

/** An encoder that was found and checked, but is not loaded yet. */
export interface EncoderSource {
  /** The files that determine the features: configs, then the weights or the exported graph. */
  readonly files: readonly string[];
  /** The config keys that are used. */
  readonly config: Readonly<Record<string, unknown>>;
  /** A warning for the user, if any. */
  readonly warning: string | undefined;
  /** The checkpoint that emoq's own graph reads; undefined for an exported encoder. */
  readonly checkpoint: Checkpoint | undefined;
  /** Tells its features from those of other layers of the same encoder; '' for the last layer. */
  readonly selection: string;
  /** Seconds from one frame to the next; undefined if no config says it. */
  readonly frameSec: number | undefined;
  /** {@link SpeechEncoder.paddedSamples}, before the encoder is loaded. */
  readonly paddedSamples: (samples: number) => number;
  /** Loads it. */
  open(options: SpeechEncoderOptions): Promise<SpeechEncoder>;
}

export interface SpeechEncoderOptions {
  readonly device: Device;
  /** Threads per operator; absent: one per physical core. */
  readonly threads?: number | undefined;
  /** Of the linear layers of emoq's own graph. Default float32. */
  readonly precision?: Precision;
  /** The worker to open the session in; absent: starts its own. */
  readonly worker?: SessionWorker;
}

/** Of the waveforms that encoders take. */
const SAMPLE_RATE_HZ = 16_000;

/** emoq's own graph: see buildEncoderGraph. */
export const OWN_IO: Omit<EncoderIO, 'hiddenStates'> = {
  valuesDtype: 'float32',
  takesMask: true,
  padding: 'ignored',
};

/** Opens a session of the graph in a worker. */
type OpenSession = (
  worker: SessionWorker,
  options: SessionOptions,
  precision: Precision | undefined,
) => ReturnType<typeof openExportedEncoder>;

/**
 * Finds an encoder.
 * @param nameOrPath a checkpoint of one of the families: a folder, or a model id in the Hugging Face cache. May be null
 *   with `onnx`
 * @param onnx an exported encoder that takes waveforms, to run instead of emoq's own graph. The checkpoint's files are
 *   then not needed
 * @param layers which of its hidden states are the features, and whether the logits of its CTC head are
 * @throws InputError when something is missing or broken, the checkpoint's family is not supported, or it does not have
 *   these layers, or for logits no CTC head or vocab.json
 */
export async function findSpeechEncoder(
  nameOrPath: string | null,
  onnx: string | null,
  layers: LayerSelection = LAST_LAYER,
): Promise<EncoderSource> {
  if (onnx !== null) {
    const { io, file, description, width } = await readExportedEncoder(onnx, nameOrPath, layers);
    return encoderSource({
      files: [...description.files, onnx, ...file.dataFiles],
      config: { ...description.config, doNormalize: description.normalize },
      warning: description.warning,
      checkpoint: undefined,
      selection: selectionName(layers, description.config),
      properties: { width, framing: description.framing, normalize: description.normalize },
      io,
      origin: onnx,
      openSession: (worker, options) => openExportedEncoder(onnx, worker, options),
    });
  }
  const name = checkpointOf(nameOrPath);
  const { config, framing } = await readFramedEncoder(name);
  const checkpoint = await openCheckpoint(name);
  if (layers.logits) requireCtcHead(checkpoint);
  const vocabulary = layers.logits ? await readVocabularySize(checkpoint.dir) : 0;
  return encoderSource({
    files: [...(await configFiles(await findCheckpointFolder(name))), ...weightFiles(checkpoint)],
    config: { ...config, ...(layers.logits && { vocabSize: vocabulary }) },
    warning: undefined,
    checkpoint,
    selection: selectionName(layers, config),
    properties: {
      width: frameWidth(widthOf(config, layers, vocabulary)),
      framing,
      normalize: config.doNormalize,
    },
    io: { ...OWN_IO, hiddenStates: outputName(layers, config) },
    origin: checkpoint.dir,
    openSession: (worker, options, precision) => {
      const { model, weightsFolder } = buildEncoderGraph(checkpoint, {
        ...{ precision, selection: layers },
        device: options.device,
      });
      return worker.open(model, { ...options, weightsFolder });
    },
  });
}

export interface EncoderChoice {
  readonly onnx?: string | null;
  readonly layers?: LayerSelection;
}

/** Finds an encoder and loads it. @throws InputError as {@link findSpeechEncoder} */
export async function openSpeechEncoder(
  nameOrPath: string | null,
  { onnx = null, layers, ...options }: SpeechEncoderOptions & EncoderChoice,
): Promise<SpeechEncoder> {
  return (await findSpeechEncoder(nameOrPath, onnx, layers)).open(options);
}

export interface EncoderWidth {
  /** Of a hidden state. */
  readonly width: number;
  /** Hidden states in a frame of the features. */
  readonly held: number;
  /** Logits after them, one for each symbol of the CTC head; 0 if none are asked for. */
  readonly vocabulary: number;
  /** A warning for the user. */
  readonly warning: string | undefined;
}

/**
 * Width of an encoder's features and a warning for the user, like {@link findSpeechEncoder} but without the
 * checkpoint's weights. An exported encoder of unknown width is run once.
 * @throws InputError as that function
 */
export async function encoderWidth(
  nameOrPath: string | null,
  onnx: string | null,
  layers: LayerSelection = LAST_LAYER,
): Promise<EncoderWidth> {
  if (onnx === null) {
    const name = checkpointOf(nameOrPath);
    const config = await readEncoderConfig(name);
    const vocabulary = layers.logits ? await readVocabularySize(await findCheckpointFolder(name)) : 0;
    return widthOf(config, layers, vocabulary);
  }
  const { io, width, held, vocabulary, description } = await readExportedEncoder(onnx, nameOrPath, layers);
  const { warning } = description;
  const ofStates = (whole: number): EncoderWidth => ({
    ...{ held, vocabulary, warning },
    width: (whole - vocabulary) / held,
  });
  if (width !== undefined) return ofStates(width);
  const worker = startSessionWorker();
  try {
    const session = await openExportedEncoder(onnx, worker, { device: { kind: 'cpu' } });
    return ofStates(await trialWidth(session, io, onnx));
  } finally {
    await worker.close();
  }
}

/**
 * {@link encoderWidth} of a config.
 * @param vocabulary symbols of its CTC head, if logits are asked for
 * @throws InputError if it does not have these layers
 */
export function widthOf(config: SpeechEncoderConfig, layers: LayerSelection, vocabulary = 0): EncoderWidth {
  const held = heldLayers(layers, chosenLayers(layers, config).length);
  return { width: config.hiddenSize, held, vocabulary, warning: undefined };
}

/** Values in a frame of the features. */
export function frameWidth({ width, held, vocabulary }: Omit<EncoderWidth, 'warning'>): number {
  return width * held + vocabulary;
}

/** Symbols of the CTC head of a folder. @throws InputError if it has no vocabulary, or one of another size */
async function readVocabularySize(dir: string): Promise<number> {
  const size = ctcVocabularySize(await readConfig(dir), join(dir, 'config.json'));
  await readCtcVocabulary(dir, size);
  return size;
}

function checkpointOf(nameOrPath: string | null): string {
  if (nameOrPath !== null) return nameOrPath;
  throw new InputError(
    `the recipe names no encoder; set backbones.encoder to a ${encoderTitles}, or backbones.encoder_onnx to an exported encoder`,
  );
}

/** Parts of an {@link EncoderSource}. The width may be unknown until the graph runs. */
export interface SourceParts
  extends Pick<EncoderSource, 'files' | 'config' | 'warning' | 'checkpoint' | 'selection'> {
  readonly properties: Omit<EncoderProperties, 'width'> & { readonly width: number | undefined };
  readonly io: EncoderIO;
  readonly origin: string;
  readonly openSession: OpenSession;
}

/** A source of what a graph gives for waveforms. */
export function encoderSource({ properties, io, origin, openSession, ...parts }: SourceParts): EncoderSource {
  const { framing } = properties;
  return {
    ...parts,
    frameSec: framing && framing.frameSamples / SAMPLE_RATE_HZ,
    paddedSamples: (samples) => paddedLength(framing, io, samples),
    async open({ worker: given, precision, ...options }) {
      const worker = given ?? startSessionWorker();
      const closeWorker = async (): Promise<void> => {
        if (given === undefined) await worker.close();
      };
      try {
        const session = await openSession(worker, options, precision);
        const width = properties.width ?? (await trialWidth(session, io, origin));
        return createSpeechEncoder(session, { ...properties, width }, io, origin, closeWorker);
      } catch (error) {
        await closeWorker();
        throw error;
      }
    },
  };
}

/** config.json and preprocessor_config.json of a folder, if they are there. */
export async function configFiles(dir: string): Promise<string[]> {
  const paths = ['config.json', 'preprocessor_config.json'].map((name) => join(dir, name));
  const present = await Promise.all(paths.map(pathExists));
  return paths.filter((_, index) => present[index]);
}

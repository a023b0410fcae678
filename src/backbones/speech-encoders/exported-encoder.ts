/**
 * @file Speech encoders exported to ONNX (by Hugging Face Optimum or `emoq export encoder`), checked for the inputs and
 * outputs that emoq uses.
 */

import { basename, dirname, join } from 'node:path';
import { errorMessage, InputError, pathExists } from '../../base/index.js';
import { findCheckpointFolder, readConfig } from '../../checkpoints/index.js';
import { loadModelFile, type ModelFile, type ModelValue, readModelFile } from '../../engine/onnx/index.js';
import type { SessionOptions, SessionWorker, WorkerSession } from '../../engine/runtime/index.js';
import { tensor } from '../../engine/tensor/index.js';
import {
  encoderFamilies,
  LAST_STATES,
  outputName,
  parseFramedEncoder,
  STATES_AND_LOGITS,
} from './encoder-families.js';
import {
  heldLayers,
  isLastLayer,
  LAST_LAYER,
  type LayerSelection,
  selectionNote,
} from './layer-selection.js';
import { normalizesWaveforms, type Preprocessor, readPreprocessor } from './preprocessor.js';
import type { EncoderIO, Framing, SpeechEncoderConfig } from './speech-encoder.js';

/** An exported encoder and its properties. */
export interface ExportedEncoder {
  readonly file: ModelFile;
  readonly io: EncoderIO;
  readonly description: ExportDescription;
  /** Width of the features; undefined if neither the graph nor a config gives it. */
  readonly width: number | undefined;
  /** Hidden states in a frame of the features. */
  readonly held: number;
  /** Logits after them; 0 if none are asked for. */
  readonly vocabulary: number;
}

/** Inputs that emoq feeds, with the element types it can provide. Both are [batch, samples]. */
const INPUTS: Readonly<Record<string, readonly string[]>> = {
  input_values: ['float32', 'float16'],
  attention_mask: ['int64'],
};

/** Output of a speech recogniser: character scores, which are not features. */
const SCORES = 'logits';

/**
 * Reads the interface of an exported encoder. It must take `input_values` float32 or float16 [N, samples], and
 * optionally `attention_mask` int64 [N, samples]. The features are `last_hidden_state`, or else the first output with
 * three axes, float32 or float16 [N, frames, width]. N may be fixed at 1. For other layers than the last, the features
 * are `hidden_states`, which emoq's own graph gives; with the logits of a CTC head, they are `features`.
 * @param nameOrPath a checkpoint whose configs are used if there are none next to the file
 * @throws InputError when it is missing, not an ONNX file, missing its weights, or has another interface
 */
export async function readExportedEncoder(
  path: string,
  nameOrPath: string | null,
  layers: LayerSelection = LAST_LAYER,
): Promise<ExportedEncoder> {
  const file = await readModelFile(path, 'encoder');
  const refuse = (why: string): InputError =>
    new InputError(
      `encoder ${path} ${why}; it takes ${described(file.inputs)} and gives ${described(file.outputs)}`,
    );
  for (const port of file.inputs) {
    const types = INPUTS[port.name];
    if (types === undefined) {
      const known = Object.keys(INPUTS).join(' and ');
      throw refuse(
        port.name === 'input_features'
          ? `wants spectrograms (input_features), as Whisper does, but emoq only provides waveforms (${known}); of Whisper itself, give the checkpoint as backbones.encoder`
          : `wants an input that emoq does not provide (${known})`,
      );
    }
    if (!types.includes(port.dtype)) throw refuse(`must take ${port.name} as ${types.join(' or ')}`);
    const [batch, samples] = port.shape ?? [];
    const isOpen = (batch === undefined || batch === 1) && samples === undefined;
    if (port.shape !== undefined && (port.shape.length !== 2 || !isOpen)) {
      throw refuse(`must take ${port.name} of any [batch, samples]; export it with dynamic axes`);
    }
  }
  const values = file.inputs.find(({ name }) => name === 'input_values');
  if (values === undefined) throw refuse('has no input input_values');
  const isLast = isLastLayer(layers, undefined);
  const selected = file.outputs.find(({ name }) => name === outputName(layers, undefined) && !isLast);
  const numbers = typeof layers.layers === 'string' ? undefined : new Set(layers.layers).size;
  if (!isLast && (selected === undefined || numbers === undefined)) {
    throw refuse(
      layers.logits
        ? 'was exported without the logits of a CTC head; name the checkpoint itself'
        : 'was exported without the encoder.layers that the recipe asks for',
    );
  }
  if (selected !== undefined) {
    const [given, asked] = [file.metadata.layers, selectionNote(layers)];
    if (given !== asked)
      throw refuse(`gives layers ${given ?? '(not noted)'}, where encoder.layers asks for ${asked}`);
  }
  const held = heldLayers(layers, numbers ?? 1);
  const vocabulary = layers.logits ? Number(file.metadata.vocabulary) : 0;
  const states =
    selected ??
    file.outputs.find(({ name }) => name === LAST_STATES) ??
    file.outputs.find(
      ({ name, shape }) => shape?.length === 3 && name !== SCORES && name !== STATES_AND_LOGITS,
    );
  if (states === undefined) {
    const scores = file.outputs.some(({ name }) => name === SCORES)
      ? ` (${SCORES} are scores of a recogniser, not features: export the encoder alone)`
      : '';
    throw refuse(`gives neither ${LAST_STATES} nor another output of three axes${scores}`);
  }
  if (states.dtype !== 'float32' && states.dtype !== 'float16') {
    throw refuse(`must give ${states.name} as float32 or float16`);
  }
  const given = states.shape?.[2];
  const ofOne = given === undefined || held === 0 ? undefined : (given - vocabulary) / held;
  const description = await describeExport({ ...file, width: ofOne }, nameOrPath);
  const takesMask = file.inputs.some(({ name }) => name === 'attention_mask');
  const takesOne = file.inputs.some(({ shape }) => shape?.[0] === 1);
  return {
    file,
    io: {
      valuesDtype: values.dtype as 'float32' | 'float16',
      takesMask,
      hiddenStates: states.name,
      padding: takesMask && !takesOne && ignoresPadding(file, description) ? 'ignored' : 'felt',
    },
    description,
    width: given ?? (description.hiddenSize && held * description.hiddenSize + vocabulary),
    held,
    vocabulary,
  };
}

/**
 * Whether padding is known not to affect a clip's frames: it does not in the model as published, or not in the encoder of
 * a bundle, which says so.
 */
function ignoresPadding({ metadata }: ModelFile, { framing }: ExportDescription): boolean {
  return framing !== undefined && (framing.ignoresPadding || metadata.padding === 'ignored');
}

/** A clip of 1 s, longer than the receptive field of any encoder. */
const TRIAL_SAMPLES = 16_000;

/**
 * Feature width of an open session, found by running it once.
 * @throws InputError when the output for a clip is not a matrix
 */
export async function trialWidth(
  session: Pick<WorkerSession, 'run'>,
  { valuesDtype, takesMask, hiddenStates }: EncoderIO,
  origin: string,
): Promise<number> {
  const shape = [1, TRIAL_SAMPLES];
  const attention_mask = tensor('int64', shape);
  attention_mask.data.fill(1n);
  const outputs = await session.run({
    input_values: tensor(valuesDtype, shape),
    ...(takesMask && { attention_mask }),
  });
  const { shape: given } = outputs[hiddenStates]!;
  if (given.length === 3 && given[0] === 1) return given[2]!;
  throw new InputError(
    `encoder ${origin} gave ${hiddenStates} [${given.join(', ')}]; features are [batch, frames, width]`,
  );
}

/** Opens an exported encoder in a session worker. @throws InputError with onnxruntime's reason when it cannot run */
export async function openExportedEncoder(
  path: string,
  worker: SessionWorker,
  options: SessionOptions,
): Promise<Pick<WorkerSession, 'run' | 'dispose'>> {
  const failing =
    (what: string) =>
    (error: unknown): never => {
      const [reason] = errorMessage(error).split('\n');
      throw error instanceof InputError ? error : new InputError(`encoder ${path} ${what}: ${reason}`);
    };
  const { model, weightsFolder } = await loadModelFile(path, 'encoder');
  const session = await worker.open(model, { ...options, weightsFolder }).catch(failing('cannot be loaded'));
  return {
    run: (feeds) => session.run(feeds).catch(failing('failed')),
    dispose: () => session.dispose(),
  };
}

/** "input_values float32 [?, ?], ..." */
function described(values: readonly ModelValue[]): string {
  if (values.length === 0) return 'nothing';
  return values
    .map(({ name, dtype, shape }) => {
      const sizes = shape === undefined ? '' : ` [${shape.map((size) => size ?? '?').join(', ')}]`;
      return `${name} ${dtype}${sizes}`;
    })
    .join(', ');
}

export interface ExportDescription {
  /** The config files used; together with the graph they determine the features. */
  readonly files: readonly string[];
  /** Config of a supported family that matches the graph. */
  readonly config: SpeechEncoderConfig | undefined;
  /** The frames that such an encoder gives; undefined without a config. */
  readonly framing: Framing | undefined;
  /** Feature width according to a config. */
  readonly hiddenSize: number | undefined;
  /** Waveforms must be normalised to zero mean and unit variance. */
  readonly normalize: boolean;
  /** A warning for the user about how this was determined. */
  readonly warning: string | undefined;
}

/** The metadata of the graph; `width` is undefined if its output does not fix it. */
type DescribedGraph = Pick<ModelFile, 'path' | 'metadata'> & { readonly width: number | undefined };

/** The configs of a folder. */
interface FoundConfigs extends Pick<ExportDescription, 'files' | 'config' | 'framing' | 'hiddenSize'> {
  /** Waveform normalisation according to preprocessor_config.json. */
  readonly prepared: boolean | undefined;
  /** Possible feature widths: of the hidden states, and after an adapter. */
  readonly widths: readonly number[];
}

/**
 * Describes an exported encoder from config.json and preprocessor_config.json in its folder (or in the parent of a
 * folder `onnx`, as on the Hugging Face hub), from the metadata that `emoq export encoder` writes, or else from the
 * configs of the checkpoint `nameOrPath` if it is available and has the graph's width. If nothing gives the waveform
 * preparation, waveforms are normalised to zero mean and unit variance, the default of transformers.
 * @throws InputError for a broken config, or one next to the graph that belongs to another model
 */
export async function describeExport(
  graph: DescribedGraph,
  nameOrPath: string | null,
): Promise<ExportDescription> {
  const { path, width } = graph;
  const warnings: string[] = [];
  const beside = await configsBeside(path);
  if (beside !== undefined && !isOfWidth(beside, width)) {
    throw new InputError(
      `encoder ${path} gives features of width ${width}, where the config.json beside it has hidden_size ${beside.widths[0]}; put the files of one model into one folder`,
    );
  }
  const noted = notedNormalization(graph);
  let configs = beside;
  if (beside === undefined && nameOrPath !== null) {
    const named = await configsOf(nameOrPath);
    if (named === undefined || isOfWidth(named, width)) configs = named;
    else {
      warnings.push(
        `it gives features of width ${width}, and backbones.encoder (${nameOrPath}) has hidden_size ${named.widths[0]}: another model, whose configs are not used`,
      );
    }
  }
  const known = beside?.prepared ?? noted ?? configs?.prepared ?? configs?.config?.doNormalize;
  if (known === undefined) {
    warnings.push(
      'its waveform preprocessing is not known, so waveforms are normalised to zero mean and unit variance; set that with a preprocessor_config.json beside it, {"do_normalize": true} or false',
    );
  }
  return {
    files: configs?.files ?? [],
    config: configs?.config,
    framing: configs?.framing,
    hiddenSize: configs?.hiddenSize,
    normalize: known ?? true,
    warning: warnings.length === 0 ? undefined : `encoder ${path}: ${warnings.join('; ')}`,
  };
}

function isOfWidth({ widths }: FoundConfigs, width: number | undefined): boolean {
  return width === undefined || widths.length === 0 || widths.includes(width);
}

/** The configs in the graph's folder. */
async function configsBeside(path: string): Promise<FoundConfigs | undefined> {
  const own = dirname(path);
  return (await configsIn(own)) ?? (basename(own) === 'onnx' ? configsIn(dirname(own)) : undefined);
}

/** The configs of a checkpoint, if it is available. */
async function configsOf(nameOrPath: string): Promise<FoundConfigs | undefined> {
  const dir = await findCheckpointFolder(nameOrPath).catch(() => undefined);
  return dir === undefined ? undefined : configsIn(dir);
}

/** undefined if a folder has no model config. @throws InputError for a broken one */
async function configsIn(dir: string): Promise<FoundConfigs | undefined> {
  const raw = await modelConfig(dir);
  const preprocessor = await readPreprocessor(dir);
  if (raw === undefined && preprocessor === undefined) return undefined;
  const family = encoderFamilies.find(({ modelType }) => modelType === raw?.model_type);
  const prepared = preprocessor && (family?.normalizes(preprocessor) ?? normalizesWaveforms(preprocessor));
  const known = raw && framedEncoder(raw, dir, preprocessor);
  const widths = [raw?.hidden_size ?? known?.config.hiddenSize, raw?.output_hidden_size].filter(
    (value) => typeof value === 'number',
  );
  return {
    files: [
      ...(raw === undefined ? [] : [join(dir, 'config.json')]),
      ...(prepared === undefined ? [] : [join(dir, 'preprocessor_config.json')]),
    ],
    config: known?.config,
    framing: known?.framing,
    hiddenSize: widths[0],
    prepared,
    widths,
  };
}

/** config.json if it is a model's: other tools use the same file name. */
async function modelConfig(dir: string): Promise<Record<string, unknown> | undefined> {
  if (!(await pathExists(join(dir, 'config.json')))) return undefined;
  const raw = await readConfig(dir);
  return typeof raw.model_type === 'string' ? raw : undefined;
}

/** undefined for a model type that is not supported, or that emoq has no graph for; an exported one still runs. */
function framedEncoder(
  raw: Readonly<Record<string, unknown>>,
  dir: string,
  preprocessor: Preprocessor | undefined,
): ReturnType<typeof parseFramedEncoder> | undefined {
  try {
    return parseFramedEncoder(raw, join(dir, 'config.json'), preprocessor);
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

/** The metadata that `emoq export encoder` writes. @throws InputError for audio at another sample rate */
function notedNormalization({ path, metadata }: DescribedGraph): boolean | undefined {
  const { sampling_rate_hz: rate = '16000', do_normalize: normalized = '' } = metadata;
  if (rate !== '16000') {
    throw new InputError(`encoder ${path} is for audio at ${rate} Hz; emoq gives it 16,000 Hz`);
  }
  return normalized === '' ? undefined : normalized === 'true';
}

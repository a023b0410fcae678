/**
 * @file Models that can be exported: a speech encoder as in transformers, the EmoQ-Former, and the language model with
 * merged LoRA.
 */

import { join } from 'node:path';
import {
  asTextEncoder,
  chooseHead,
  ctcVocabularySize,
  type DecoderConfig,
  decoderFamilyOf,
  encoderDescription,
  encoderFamilyOf,
  encoderGraph,
  encoderKeys,
  encoderTitles,
  type LanguageModelInputs,
  type LayerSelection,
  languageModelGraph,
  type MergedDtype,
  parseDecoderConfig,
  parseRobertaConfig,
  readEncoderConfig,
  readTextEncoderConfig,
  recordedConfig,
  selectionNote,
} from '../../backbones/index.js';
import { errorMessage, InputError } from '../../base/index.js';
import {
  type Checkpoint,
  checkpointIdentity,
  configIdentity,
  findCheckpointFolder,
  requireWeight,
  storedTensor,
  trainedTensor,
  unreadWeights,
  weightFiles,
} from '../../checkpoints/index.js';
import type { StreamedTensor } from '../../engine/tensor/index.js';
import {
  declaredWeights,
  FORMER_PREFIX,
  formerGraph,
  formerInputs,
  initialFormer,
  type Precision,
  robertaKey,
  WORD_EMBEDDINGS_KEY,
} from '../../nn/index.js';
import { loadRecipe } from '../../recipe/index.js';
import {
  defaultFormerSettings,
  describeEncoder,
  type EmoqRecipe,
  type FormerSettings,
  formerConfig,
  LAYER_MIX_KEY,
  loraKeys,
  mergedWeights,
  requireEmoq,
  stageNeeds,
  titleOf,
} from '../../systems/index.js';
import { requireSameBackbones } from '../../training/index.js';
import { findRun, openTrainedRun, type RunOpening, type TrainedRun } from '../trained-run.js';

import {
  checkpointName,
  type ExportableModel,
  exportable,
  openModelFolder,
  runMetadata,
} from './onnx-files.js';

/** The group norm of transformers, which includes the padding of a batch. */
const AS_PUBLISHED = { groupNormSteps: 'padded' } as const;

export interface EncoderExport {
  /** Of its linear layers. Default float32. */
  readonly precision?: Precision | undefined;
  /**
   * Whether the group norm of base models includes the padding of a batch, as in transformers. Default `as published`.
   */
  readonly norm?: 'as published' | 'without padding';
  /** Which hidden states it gives; default the last layer's. */
  readonly selection?: LayerSelection;
  readonly onWarning?: ((text: string) => void) | undefined;
}

/**
 * Opens an encoder for export. The metadata records the expected waveforms: the sampling rate, and whether they are
 * normalised to zero mean and unit variance.
 * @throws InputError when no checkpoint is given, or it is missing, broken or of an unknown family
 */
export async function exportableEncoder(
  nameOrPath: string | undefined,
  { precision = 'float32', norm = 'as published', selection, onWarning }: EncoderExport = {},
): Promise<ExportableModel> {
  if (nameOrPath === undefined)
    throw new InputError(`say what to export: --checkpoint FOLDER of a ${encoderTitles}`);
  const checkpoint = await openModelFolder(nameOrPath, 'name the speech encoder in its recipe.yaml');
  const config = await readEncoderConfig(nameOrPath);
  const { doNormalize } = config;
  const options = { ...(norm === 'as published' && AS_PUBLISHED), selection };
  const inPlace = encoderGraph(checkpoint, options);
  const unread = unreadWeights(checkpoint, encoderFamilyOf(checkpoint), encoderKeys(checkpoint));
  if (unread !== undefined) onWarning?.(unread);
  return {
    tensors: inPlace.initializers.flatMap(({ name: key, dtype, shape, content }) =>
      content?.kind === 'external'
        ? [storedTensor({ key, dtype, shape: shape as readonly number[], ...content })]
        : [],
    ),
    graph: (weights) => encoderGraph({ ...checkpoint, weights }, { ...options, precision }),
    description: encoderDescription(checkpoint),
    metadata: {
      part: 'encoder',
      checkpoint: checkpointName(checkpoint),
      sampling_rate_hz: '16000',
      do_normalize: String(doNormalize),
      precision,
      ...(selection && { layers: selectionNote(selection, config) }),
      ...(selection?.logits && {
        vocabulary: String(ctcVocabularySize(checkpoint.config, join(checkpoint.dir, 'config.json'))),
      }),
      ...(norm === 'without padding' && { padding: 'ignored' }),
    },
    sources: weightFiles(checkpoint),
  };
}

export interface FormerExport {
  /** RoBERTa's Hugging Face folder or model id; absent: the run's own. */
  readonly checkpoint?: string | undefined;
  /** A run of either stage, or its experiment (then stage 2 if there is one). */
  readonly run?: string | undefined;
  /** Without a run: the recipe that sets its sizes and seed; absent: the defaults. */
  readonly recipe?: string | undefined;
  readonly overrides?: readonly string[] | undefined;
  readonly onWarning?: ((text: string) => void) | undefined;
}

/** A Former for export, and its origin: trained by a run, or initialised from a seed. */
export type ExportableFormer = ExportableModel &
  ({ readonly run: TrainedRun } | { readonly run?: undefined; readonly seed: number });

/**
 * Opens a Former for export.
 * @throws InputError when neither checkpoint nor run is given, or one of them is broken
 */
export async function exportableFormer(options: FormerExport): Promise<ExportableFormer> {
  if (options.run !== undefined) return trainedFormer(options.run, options);
  if (options.checkpoint !== undefined) return startingFormer(options.checkpoint, options.recipe);
  throw new InputError('say what to export: --run FOLDER, or --checkpoint FOLDER of a RoBERTa to start from');
}

async function openRoberta(nameOrPath: string): Promise<Checkpoint> {
  const checkpoint = await openModelFolder(nameOrPath, `give it with --run ${nameOrPath}`);
  return asTextEncoder(checkpoint).checkpoint;
}

/** The Former of a run, with RoBERTa's word embeddings if it reads text and the run did not train them. */
async function trainedFormer(
  dir: string,
  { checkpoint, onWarning, overrides }: FormerExport,
): Promise<ExportableFormer> {
  const run = await openTrainedRun(await findRun(dir), { onWarning, overrides });
  const { metadata, folder, trained } = run;
  const recipe = emoqRecipe(run);
  if (recipe.fusion === 'none') {
    throw new InputError(`the run in ${folder.dir} has no Former: its recipe says fusion: none`);
  }
  const { former, formerWeights } = stageNeeds(recipe, metadata.phase, 'checkpoint');
  if (!former) {
    throw new InputError(
      `the run in ${folder.dir} uses text only, and its stage 2 has no Former; name its stage-1 run`,
    );
  }
  const before = trained.weights.has(LAYER_MIX_KEY)
    ? 'a sum of several encoder layers'
    : recipe.encoder.train !== 'frozen'
      ? 'encoder layers that were trained with it'
      : undefined;
  if (before !== undefined) {
    throw new InputError(
      `the Former of the run in ${folder.dir} reads ${before}; emoq export bundle has it with what comes before it`,
    );
  }
  const nameOrPath = checkpoint ?? recipe.backbones.former;
  const roberta = formerWeights ? await openRoberta(nameOrPath) : undefined;
  const robertaDir = roberta?.dir ?? (await findCheckpointFolder(nameOrPath));
  const robertaConfig = await readTextEncoderConfig(robertaDir);
  const identity = roberta ? await checkpointIdentity(roberta, robertaConfig) : configIdentity(robertaConfig);
  requireSameBackbones(run.folder, metadata, { former: identity });
  // The audio width is taken from the trained weights, so the encoder may be missing.
  const projection = trained.weights.get(`${FORMER_PREFIX}audio_projection.weight`);
  const config = formerConfig(recipe, { hiddenSize: projection?.shape[1] ?? 0 }, robertaConfig);
  const frozen = FORMER_PREFIX + WORD_EMBEDDINGS_KEY;
  const fromRoberta = (key: string): boolean => key === frozen && !config.trainWordEmbeddings;
  return {
    run,
    ...exportable(formerGraph(config, recipe.inputs), (key, shape) =>
      fromRoberta(key)
        ? storedTensor(requireWeight(roberta!, WORD_EMBEDDINGS_KEY, shape), key)
        : trainedTensor(requireWeight(trained, key, shape)),
    ),
    metadata: { part: 'former', checkpoint: checkpointName({ dir: robertaDir }), ...runMetadata(run) },
    sources: [...(roberta === undefined ? [] : weightFiles(roberta)), folder.checkpoint],
  };
}

/**
 * The Former as initialised for training, except for the audio projection, which training initialises from its
 * features.
 */
async function startingFormer(checkpoint: string, recipe: string | undefined): Promise<ExportableFormer> {
  const roberta = await openRoberta(checkpoint);
  const given: FormerSettings =
    recipe === undefined
      ? defaultFormerSettings()
      : requireEmoq(await loadRecipe({ path: recipe }), `recipe ${recipe}`);
  if (given.fusion === 'none') throw new InputError(`recipe ${recipe} has no Former: it says fusion: none`);
  const settings = { ...given, backbones: { ...given.backbones, former: checkpoint } };
  const { seed, inputs } = settings;
  const read = new Set(formerInputs(0, inputs).map(({ name }) => name));
  const hiddenSize = read.has('audio_features')
    ? (await describeEncoder(settings, { mayBeAbsent: true })).width
    : 0;
  const robertaConfig = parseRobertaConfig(roberta.config, join(roberta.dir, 'config.json'));
  const config = formerConfig(settings, { hiddenSize }, robertaConfig);
  return {
    seed,
    ...exportable(formerGraph(config, inputs), (key, shape) => startingWeight(roberta, key, shape, seed)),
    metadata: { part: 'former', checkpoint: checkpointName(roberta), trained: 'no', seed: String(seed) },
    sources: weightFiles(roberta),
  };
}

function startingWeight(
  roberta: Checkpoint,
  key: string,
  shape: readonly number[],
  seed: number,
): StreamedTensor {
  const own = key.slice(FORMER_PREFIX.length);
  const source = robertaKey(own);
  const stored = source === undefined ? undefined : requireWeight(roberta, source, shape);
  if (stored !== undefined && own === WORD_EMBEDDINGS_KEY) return storedTensor(stored, key);
  return {
    key,
    dtype: 'float32',
    shape,
    async *read() {
      const values = await initialFormer([{ key: own, shape }], roberta, seed);
      const { data } = values.get(own)!;
      yield new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    },
  };
}

export interface LanguageModelExport {
  /** Hugging Face folder or model id; absent: the run's own. */
  readonly checkpoint?: string | undefined;
  /** A stage-2 run, or its experiment; its LoRA is merged. */
  readonly run?: string | undefined;
  /** Default `input_ids`. */
  readonly inputs?: LanguageModelInputs | undefined;
  /** Dtype of weights with merged LoRA; default `float32`, which loses no precision. */
  readonly mergedDtype?: MergedDtype | undefined;
  /** Of the products; default `float32`, which every runtime has. */
  readonly precision?: Precision | undefined;
  readonly overrides?: readonly string[] | undefined;
  readonly onNote?: ((text: string) => void) | undefined;
  readonly onWarning?: ((text: string) => void) | undefined;
}

/**
 * Opens a language model for export.
 * @throws InputError when neither checkpoint nor run is given, one of them is broken, or they do not match
 */
export async function exportableLanguageModel(
  options: LanguageModelExport,
): Promise<ExportableModel & { readonly run?: TrainedRun }> {
  const { checkpoint: named, inputs = 'input_ids', mergedDtype = 'float32', onWarning } = options;
  const { precision = 'float32' } = options;
  const run = options.run === undefined ? undefined : await openAdaptedRun(options.run, options);
  const nameOrPath = named ?? (run && emoqRecipe(run).backbones.llm);
  if (nameOrPath === undefined) {
    throw new InputError('say what to export: --checkpoint FOLDER, or --run FOLDER to merge its LoRA');
  }
  const checkpoint = await openModelFolder(nameOrPath, `give it with --run ${nameOrPath}`);
  const configured = parseDecoderConfig(checkpoint.config, join(checkpoint.dir, 'config.json'));
  const { config, note } = await chooseHead(checkpoint, configured);
  if (run !== undefined) {
    requireSameBackbones(run.folder, run.metadata, {
      llm: await checkpointIdentity(checkpoint, recordedConfig(config)),
    });
  }
  if (note !== undefined) options.onNote?.(note);
  const metadata = { part: 'llm', checkpoint: checkpointName(checkpoint), precision };
  const graph = languageModelGraph(config, inputs);
  const read = new Set(declaredWeights(languageModelGraph(config, 'input_ids').define).map(({ key }) => key));
  const unread = unreadWeights(checkpoint, decoderFamilyOf(config), read);
  if (unread !== undefined) onWarning?.(unread);
  const sources = weightFiles(checkpoint);
  const stored = (key: string, shape: readonly number[]): StreamedTensor =>
    storedTensor(requireWeight(checkpoint, key, shape));
  if (run === undefined) return { ...exportable(graph, stored, precision), metadata, sources };

  const merged = await mergedRun(run, checkpoint, config, mergedDtype);
  return {
    run,
    ...exportable(graph, (key, shape) => merged.get(requireWeight(checkpoint, key, shape).key)!, precision),
    metadata: { ...metadata, ...runMetadata(run), merged_dtype: mergedDtype },
    sources: [...sources, run.folder.checkpoint],
  };
}

/** The recipe of a run of EmoQ. @throws InputError if it belongs to another system */
function emoqRecipe({ folder, recipe }: TrainedRun): EmoqRecipe {
  return requireEmoq(recipe, `the run in ${folder.dir}`);
}

async function openAdaptedRun(dir: string, opening: RunOpening): Promise<TrainedRun> {
  const folder = await findRun(dir);
  const run = await openTrainedRun(folder, opening);
  if (loraKeys(run.trained).length === 0) {
    throw new InputError(
      `the run in ${folder.dir} is of ${titleOf(run.metadata.phase)}, which trains no LoRA; name a run of stage 2, or leave --run out`,
    );
  }
  return run;
}

/** All weights of the checkpoint by key, with the run's LoRA merged. @throws InputError when it does not fit */
async function mergedRun(
  run: TrainedRun,
  checkpoint: Checkpoint,
  config: DecoderConfig,
  mergedDtype: MergedDtype,
): Promise<Map<string, StreamedTensor>> {
  const { folder, trained } = run;
  const { lora, backbones } = emoqRecipe(run);
  try {
    return await mergedWeights(trained, checkpoint, config, lora, mergedDtype);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new InputError(
      `the run in ${folder.dir} does not fit ${checkpoint.dir} (${errorMessage(error)}); name the checkpoint it was trained on, ${backbones.llm}`,
    );
  }
}

/** @file The EmoQ-Former for export: as a run trained it, or as training would start it from a RoBERTa. */

import { InputError } from '../../base/index.js';
import type { StreamedTensor } from '../../engine/tensor/index.js';
import {
  type Checkpoint,
  checkpointIdentity,
  configIdentity,
  FORMER_PREFIX,
  findCheckpointFolder,
  formerGraph,
  formerInputs,
  initialFormer,
  readRobertaConfig,
  requireWeight,
  robertaKey,
  storedTensor,
  trainedTensor,
  WORD_EMBEDDINGS_KEY,
  weightFiles,
  weightsUnder,
} from '../../models/index.js';
import { defaultModelSettings, loadRecipe, type ModelSettings } from '../../recipe/index.js';
import { backboneConfigs, formerConfig, requireSameBackbones, stageNeeds } from '../../train/index.js';
import { findRun } from '../trained-model.js';
import { openTrainedRun, type TrainedRun } from '../trained-run.js';
import { type ExportableModel, exportable } from './model-files.js';
import { checkpointName, openModelFolder, runMetadata } from './origin.js';

export interface FormerExport {
  /** RoBERTa's Hugging Face folder or model id; absent: the run's own. */
  readonly checkpoint?: string | undefined;
  /** A run of either stage, or its experiment (then stage 2 where there is one). */
  readonly run?: string | undefined;
  /** Without a run: the recipe that decides its sizes and seed; absent: the defaults. */
  readonly recipe?: string | undefined;
  readonly onWarning?: ((text: string) => void) | undefined;
}

/** A Former for export, and what it is: trained by a run, or started from a seed. */
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
  return weightsUnder(checkpoint, ['roberta.', '']);
}

/** The Former of a run, with RoBERTa's word embeddings where it reads text and the run did not train them. */
async function trainedFormer(
  dir: string,
  { checkpoint, onWarning }: FormerExport,
): Promise<ExportableFormer> {
  const run = await openTrainedRun(await findRun(dir), onWarning);
  const { facts, folder, recipe, trained } = run;
  if (recipe.fusion === 'none') {
    throw new InputError(`the run in ${folder.dir} has no Former: its recipe says fusion: none`);
  }
  const { former, formerWeights } = stageNeeds(recipe, facts.stage, 'checkpoint');
  if (!former) {
    throw new InputError(
      `the run in ${folder.dir} is of text alone, and its stage 2 has no Former; name its stage-1 run`,
    );
  }
  const nameOrPath = checkpoint ?? recipe.backbones.former;
  const roberta = formerWeights ? await openRoberta(nameOrPath) : undefined;
  const robertaDir = roberta?.dir ?? (await findCheckpointFolder(nameOrPath));
  const robertaConfig = await readRobertaConfig(robertaDir);
  const identity = roberta ? await checkpointIdentity(roberta, robertaConfig) : configIdentity(robertaConfig);
  requireSameBackbones(run.folder, facts, { former: identity });
  // The width of the audio is a fact of what was trained: the encoder need not be there any more.
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

/** The Former as training starts it, but for the audio projection, which training fits to its features. */
async function startingFormer(checkpoint: string, recipe: string | undefined): Promise<ExportableFormer> {
  const roberta = await openRoberta(checkpoint);
  const given: ModelSettings =
    recipe === undefined ? defaultModelSettings() : await loadRecipe({ path: recipe });
  if (given.fusion === 'none') throw new InputError(`recipe ${recipe} has no Former: it says fusion: none`);
  const settings = { ...given, backbones: { ...given.backbones, former: checkpoint } };
  const { seed, inputs } = settings;
  const read = new Set(formerInputs(0, inputs).map(({ name }) => name));
  const needs = {
    audio: read.has('audio_features'),
    text: read.has('input_ids'),
    ...{ former: true, formerWeights: true, llm: false },
  };
  const { configs } = await backboneConfigs(settings, needs);
  const config = formerConfig(settings, { hiddenSize: configs.audioWidth }, configs.former!);
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

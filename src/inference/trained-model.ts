/** @file A trained run, opened for inference: its own recipe and checkpoint in one graph of constants. */

import { readdir } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { InputError, pathExists } from '../base/index.js';
import { requireWeight } from '../checkpoints/index.js';
import { type Graph, serializeInPlace } from '../engine/onnx/index.js';
import { type SessionHost, startSessionHost } from '../engine/runtime/index.js';
import { dtypeInfo, elementCount } from '../engine/tensor/index.js';
import { checkpointWeights, type Weights } from '../nn/index.js';
import { type Recipe, shippedRecipeNames } from '../recipe/index.js';
import {
  type ComputeOptions,
  countFolds,
  type Example,
  type FailedInference,
  type FeatureSource,
  type Inference,
  type InferenceOptions,
  inferAll,
  inspectBackbones,
  openStageModel,
  recordedPrompt,
  requireSameBackbones,
  type StageModel,
  stageEvaluationGraph,
} from '../train/index.js';
import { type RunFacts, type RunFolder, runFolder, runRecipe, stageFolder } from '../train/run/index.js';
import { openTrainedRun } from './trained-run.js';

/** A model that is ready to name emotions. */
export interface TrainedModel {
  readonly folder: RunFolder;
  readonly facts: RunFacts;
  readonly recipe: Recipe;
  readonly model: StageModel;
  infer(
    examples: readonly Example[],
    features: FeatureSource,
    control?: Pick<InferenceOptions, 'onProgress' | 'stop'>,
  ): Promise<(Inference | FailedInference)[]>;
  close(): Promise<void>;
}

/** Folder of one seed's runs, below the experiment's. */
export function seedFolder(root: string, seed: number): string {
  return join(root, `seed-${seed}`);
}

/** The folders that hold the runs of single seeds, in the order of the seeds. */
export async function seedFolders(dir: string): Promise<{ seed: number; dir: string }[]> {
  const found = await numberedFolders(dir, 'seed');
  return found.map(({ number, dir: own }) => ({ seed: number, dir: own }));
}

/** The runs of single folds of a stage that have begun, in the order of the folds. */
export async function foldRuns(root: string, stage: 1 | 2): Promise<{ fold: number; folder: RunFolder }[]> {
  const found = await numberedFolders(stageFolder(root, stage, undefined).dir, 'fold');
  const runs = found.map(({ number, dir }) => ({ fold: number, folder: runFolder(dir) }));
  const begun = await Promise.all(runs.map(({ folder }) => pathExists(folder.facts)));
  return runs.filter((_, index) => begun[index]);
}

/** Folders such as seed-3, by their numbers. */
async function numberedFolders(dir: string, what: string): Promise<{ number: number; dir: string }[]> {
  const names = await readdir(dir).catch((): string[] => []);
  return names
    .flatMap((name) => {
      const number = name.startsWith(`${what}-`) ? name.slice(what.length + 1) : '';
      return /^\d+$/.test(number) ? [{ number: Number(number), dir: join(dir, name) }] : [];
    })
    .sort((a, b) => a.number - b.number);
}

/**
 * Finds the run that a user means by a folder: the run itself, or an experiment's folder with `stage2` or `stage1` in it.
 * @throws InputError when there is no run, or none of the wanted stage and fold
 */
export async function findRun(dir: string, stage?: 1 | 2, fold?: number): Promise<RunFolder> {
  const own = runFolder(dir);
  if (await pathExists(own.facts)) {
    if (fold === undefined) return own;
    throw new InputError(
      `${dir} is a single run; for its folds name the folder around stage1 and stage2 with --run`,
    );
  }
  const wanted = stage === undefined ? ([2, 1] as const) : ([stage] as const);
  for (const number of wanted) {
    const candidate = stageFolder(dir, number, fold);
    if (await pathExists(candidate.facts)) return candidate;
    if (fold === undefined) {
      const [first] = await foldRuns(dir, number);
      if (first === undefined) continue;
      throw new InputError(
        `${candidate.dir} holds the folds of a cross-validation; score all of them with eval --folds ${await foldsOf(first.folder)}, or name one with --run, such as ${first.folder.dir}`,
      );
    }
    if (await pathExists(stageFolder(dir, number, undefined).facts)) {
      throw new InputError(`the run in ${dirname(candidate.dir)} has no folds; leave the fold out`);
    }
  }
  const [seed] = await seedFolders(dir);
  if (seed !== undefined) {
    const withFolds = fold === undefined && (await foldRuns(seed.dir, wanted[0])).length > 0;
    throw new InputError(
      `${dir} holds the runs of several seeds; score them with eval --seeds all${withFolds ? ' and --folds' : ''}, or name one with --run, such as ${seed.dir}`,
    );
  }
  const looked = wanted.map((number) => stageFolder(dir, number, fold).dir).join(' or ');
  const training = `emoq stage${wanted[0]} ${await recipeOption(dir)}${fold === undefined ? '' : ` --fold ${fold}`}`;
  throw new InputError(
    `no run in ${looked}; train first with "${training}", or name another folder with --run`,
  );
}

/** How many folds the cross-validation of a run has, where its corpus can still tell. */
async function foldsOf(folder: RunFolder): Promise<string> {
  try {
    return String(await countFolds(await runRecipe(folder)));
  } catch (error) {
    if (error instanceof InputError) return 'K';
    throw error;
  }
}

/** The option that names the recipe of an experiment's folder, `runs/<name>` unless `--run` says otherwise. */
async function recipeOption(dir: string): Promise<string> {
  const name = basename(dir);
  const run = dir === join('runs', name) ? '' : ` --run ${dir}`;
  return `${(await shippedRecipeNames()).includes(name) ? `--dataset ${name}` : '--recipe FILE'}${run}`;
}

/** Opens a run. @throws InputError when it has no checkpoint yet, or its backbones are gone or others */
export async function openTrainedModel(folder: RunFolder, compute: ComputeOptions): Promise<TrainedModel> {
  const { facts, recipe, trained } = await openTrainedRun(folder, compute.onWarning);
  const model = await openStageModel(recipe, facts.stage, undefined, recordedPrompt(folder, facts));
  const { identities, warnings } = await inspectBackbones(model);
  requireSameBackbones(folder, facts, identities);
  for (const text of model.backbones.notes) compute.onNote?.(text);
  for (const text of warnings) compute.onWarning?.(text);
  const weights = (graph: Graph): Weights =>
    checkpointWeights(graph, (key, shape) => requireWeight(trained, key, shape));
  const graph = stageEvaluationGraph(model.stage, model.parameters, weights);
  const { model: bytes, weightsFolder } = serializeInPlace(graph);
  const host: SessionHost = startSessionHost();
  try {
    const { device, threads } = compute;
    compute.onBegin?.();
    const session = await host.open(bytes, {
      device,
      threads,
      weightsFolder,
      keepConstantExpressions: device.kind === 'cpu' && isTooLargeInFloat32(model),
    });
    return {
      folder,
      facts,
      recipe,
      model,
      infer: (examples, features, control) =>
        inferAll(examples, {
          session,
          collation: model.collation(features, false),
          batchSize: INFERENCE_BATCH,
          ...control,
        }),
      close: () => host.close(),
    };
  } catch (error) {
    await host.close();
    throw error;
  }
}

/** Weights that would take more than this share of the machine's memory in float32 stay in 16 bits. */
const FLOAT32_SHARE = 0.5;

/**
 * Whether the language model's 16-bit weights are better cast layer by layer in each run than once for all. By the
 * machine's memory and not by what is free of it just now: the two differ in the last bit.
 */
function isTooLargeInFloat32({ backbones: { llm } }: StageModel): boolean {
  const stored = [...(llm?.checkpoint.weights.values() ?? [])].filter(
    ({ dtype }) => dtypeInfo[dtype].bytes === 2,
  );
  const float32Bytes = stored.reduce((sum, { shape }) => sum + 4 * elementCount(shape), 0);
  const constrained = process.constrainedMemory();
  const memoryBytes = constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
  return float32Bytes > FLOAT32_SHARE * memoryBytes;
}

/** Utterances in one run of the graph: enough to fill the products, little enough to stay in cache. */
const INFERENCE_BATCH = 16;

/** @file A trained run, opened for inference: its own recipe and checkpoint in one graph of constants. */

import { readdir } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { InputError, pathExists } from '../base/index.js';
import { type Graph, serializeInPlace } from '../engine/onnx/index.js';
import { type SessionHost, startSessionHost } from '../engine/runtime/index.js';
import { dtypeInfo, elementCount } from '../engine/tensor/index.js';
import { checkpointWeights, requireWeight, type Weights } from '../models/index.js';
import type { Recipe } from '../recipe/index.js';
import {
  type ComputeOptions,
  type Example,
  type FeatureSource,
  type Inference,
  type InferenceOptions,
  inferAll,
  openStageModel,
  type RunFacts,
  type RunFolder,
  recordedPrompt,
  runFolder,
  type StageModel,
  stageEvaluationGraph,
  stageFolder,
} from '../train/index.js';
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
  ): Promise<Inference[]>;
  close(): Promise<void>;
}

/** Names of the folders that hold the runs of single seeds, in the order of the seeds. */
export async function seedFolders(dir: string): Promise<{ seed: number; dir: string }[]> {
  const names = await readdir(dir).catch((): string[] => []);
  return names
    .flatMap((name) => {
      const seed = /^seed-(\d+)$/.exec(name)?.[1];
      return seed === undefined ? [] : [{ seed: Number(seed), dir: join(dir, name) }];
    })
    .sort((a, b) => a.seed - b.seed);
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
    const first = stageFolder(dir, number, 1);
    if (fold === undefined && (await pathExists(first.facts))) {
      throw new InputError(
        `${candidate.dir} holds the folds of a cross-validation; score all of them with eval --folds, or name one with --run, such as ${first.dir}`,
      );
    }
  }
  const [seed] = await seedFolders(dir);
  if (seed !== undefined) {
    throw new InputError(
      `${dir} holds the runs of several seeds; score them with eval --seeds all, or name one with --run, such as ${seed.dir}`,
    );
  }
  const looked = wanted.map((number) => stageFolder(dir, number, fold).dir).join(' or ');
  const training = `emoq stage${wanted[0]}${fold === undefined ? '' : ` --fold ${fold}`}`;
  throw new InputError(
    `no run in ${looked}; train first with "${training}", or name another folder with --run`,
  );
}

/** Opens a run. @throws InputError when it has no checkpoint yet, or its backbones are gone */
export async function openTrainedModel(folder: RunFolder, compute: ComputeOptions): Promise<TrainedModel> {
  const { facts, recipe, trained } = await openTrainedRun(folder);
  const model = await openStageModel(recipe, facts.stage, undefined, recordedPrompt(folder, facts));
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

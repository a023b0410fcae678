/** @file A trained run, opened for inference: its own recipe and checkpoint in one graph of constants. */

import { InputError, pathExists } from '../base/index.js';
import { type Graph, serializeInPlace } from '../engine/onnx/index.js';
import { type SessionHost, startSessionHost } from '../engine/runtime/index.js';
import { checkpointWeights, openWeightsFile, requireWeight, type Weights } from '../models/index.js';
import { loadRecipe, type Recipe } from '../recipe/index.js';
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
  readFacts,
  runFolder,
  type StageModel,
  stageEvaluationGraph,
  stageFolder,
} from '../train/index.js';

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
  const looked = wanted.map((number) => stageFolder(dir, number, fold).dir).join(' or ');
  const training = `emoq stage${wanted[0]}${fold === undefined ? '' : ` --fold ${fold}`}`;
  throw new InputError(
    `no run in ${looked}; train first with "${training}", or name another folder with --run`,
  );
}

/** Opens a run. @throws InputError when it has no checkpoint yet, or its backbones are gone */
export async function openTrainedModel(folder: RunFolder, compute: ComputeOptions): Promise<TrainedModel> {
  const facts = await readFacts(folder);
  if (facts === undefined) throw new InputError(`${folder.dir} holds no run (no run.json)`);
  if (!(await pathExists(folder.checkpoint))) {
    throw new InputError(
      `the run in ${folder.dir} has no checkpoint yet; run stage${facts.stage} to its end`,
    );
  }
  const recipe = await loadRecipe({ path: folder.recipe });
  const model = await openStageModel(recipe, facts.stage);
  const trained = await openWeightsFile(folder.checkpoint);
  const weights = (graph: Graph): Weights =>
    checkpointWeights(graph, (key, shape) => requireWeight(trained, key, shape));
  const graph = stageEvaluationGraph(model.stage, model.parameters, weights);
  const { model: bytes, weightsFolder } = serializeInPlace(graph);
  const host: SessionHost = startSessionHost();
  try {
    const { device, threads } = compute;
    compute.onBegin?.();
    const session = await host.open(bytes, { device, threads, weightsFolder });
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

/** Utterances in one run of the graph: enough to fill the products, little enough to stay in cache. */
const INFERENCE_BATCH = 16;

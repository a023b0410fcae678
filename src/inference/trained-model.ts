/** @file A trained run, opened for inference: its own recipe and checkpoint in one graph of constants. */

import { totalmem } from 'node:os';
import { requireWeight } from '../checkpoints/index.js';
import { type Graph, serializeInPlace } from '../engine/onnx/index.js';
import { type SessionHost, startSessionHost } from '../engine/runtime/index.js';
import { dtypeInfo, elementCount } from '../engine/tensor/index.js';
import { checkpointWeights, type Weights } from '../nn/index.js';
import type { Recipe } from '../recipe/index.js';
import {
  type ComputeOptions,
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
import type { RunFacts, RunFolder } from '../train/run/index.js';
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

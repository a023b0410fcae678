/** @file A trained run, opened for inference: its own recipe and checkpoint in one graph of constants. */

import { totalmem } from 'node:os';
import { requireWeight } from '../checkpoints/index.js';
import { type Graph, serializeInPlace } from '../engine/onnx/index.js';
import { type SessionHost, startSessionHost } from '../engine/runtime/index.js';
import { dtypeInfo, elementCount } from '../engine/tensor/index.js';
import { checkpointWeights, type Weights } from '../nn/index.js';
import {
  type Example,
  type FeatureSource,
  type Phase,
  phaseEvaluationGraph,
  type Recipe,
  systemOf,
} from '../systems/index.js';
import {
  type ComputeOptions,
  type FailedInference,
  type Inference,
  type InferenceOptions,
  inferAll,
  recordedPrompt,
  requireSameBackbones,
} from '../training/index.js';
import type { RunFolder, RunMetadata } from '../training/runs/index.js';
import { openTrainedRun } from './trained-run.js';

/** A model that is ready to name emotions. */
export interface TrainedModel {
  readonly folder: RunFolder;
  readonly metadata: RunMetadata;
  readonly recipe: Recipe;
  readonly phase: Phase;
  infer(
    examples: readonly Example[],
    features: FeatureSource,
    control?: Pick<InferenceOptions, 'onProgress' | 'stop'>,
  ): Promise<(Inference | FailedInference)[]>;
  close(): Promise<void>;
}

/** Opens a run. @throws InputError when it has no checkpoint yet, or its backbones are gone or others */
export async function openTrainedModel(folder: RunFolder, compute: ComputeOptions): Promise<TrainedModel> {
  const { metadata, recipe, trained } = await openTrainedRun(folder, compute.onWarning);
  const phase = await systemOf(recipe).open(recipe, metadata.phase, {
    weights: 'present',
    start: 'checkpoint',
    prompt: recordedPrompt(folder, metadata),
  });
  const { identities, warnings } = await phase.inspectBackbones();
  requireSameBackbones(folder, metadata, identities);
  for (const text of phase.notes) compute.onNote?.(text);
  for (const text of warnings) compute.onWarning?.(text);
  const weights = (graph: Graph): Weights =>
    checkpointWeights(graph, (key, shape) => requireWeight(trained, key, shape));
  const graph = phaseEvaluationGraph(phase, phase.parameters, weights);
  const { model: bytes, weightsFolder } = serializeInPlace(graph);
  const host: SessionHost = startSessionHost();
  try {
    const { device, threads } = compute;
    compute.onBegin?.();
    const session = await host.open(bytes, {
      device,
      threads,
      weightsFolder,
      keepConstantExpressions: device.kind === 'cpu' && isTooLargeInFloat32(phase),
    });
    return {
      folder,
      metadata,
      recipe,
      phase,
      infer: (examples, features, control) =>
        inferAll(examples, {
          session,
          phase,
          features: phase.features(features),
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
 * Whether the backbones' 16-bit weights are better cast layer by layer in each run than once for all. By the
 * machine's memory and not by what is free of it just now: the two differ in the last bit.
 */
function isTooLargeInFloat32({ checkpoints }: Phase): boolean {
  const stored = checkpoints
    .flatMap(({ weights }) => [...weights.values()])
    .filter(({ dtype }) => dtypeInfo[dtype].bytes === 2);
  const float32Bytes = stored.reduce((sum, { shape }) => sum + 4 * elementCount(shape), 0);
  const constrained = process.constrainedMemory();
  const memoryBytes = constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
  return float32Bytes > FLOAT32_SHARE * memoryBytes;
}

/** Utterances in one run of the graph: enough to fill the products, little enough to stay in cache. */
const INFERENCE_BATCH = 16;

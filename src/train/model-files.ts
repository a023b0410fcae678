/** @file Graphs as artifacts of a run, and sessions over them. */

import { writeFileAtomic } from '../base/index.js';
import { externalDataFolder, type Graph, serializeModel } from '../engine/onnx/index.js';
import type { HostedSession, SessionHost } from '../engine/runtime/index.js';
import type { TrainingGraph } from '../engine/training/index.js';
import type { ComputeOptions } from './features.js';

export interface SavedModel {
  readonly model: Uint8Array;
  readonly weightsFolder: string | undefined;
}

/** Writes a graph as an artifact. Weights stay where they are; the model says relative to which folder. */
export async function writeModel(path: string, graph: Graph): Promise<SavedModel> {
  const weightsFolder = externalDataFolder(graph);
  const options =
    weightsFolder === undefined ? {} : { weightsFolder, metadata: { weights_folder: weightsFolder } };
  const model = serializeModel(graph, options);
  await writeFileAtomic(path, model);
  return { model, weightsFolder };
}

/** Opens a session over a saved model; with `training`, its parameters and moments stay in the worker. */
export function openSession(
  host: SessionHost,
  { model, weightsFolder }: SavedModel,
  { device, threads }: ComputeOptions,
  training?: TrainingGraph,
): Promise<HostedSession> {
  // Frozen weights are shared by training and validation where they lie; repacked they would be held three times.
  const options = {
    device,
    disablePrepacking: true,
    ...(threads && { threads }),
    ...(weightsFolder && { weightsFolder }),
  };
  return host.open(model, options, training?.state);
}

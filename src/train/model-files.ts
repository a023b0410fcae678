/** @file Graphs as artifacts of a run, and sessions over them. */

import { writeFileAtomic } from '../base/index.js';
import { type Graph, type PlacedModel, serializeInPlace } from '../engine/onnx/index.js';
import type { HostedSession, SessionHost } from '../engine/runtime/index.js';
import type { TrainingGraph } from '../engine/training/index.js';
import type { ComputeOptions } from './features.js';

/** Writes a graph as an artifact. Weights stay where they are; the model says relative to which folder. */
export async function writeModel(path: string, graph: Graph): Promise<PlacedModel> {
  const placed = serializeInPlace(graph);
  await writeFileAtomic(path, placed.model);
  return placed;
}

/** Opens a session over a saved model; with `training`, its parameters and moments stay in the worker. */
export function openSession(
  host: SessionHost,
  { model, weightsFolder }: PlacedModel,
  { device, threads }: ComputeOptions,
  training?: TrainingGraph,
): Promise<HostedSession> {
  // Frozen weights are shared by training and validation where they lie; repacked they would be held three times.
  const sparing = { disablePrepacking: true, withoutArena: true };
  return host.open(model, { device, threads, weightsFolder, ...sparing }, training?.state);
}

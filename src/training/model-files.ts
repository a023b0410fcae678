/** @file Graphs as artifacts of a run, and sessions over them. */

import { mkdir, realpath } from 'node:fs/promises';
import { dirname } from 'node:path';
import { writeFileAtomic } from '../base/index.js';
import { type Graph, type PlacedModel, serializeInPlace } from '../engine/onnx/index.js';
import type { HostedSession, SessionHost } from '../engine/runtime/index.js';
import type { TrainingGraph } from '../engine/training/index.js';
import type { ComputeOptions } from './features.js';

/** Writes a graph as an artifact. Weights stay where they are; the model says in which folder, from its own. */
export async function writeModel(path: string, graph: Graph): Promise<PlacedModel> {
  await mkdir(dirname(path), { recursive: true });
  const placed = serializeInPlace(graph, { fileFolder: await realpath(dirname(path)) });
  await writeFileAtomic(path, placed.model);
  return placed;
}

/**
 * Opens a session over a saved model; with `training`, its parameters and moments stay in the worker. Without, it is
 * validation's: on the CPU it casts 16-bit weights in each run, since cast at load they would be a second copy in float32.
 */
export function openSession(
  host: SessionHost,
  { model, weightsFolder }: PlacedModel,
  { device, threads }: ComputeOptions,
  training?: TrainingGraph,
): Promise<HostedSession> {
  // Frozen weights are shared by training and validation where they lie; repacked they would be held three times.
  const sparing = { disablePrepacking: true, withoutArena: true };
  const keepConstantExpressions = training === undefined && device.kind === 'cpu';
  const options = { device, threads, weightsFolder, keepConstantExpressions, ...sparing };
  return host.open(model, options, training?.state);
}

/** @file Sessions of a model on one device or several, side by side. */

import { createPool, defaultJobs } from '../base/index.js';
import { type Device, type SessionWorker, startSessionWorker } from '../engine/runtime/index.js';
import type { Phase } from '../systems/index.js';
import {
  type Batching,
  type ComputeOptions,
  cheapestBatches,
  type EncoderPool,
  type Evaluator,
} from '../training/index.js';

/** Most utterances per run of the graph: enough to use a device well, few enough to stay in cache. */
export const INFERENCE_BATCH = 16;
/**
 * What a run costs besides its arithmetic, in tokens: reading the weights, and on a GPU also launching kernels. Measured
 * on a CPU as 27; that of a GPU is an estimate.
 */
const RUN_TOKENS = { cpu: 24, gpu: 256 };

/** How utterances are divided into runs of a phase's graph on a device. */
export function inferenceBatches(phase: Phase, { kind }: Device): Batching {
  const runTokens = kind === 'cpu' ? RUN_TOKENS.cpu : RUN_TOKENS.gpu;
  return cheapestBatches(phase, { most: INFERENCE_BATCH, runTokens });
}

/** Runs work when it is its turn. */
export type Turns = <T>(work: () => Promise<T>) => Promise<T>;

/**
 * Turns for encoding and classifying, which overlap. On a CPU alone, as many runs of graphs take place side by side as
 * there are cores for their threads: more would take the cores from each other.
 */
export function turnsOn({ device, devices = [device], threads = defaultJobs() }: ComputeOptions): Turns {
  if (devices.length > 1 || device.kind !== 'cpu') return (work) => work();
  const sideBySide = Math.max(1, Math.floor(defaultJobs() / threads));
  const pool = createPool(Array.from({ length: sideBySide }, () => undefined) as [undefined]);
  return (work) => pool.use(work);
}

/** An encoder that takes turns. */
export function inTurns(encoder: EncoderPool, turns: Turns): EncoderPool {
  return { ...encoder, encode: (waveforms) => turns(() => encoder.encode(waveforms)) };
}

/** Opens what computes batches on a device, in a worker of its own. */
export type OpenEvaluator = (
  worker: SessionWorker,
  options: { readonly device: Device; readonly threads: number | undefined },
) => Promise<Evaluator>;

/**
 * Opens a model on each device, one after the other: while a session loads, it takes most memory.
 * @param threads of each session; absent: its share of the cores
 */
export async function openEvaluators(
  devices: readonly Device[],
  threads: number | undefined,
  turns: Turns,
  open: OpenEvaluator,
): Promise<{ readonly evaluators: readonly Evaluator[]; readonly close: () => Promise<void> }> {
  const workers: SessionWorker[] = [];
  const close = async (): Promise<void> => {
    for (const worker of workers) await worker.close();
  };
  try {
    const evaluators: Evaluator[] = [];
    for (const device of devices) {
      const worker = startSessionWorker();
      workers.push(worker);
      const own = { device, threads: threads ?? shareOfCores(device, devices) };
      const { batchesPerRun, run } = await open(worker, own);
      evaluators.push({ batchesPerRun, run: (batches) => turns(() => run(batches)) });
    }
    return { evaluators, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** undefined, onnxruntime's own choice, unless the CPU has several sessions. */
function shareOfCores({ kind }: Device, devices: readonly Device[]): number | undefined {
  const sharing = kind === 'cpu' ? devices.filter((device) => device.kind === 'cpu').length : 1;
  return sharing > 1 ? Math.max(1, Math.floor(defaultJobs() / sharing)) : undefined;
}

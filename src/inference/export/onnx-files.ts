/**
 * @file Writes a model for other runtimes: FILE.onnx, and its weights in FILE.onnx.safetensors in the same folder.
 * Weights are streamed, and the .onnx is renamed into place last.
 */

import { access, constants, lstat, rm, rmdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import {
  createAtomicFile,
  errorMessage,
  InputError,
  InterruptedError,
  isSameFile,
  makeOutputFolder,
  type OutputFile,
  outputTarget,
  pathExists,
  userTarget,
} from '../../base/index.js';
import { snapshotOf } from '../../checkpoints/hub/index.js';
import { type Checkpoint, openCheckpoint, type WeightRef } from '../../checkpoints/index.js';
import { createGraph, type Graph, serializeModel } from '../../engine/onnx/index.js';
import {
  dtypeInfo,
  elementCount,
  readSafetensorsHeader,
  type StreamedTensor,
  stageSafetensors,
} from '../../engine/tensor/index.js';
import { checkpointWeights, declaredWeights, type ModelGraph, type Precision } from '../../nn/index.js';
import { phaseTitles } from '../../systems/index.js';
import { phaseKeys } from '../../training/runs/index.js';
import type { TrainedRun } from '../trained-run.js';

/** A model that can be exported. */
export interface ExportableModel {
  /** The weights its graph uses, each once, in the dtype to store. */
  readonly tensors: readonly StreamedTensor[];
  /** Builds the graph over the weights as written, with the same keys. */
  readonly graph: (written: ReadonlyMap<string, WeightRef>) => Graph;
  /** One line on what it computes. */
  readonly description: string;
  /** The origin of the model, stored in its metadata. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Files the weights are read from. These are never overwritten. */
  readonly sources: readonly string[];
}

/**
 * The tensors and the graph of a model defined over named weights.
 * @param weight returns the weight of a `key`, in the dtype to store
 * @param precision of the products of matrices with two axes
 * @throws InputError from `weight`, if one is missing or has another shape
 */
export function exportable(
  { name, description, define }: ModelGraph,
  weight: (key: string, shape: readonly number[]) => StreamedTensor,
  precision: Precision = 'float32',
): Pick<ExportableModel, 'tensors' | 'graph' | 'description'> {
  return {
    tensors: declaredWeights(define).map(({ key, shape }) => weight(key, shape)),
    graph(written) {
      const graph = createGraph(name);
      define(
        graph,
        checkpointWeights(
          graph,
          (key) => written.get(key)!,
          () => precision,
        ),
      );
      return graph;
    },
    description,
  };
}

export interface ExportControls {
  /** Bytes of weights written, and the total. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly stop?: AbortSignal | undefined;
}

/** The two files of an exported model. */
export interface ExportedFiles {
  readonly model: string;
  readonly weights: string;
  readonly weightBytes: number;
}

/** File name of the weights of the model in `out`, in the same folder. */
function weightsFile(out: string): string {
  return `${out}.safetensors`;
}

/**
 * The file that `out` refers to, with links resolved: the weights go next to the link's target, where the model finds
 * them.
 * @throws InputError when it does not end in .onnx, or is not a regular file
 */
export async function checkModelFile(out: string): Promise<string> {
  const target = await userTarget(out, '--out');
  if (target.kind === 'stream') {
    throw new InputError(
      `--out ${out}: a model consists of two files in one folder, so it cannot go to a pipe or a device; name a file that ends in .onnx`,
    );
  }
  if (!/[^/\\]\.onnx$/.test(target.path)) throw new InputError(`--out ${out} must end in .onnx`);
  const weights = await outputTarget(weightsFile(target.path), ' with --out');
  if (weights.kind === 'stream' || dirname(weights.path) !== dirname(target.path)) {
    throw new InputError(
      `--out ${out}: the weights go to ${weights.name}, which is not a file in that folder; remove it, because a model finds its weights only in its own folder`,
    );
  }
  return target.path;
}

/**
 * Writes a model and the weights it uses, each once and in its stored dtype. Memory use does not grow with the size of
 * the weights. Replaces files of an earlier export, which stay unchanged until all weights are on disk; an .onnx is
 * never next to another model's weights.
 * @throws InputError when a weight is missing or the files cannot be written, InterruptedError when `stop` is aborted
 */
export async function writeModelFiles(
  out: string,
  { tensors, graph, description, metadata, sources }: ExportableModel,
  controls: ExportControls,
): Promise<ExportedFiles> {
  const path = await checkModelFile(out);
  const weights = weightsFile(path);
  await refuseSources([path, weights], sources);
  const removeFolder = await makeFolder(dirname(path), out);
  let staged: OutputFile | undefined;
  try {
    staged = await stageSafetensors(weights, reported(tensors, controls), { format: 'pt' });
    checkStop(controls);
    const { entries } = await readSafetensorsHeader(staged.path);
    const written = new Map([...entries].map(([key, entry]) => [key, { ...entry, key, path: weights }]));
    const options = { weightsFolder: dirname(weights), description, metadata };
    const bytes = serializeModel(graph(written), options);
    const file = await createAtomicFile(path);
    try {
      await file.write(bytes);
      await rm(path, { force: true }); // of an earlier export, whose weights are being replaced
      await staged.commit();
      await file.commit();
    } finally {
      await file.discard();
    }
  } catch (error) {
    await staged?.discard();
    await removeFolder();
    throw error;
  }
  const model = (await lstat(out)).isSymbolicLink() ? path : out;
  return { model, weights: weightsFile(model), weightBytes: totalBytes(tensors) };
}

/** The tensors, reporting bytes as they are read and checking for a stop between two pieces. */
function reported(tensors: readonly StreamedTensor[], controls: ExportControls): StreamedTensor[] {
  const total = totalBytes(tensors);
  let done = 0;
  return tensors.map((tensor) => ({
    ...tensor,
    async *read() {
      for await (const piece of tensor.read()) {
        checkStop(controls);
        yield piece;
        done += piece.byteLength;
        controls.onProgress?.(done, total);
      }
    },
  }));
}

function checkStop({ stop }: ExportControls): void {
  if (stop?.aborted) throw new InterruptedError('interrupted; nothing was written');
}

function totalBytes(tensors: readonly StreamedTensor[]): number {
  return tensors.reduce((sum, { dtype, shape }) => sum + elementCount(shape) * dtypeInfo[dtype].bytes, 0);
}

async function refuseSources(targets: readonly string[], sources: readonly string[]): Promise<void> {
  for (const target of targets) {
    for (const source of sources) {
      if (!(await isSameFile(target, source))) continue;
      throw new InputError(`${target} is one of the files the weights are read from; give another --out`);
    }
  }
}

/** Creates the folder of `out`; the returned function removes what was created and is still empty. */
async function makeFolder(folder: string, out: string): Promise<() => Promise<void>> {
  let first: string | undefined;
  try {
    first = await makeOutputFolder(folder);
    await access(folder, constants.W_OK);
  } catch (error) {
    throw new InputError(`--out ${out} cannot be written: ${errorMessage(error)}`);
  }
  return async () => {
    if (first === undefined) return;
    for (let made = folder; made.length >= first.length; made = dirname(made)) {
      const removed = await rmdir(made).then(
        () => true,
        () => false,
      );
      if (!removed) return;
    }
  };
}

/**
 * Opens a Hugging Face checkpoint.
 * @param instead what to do if the folder is a run of emoq
 * @throws InputError when it is a run, or is missing or broken
 */
export async function openModelFolder(nameOrPath: string, instead: string): Promise<Checkpoint> {
  const folders = ['', ...Object.keys(phaseTitles)];
  for (const folder of folders) {
    if (nameOrPath !== '' && (await pathExists(join(nameOrPath, folder, 'run.json')))) {
      throw new InputError(
        `--checkpoint ${nameOrPath} is a run of emoq, not a Hugging Face folder; ${instead}`,
      );
    }
  }
  return openCheckpoint(nameOrPath);
}

/**
 * The name of a checkpoint independent of its location: `Qwen/Qwen2.5-7B-Instruct@<revision>` in the Hugging Face
 * cache, else its folder name.
 */
export function checkpointName({ dir }: Pick<Checkpoint, 'dir'>): string {
  const cached = snapshotOf(dir);
  return cached ? `${cached.id}@${cached.commit}` : basename(dir);
}

/** The model metadata that describes its run. */
export function runMetadata({ metadata, checkpointSha256 }: TrainedRun): Record<string, string> {
  return {
    run: metadata.name,
    ...Object.fromEntries(
      Object.entries(phaseKeys(metadata)).map(([key, value]) => [`run_${key}`, String(value)]),
    ),
    ...(metadata.fold !== null && { run_fold: String(metadata.fold) }),
    run_checkpoint_sha256: checkpointSha256,
  };
}

/** @file Opens a Hugging Face checkpoint folder: its config.json and where each weight lies, without reading weights. */

import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError, pathExists, readJson } from '../../base/index.js';
import { type DType, readSafetensorsHeader, type SafetensorsHeader } from '../../engine/tensor/index.js';
import { findCheckpointFolder } from './folder.js';

/** Where one weight lies. */
export interface WeightRef {
  /** The key as stored, prefix included. */
  key: string;
  dtype: DType;
  shape: readonly number[];
  /** Absolute path with every link resolved (the Hugging Face cache links into its blobs). */
  path: string;
  /** Absolute byte offset in the file. */
  offset: number;
  byteLength: number;
}

/** An opened checkpoint folder. */
export interface Checkpoint {
  /** Absolute folder. */
  dir: string;
  /** config.json as it is. */
  config: Record<string, unknown>;
  /** Weights by key. */
  weights: ReadonlyMap<string, WeightRef>;
}

const SINGLE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';
const FORMATS = `${SINGLE}, or ${INDEX} with its shards`;

/**
 * Opens a checkpoint: a folder, or a model id in the Hugging Face cache.
 * @throws InputError when the folder, its config.json or its weights are missing or broken.
 */
export async function openCheckpoint(nameOrPath: string): Promise<Checkpoint> {
  const dir = await findCheckpointFolder(nameOrPath);
  const config = await readConfig(dir);
  if (await pathExists(join(dir, SINGLE))) {
    const header = await readSafetensorsHeader(join(dir, SINGLE));
    return { dir, config, weights: await weightsOf(header, header.entries.keys()) };
  }
  if (await pathExists(join(dir, INDEX))) return { dir, config, weights: await shardedWeights(dir) };
  if (await pathExists(join(dir, 'pytorch_model.bin'))) {
    throw new InputError(
      `checkpoint ${dir} holds its weights as pytorch_model.bin; what can be read is ${FORMATS}; save it as safetensors first`,
    );
  }
  throw new InputError(`checkpoint ${dir} holds no weights; looked for ${FORMATS}`);
}

/** One safetensors file as a checkpoint without a config: what a run has trained. @throws InputError */
export async function openWeightsFile(path: string): Promise<Checkpoint> {
  if (!(await pathExists(path))) throw new InputError(`weights ${path} do not exist; train first`);
  const header = await readSafetensorsHeader(path);
  return { dir: path, config: {}, weights: await weightsOf(header, header.entries.keys()) };
}

/** The config.json of a folder. @throws InputError when it is missing or no JSON object. */
export async function readConfig(dir: string): Promise<Record<string, unknown>> {
  const path = join(dir, 'config.json');
  const config = await readJson(path, 'model config');
  if (typeof config !== 'object' || config === null || Array.isArray(config)) {
    throw new InputError(`model config ${path} is not a JSON object`);
  }
  return config as Record<string, unknown>;
}

async function shardedWeights(dir: string): Promise<Map<string, WeightRef>> {
  const path = join(dir, INDEX);
  const index = (await readJson(path, 'weight index')) as { weight_map?: unknown } | null;
  const map = index?.weight_map;
  if (typeof map !== 'object' || map === null || Array.isArray(map)) {
    throw new InputError(`weight index ${path} has no "weight_map" object`);
  }
  const keysOfShard = new Map<string, string[]>();
  for (const [key, shard] of Object.entries(map)) {
    // A shard lies in the folder itself: a path could point anywhere.
    if (typeof shard !== 'string' || !/^[^/\\]+\.safetensors$/.test(shard)) {
      throw new InputError(
        `weight index ${path} puts "${key}" into ${JSON.stringify(shard)}, not a .safetensors file of its folder`,
      );
    }
    keysOfShard.set(shard, [...(keysOfShard.get(shard) ?? []), key]);
  }
  const shards = await Promise.all(
    [...keysOfShard].map(async ([shard, keys]) => {
      if (!(await pathExists(join(dir, shard)))) {
        throw new InputError(`checkpoint ${dir} lacks ${shard}, which ${INDEX} lists; download it again`);
      }
      return weightsOf(await readSafetensorsHeader(join(dir, shard)), keys);
    }),
  );
  return new Map(shards.flatMap((weights) => [...weights]));
}

async function weightsOf(header: SafetensorsHeader, keys: Iterable<string>): Promise<Map<string, WeightRef>> {
  const path = await realpath(header.path);
  const weights = new Map<string, WeightRef>();
  for (const key of keys) {
    const entry = header.entries.get(key);
    if (!entry) throw new InputError(`${header.path} has no weight "${key}", though ${INDEX} puts it there`);
    weights.set(key, { key, ...entry, path });
  }
  return weights;
}

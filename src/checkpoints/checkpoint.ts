/**
 * @file Opens a Hugging Face checkpoint folder: parses config.json, locates each weight without reading it, and looks
 * up weights under any key prefix, checked against the config.
 */

import { open, realpath, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { ComputationError, InputError, pathExists, quoted, readJson } from '../base/index.js';
import {
  encodeFloats,
  float32Of,
  isFloating,
  readSafetensorsHeader,
  readSafetensorsTensor,
  type StreamedTensor,
  type Tensor,
} from '../engine/tensor/index.js';
import { findSnapshot, hubCacheFolder, modelCache, publishedModel } from './hub/index.js';
import {
  dequantizedWeight,
  joinQuantized,
  quantizationSettings,
  type WeightRef,
} from './quantized-weights.js';
import { readTorchFile } from './torch-file.js';
import type { WeightLocation } from './torch-state.js';

/** An opened checkpoint folder. */
export interface Checkpoint {
  /** Absolute folder. */
  dir: string;
  /** The object in config.json. */
  config: Record<string, unknown>;
  /** Weights by key. */
  weights: ReadonlyMap<string, WeightRef>;
}

/** A storage format for weights: one file, or several shards listed in an index. */
interface WeightFormat {
  readonly single: string;
  readonly index: string;
  /** Of the shards listed in the index. */
  readonly extension: string;
  /** Locations of the weights in one file. */
  readonly read: (path: string) => Promise<ReadonlyMap<string, WeightLocation>>;
}

/** In order of preference. */
const formats: readonly WeightFormat[] = [
  {
    single: 'model.safetensors',
    index: 'model.safetensors.index.json',
    extension: '.safetensors',
    read: async (path) => (await readSafetensorsHeader(path)).entries,
  },
  {
    single: 'pytorch_model.bin',
    index: 'pytorch_model.bin.index.json',
    extension: '.bin',
    read: readTorchFile,
  },
];

/**
 * Opens a checkpoint: a folder, or a model id in the Hugging Face cache.
 * @throws InputError when the folder, its config.json or its weights are missing or broken, or contain an unmerged
 * adapter
 */
export async function openCheckpoint(nameOrPath: string): Promise<Checkpoint> {
  const checkpoint = await readCheckpoint(await findCheckpointFolder(nameOrPath));
  refuseAdapters(checkpoint);
  return checkpoint;
}

async function readCheckpoint(dir: string): Promise<Checkpoint> {
  if ((await pathExists(join(dir, 'adapter_config.json'))) && !(await pathExists(join(dir, 'config.json')))) {
    throw new InputError(
      `${dir} is a PEFT adapter (adapter_config.json), not a model; merge it into its model first, with PEFT's merge_and_unload, and give the merged checkpoint`,
    );
  }
  const config = await readConfig(dir);
  const settings = quantizationSettings(config, dir);
  const joined = (weights: Map<string, WeightRef>): Checkpoint => ({
    dir,
    config,
    weights: settings === undefined ? weights : joinQuantized(weights, settings, dir),
  });
  for (const format of formats) {
    const path = join(dir, format.single);
    if (await pathExists(path)) return joined(await weightsOf(path, await format.read(path)));
    if (await pathExists(join(dir, format.index))) return joined(await shardedWeights(dir, format));
  }
  const names = formats.map(({ single }) => single).join(' and ');
  const indices = formats.map(({ index }) => index).join(' or ');
  throw new InputError(
    `checkpoint ${dir} has no weights; looked for ${names}, or ${indices} with its shards`,
  );
}

/** Opens one safetensors file as a checkpoint without a config, as written by training. @throws InputError */
export async function openWeightsFile(path: string): Promise<Checkpoint> {
  if (!(await pathExists(path))) throw new InputError(`weights ${path} do not exist; train first`);
  return {
    dir: path,
    config: {},
    weights: await weightsOf(path, (await readSafetensorsHeader(path)).entries),
  };
}

/** The config.json of a folder. @throws InputError when it is missing or not a JSON object */
export async function readConfig(dir: string): Promise<Record<string, unknown>> {
  const path = join(dir, 'config.json');
  const config = await readJson(path, 'model config');
  if (typeof config !== 'object' || config === null || Array.isArray(config)) {
    throw new InputError(`model config ${path} is not a JSON object`);
  }
  return config as Record<string, unknown>;
}

async function shardedWeights(dir: string, format: WeightFormat): Promise<Map<string, WeightRef>> {
  const path = join(dir, format.index);
  const index = (await readJson(path, 'weight index')) as { weight_map?: unknown } | null;
  const map = index?.weight_map;
  if (typeof map !== 'object' || map === null || Array.isArray(map)) {
    throw new InputError(`weight index ${path} has no "weight_map" object`);
  }
  const keysOfShard = new Map<string, string[]>();
  for (const [key, shard] of Object.entries(map)) {
    // A shard must be in the folder itself: a path could point anywhere.
    if (
      typeof shard !== 'string' ||
      !/^[^/\\\p{Cc}]{1,255}$/u.test(shard) ||
      !shard.endsWith(format.extension)
    ) {
      throw new InputError(
        `weight index ${path} puts ${quoted(key)} into ${quoted(shard)}, not a ${format.extension} file of its folder`,
      );
    }
    const keys = keysOfShard.get(shard);
    if (keys) keys.push(key);
    else keysOfShard.set(shard, [key]);
  }
  const weights = new Map<string, WeightRef>();
  // One shard at a time: the memory for reading one is bounded, but not their number.
  for (const [shard, keys] of keysOfShard) {
    const file = join(dir, shard);
    if (!(await pathExists(file))) {
      throw new InputError(
        `checkpoint ${dir} is missing ${shard}, which ${format.index} lists; download it again`,
      );
    }
    const stored = await weightsOf(file, await format.read(file));
    for (const key of keys) {
      const ref = stored.get(key);
      if (!ref)
        throw new InputError(`${file} has no weight ${quoted(key)}, though ${format.index} puts it there`);
      weights.set(key, ref);
    }
  }
  return weights;
}

/** The weights of one file, which may be behind links. */
async function weightsOf(
  file: string,
  locations: ReadonlyMap<string, WeightLocation>,
): Promise<Map<string, WeightRef>> {
  const path = await realpath(file);
  return new Map([...locations].map(([key, location]) => [key, { key, ...location, path }]));
}

const WHAT_TO_GIVE =
  'give the path of a folder that holds config.json and model.safetensors or pytorch_model.bin';

/**
 * The absolute folder of `nameOrPath`: an existing folder, or else a model id such as "Qwen/Qwen2.5-7B-Instruct", or a
 * short name of `emoq pull`, with a snapshot in the Hugging Face cache ($HF_HUB_CACHE, $HF_HOME/hub or
 * ~/.cache/huggingface/hub).
 * @throws InputError that says what was looked for and where
 */
export async function findCheckpointFolder(nameOrPath: string): Promise<string> {
  if (nameOrPath === '') throw new InputError(`the name of a checkpoint is empty; ${WHAT_TO_GIVE}`);
  const path = resolve(nameOrPath);
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory()) return path;
  if (found) throw new InputError(`checkpoint ${path} is a file, not a folder; ${WHAT_TO_GIVE}`);
  // Names of one or two parts are model ids; anything else must have been meant as a path.
  if (!/^[A-Za-z0-9][\w.-]*(\/[A-Za-z0-9][\w.-]*)?$/.test(nameOrPath)) {
    throw new InputError(`checkpoint folder ${path} does not exist; ${WHAT_TO_GIVE}`);
  }
  const published = publishedModel(nameOrPath);
  const snapshot = (await findSnapshot(nameOrPath)) ?? (published && (await findSnapshot(published.id)));
  if (snapshot !== undefined) return snapshot;
  const { dir } = modelCache(hubCacheFolder(), published?.id ?? nameOrPath);
  const canBePulled = published !== undefined || nameOrPath.includes('/');
  const what = canBePulled ? `fetch it with emoq pull ${nameOrPath}, or ${WHAT_TO_GIVE}` : WHAT_TO_GIVE;
  throw new InputError(
    `checkpoint "${nameOrPath}" not found: no folder ${path}, and no ${dir} in the Hugging Face cache; ${what}`,
  );
}

/** Keys of PEFT adapters, or of weights wrapped by them. */
const ADAPTER =
  /^base_model\.model\.|\.base_layer\.|\.(?:lora_[A-Z]|lora_embedding_[AB]|lora_magnitude_vector|ia3_l|oft_r|hada_w\d_[ab]|modules_to_save)(?:\.|$)/;

/** @throws InputError if the weights include an adapter, which would not be applied */
export function refuseAdapters({ dir, weights }: Pick<Checkpoint, 'dir' | 'weights'>): void {
  const key = [...weights.keys()].find((name) => ADAPTER.test(name));
  if (key === undefined) return;
  throw new InputError(
    `checkpoint ${dir} has an adapter that is not merged into its weights (${quoted(key)}); merge it first, with PEFT's merge_and_unload, and give the merged checkpoint`,
  );
}

/** The weights that a kind of model may safely leave unread. */
export interface ReadableModel {
  /** `model_type` of its config. */
  readonly modelType: string;
  /** Keys of weights that do not affect its output. */
  readonly harmless: readonly RegExp[];
}

/**
 * A warning about weights that the model does not read but that may matter; undefined if there are none.
 * @param read the stored keys of the weights that the model reads
 */
export function unreadWeights(
  { dir, weights }: Pick<Checkpoint, 'dir' | 'weights'>,
  { modelType, harmless }: ReadableModel,
  read: ReadonlySet<string>,
): string | undefined {
  const stored = new Set([...weights.values()].map(({ key }) => key));
  const unread = [...stored].filter(
    (key) => !read.has(key) && !harmless.some((pattern) => pattern.test(key)),
  );
  if (unread.length === 0) return undefined;
  const [which, are] =
    unread.length === 1
      ? [`a weight, ${quoted(unread[0])},`, 'it is']
      : [`${unread.length} weights, such as ${quoted(unread[0])},`, 'they are'];
  return `${dir} holds ${which} that a ${modelType} of its config.json does not have; ${are} not used: make sure that config.json and weights belong together`;
}

/**
 * The checkpoint with its weights also available without a prefix: with `['hubert.', '']`, "encoder.x" finds
 * "hubert.encoder.x" or else "encoder.x". Earlier prefixes win; weights that match none are left out. References keep
 * the stored key.
 */
export function weightsUnder(checkpoint: Checkpoint, prefixes: readonly string[]): Checkpoint {
  const weights = new Map<string, WeightRef>();
  for (const prefix of prefixes.toReversed()) {
    for (const [key, ref] of checkpoint.weights) {
      if (key.startsWith(prefix)) weights.set(key.slice(prefix.length), ref);
    }
  }
  return { ...checkpoint, weights };
}

/**
 * The weight `key`, which must be floating-point or quantized by emoq, and have the `shape` that the config implies.
 * @throws InputError naming the key and the folder
 */
export function requireWeight(checkpoint: Checkpoint, key: string, shape: readonly number[]): WeightRef {
  const ref = checkpoint.weights.get(key);
  if (!ref) {
    const stored = [...new Set(checkpoint.weights.values())];
    const holds = stored[0] ? `it holds ${stored.length}, such as "${stored[0].key}"` : 'it holds none';
    throw new InputError(`checkpoint ${checkpoint.dir} has no weight "${key}"; ${holds}`);
  }
  if (ref.shape.length !== shape.length || ref.shape.some((size, axis) => size !== shape[axis])) {
    throw new InputError(
      `weight "${ref.key}" in ${checkpoint.dir} has shape [${ref.shape.join(', ')}], the config asks for [${shape.join(', ')}]`,
    );
  }
  if (!isFloating(ref.dtype) && ref.quantization === undefined) {
    throw new InputError(
      `weight "${ref.key}" in ${checkpoint.dir} is ${ref.dtype}; quantised checkpoints cannot be read, only floating ones`,
    );
  }
  return ref;
}

/**
 * Reads one weight into memory; a quantized one as float32. @throws InputError when the file has changed since it was
 * opened
 */
export async function readWeight(ref: WeightRef): Promise<Tensor> {
  const { key, path, dtype, shape, offset, byteLength, quantization } = ref;
  if (quantization !== undefined) return dequantizedWeight(ref, quantization, readWeight);
  const entry = { dtype, shape: [...shape], offset, byteLength };
  return readSafetensorsTensor({ path, entries: new Map([[key, entry]]), metadata: {} }, key);
}

/** Where the content of a weight is: itself, or its integers, scales and zero points. */
export function storedParts(ref: WeightRef): readonly WeightRef[] {
  const { scales, zeroPoints } = ref.quantization ?? {};
  return [ref, scales, zeroPoints].filter((part) => part !== undefined);
}

/** Stored size of a checkpoint's weights. */
export function weightBytes({ weights }: Pick<Checkpoint, 'weights'>): number {
  const parts = [...weights.values()].flatMap(storedParts);
  return parts.reduce((sum, { byteLength }) => sum + byteLength, 0);
}

/** The files that contain a checkpoint's weights, sorted by path. */
export function weightFiles({ weights }: Checkpoint): string[] {
  return [...new Set([...weights.values()].map(({ path }) => path))].sort();
}

const PIECE_BYTES = 16 * 1024 * 1024;

/**
 * A weight as a tensor for `streamSafetensors`, byte for byte as stored; a quantized one in its type from before.
 * `key` renames it.
 */
export function storedTensor(ref: WeightRef, key = ref.key): StreamedTensor {
  const { dtype, shape, quantization } = ref;
  if (quantization === undefined) return { key, dtype, shape, read: () => storedBytes(ref) };
  const { sourceDtype } = quantization;
  return {
    key,
    dtype: sourceDtype,
    shape,
    async *read() {
      const values = encodeFloats(float32Of(await readWeight(ref)), sourceDtype);
      yield new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    },
  };
}

/**
 * A trained weight, like {@link storedTensor}, but read completely and checked first.
 * @throws ComputationError when it is read, if it contains a NaN
 */
export function trainedTensor(ref: WeightRef, key = ref.key): StreamedTensor {
  return {
    ...storedTensor(ref, key),
    async *read() {
      const value = await readWeight(ref);
      if (!float32Of(value).every(Number.isFinite)) {
        throw new ComputationError(
          `"${ref.key}" in ${ref.path} holds values that are not numbers; it is damaged`,
        );
      }
      yield new Uint8Array(value.data.buffer, value.data.byteOffset, value.data.byteLength);
    },
  };
}

/**
 * The bytes of one weight. All chunks share one buffer: use each before asking for the next.
 * @throws InputError when the file has become shorter since it was opened
 */
async function* storedBytes({ path, offset, byteLength }: WeightRef): AsyncGenerator<Uint8Array> {
  const file = await open(path, 'r');
  try {
    const buffer = Buffer.alloc(Math.min(PIECE_BYTES, byteLength));
    for (let done = 0; done < byteLength; ) {
      const wanted = Math.min(buffer.length, byteLength - done);
      const { bytesRead } = await file.read(buffer, 0, wanted, offset + done);
      if (bytesRead === 0) throw new InputError(`weight file ${path} has become shorter while it was read`);
      yield buffer.subarray(0, bytesRead);
      done += bytesRead;
    }
  } finally {
    await file.close();
  }
}

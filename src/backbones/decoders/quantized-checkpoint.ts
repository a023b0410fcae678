/**
 * @file Writes a copy of a decoder's checkpoint in which the linear projections of the layers are quantized. Norms,
 * biases, embeddings and the output matrix stay as stored. Shards are written one after the other, each atomically, and
 * those that a killed process finished are kept; config.json comes last, so that a folder with one is complete.
 */

import { readdir, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import {
  claimLock,
  copyFileAtomic,
  errorMessage,
  InputError,
  InterruptedError,
  isSameFile,
  isTemporaryName,
  pathExists,
  quoted,
  sha256Of,
  writeJsonAtomic,
} from '../../base/index.js';
import { isCompanion } from '../../checkpoints/hub/index.js';
import {
  type Checkpoint,
  checkpointIdentity,
  findCheckpointFolder,
  openCheckpoint,
  QUANTIZATION_KEY,
  type QuantizationSettings,
  quantizationEntry,
  readConfig,
  readWeight,
  requireWeight,
  storedKeys,
  storedTensor,
  type WeightRef,
  weightBytes,
} from '../../checkpoints/index.js';
import {
  bytesOf,
  dtypeInfo,
  elementCount,
  float32Of,
  type QuantizedBits,
  type QuantizedBlocks,
  quantizeBlocks,
  readSafetensorsHeader,
  type StreamedTensor,
  streamSafetensors,
} from '../../engine/tensor/index.js';
import { type DecoderConfig, projections, recordedConfig } from './decoder-config.js';
import { parseDecoderConfig } from './decoder-families.js';
import { projectionPath, projectionShape } from './decoder-lora.js';

export interface QuantizeOptions {
  readonly bits: QuantizedBits;
  readonly blockSize: number;
  /** Size at which a file of weights is closed; a single weight may be larger. Default 1 GiB. */
  readonly shardBytes?: number;
  /** Bytes of the source that have been read, and the total. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  /** Stops before the next weight. */
  readonly stop?: AbortSignal | undefined;
}

/** A folder with quantized weights. */
export interface QuantizedCheckpoint {
  readonly dir: string;
  /** Number of quantized weights. */
  readonly quantized: number;
  readonly sourceBytes: number;
  readonly bytes: number;
}

/** Metadata key of a shard: a digest of source and settings, by which a resumed command knows its own shards. */
const SOURCE_KEY = 'quantized_from';
const SHARD_BYTES = 2 ** 30;

/**
 * Quantizes a checkpoint folder, or a model in the Hugging Face cache, into the folder `out`. Memory stays within a few
 * copies of the largest weight.
 * @throws InputError when the source is no decoder, is quantized already or has weights that cannot be, or `out` is the
 *   source or holds something else; InterruptedError when `stop` is aborted
 */
export async function quantizeDecoder(
  nameOrPath: string,
  out: string,
  options: QuantizeOptions,
): Promise<QuantizedCheckpoint> {
  const dir = await findCheckpointFolder(nameOrPath);
  const rawConfig = await readConfig(dir);
  if (rawConfig[QUANTIZATION_KEY]) {
    throw new InputError(
      `${dir} is quantized already (${QUANTIZATION_KEY} in its config.json); give the original weights`,
    );
  }
  const source = await openCheckpoint(dir);
  const config = parseDecoderConfig(rawConfig, join(dir, 'config.json'));
  const chosen = projectionWeights(source, config, options.blockSize);
  const settings = { ...options, sourceDtype: commonType([...chosen.values()]) };
  await checkFolder(out, dir);
  const digest = await sourceDigest(source, config, settings);
  const unlock = await lockFolder(out);
  try {
    const shards = planShards(source, chosen, settings, options.shardBytes ?? SHARD_BYTES);
    await refuseOtherFiles(out, shards, digest);
    await writeShards(out, shards, digest, weightBytes(source), options);
    for (const name of (await readdir(dir)).filter(isCopied)) {
      await copyFileAtomic(join(dir, name), join(out, name));
    }
    await writeJsonAtomic(join(out, 'config.json'), {
      ...rawConfig,
      [QUANTIZATION_KEY]: quantizationEntry(settings),
    });
  } finally {
    await unlock();
  }
  const written = await openCheckpoint(out);
  return {
    dir: resolve(out),
    quantized: chosen.size,
    sourceBytes: weightBytes(source),
    bytes: weightBytes(written),
  };
}

/** Files that are copied from the source: tokenizer, chat template, generation settings, licence. */
function isCopied(name: string): boolean {
  return isCompanion(name) && name !== 'config.json' && name !== 'README.md';
}

/** The weights of the linear projections, by key. @throws InputError if one is missing or not in whole blocks */
function projectionWeights(
  source: Checkpoint,
  config: DecoderConfig,
  blockSize: number,
): Map<string, WeightRef> {
  const chosen = new Map<string, WeightRef>();
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    for (const projection of projections) {
      const [out, width] = projectionShape(config, projection);
      const ref = requireWeight(source, `${projectionPath(layer, projection)}.weight`, [out, width]);
      if (width % blockSize !== 0) {
        const fix = width % 32 === 0 ? 'choose --block 32' : 'this model cannot be quantized';
        throw new InputError(
          `${quoted(ref.key)} in ${source.dir} has rows of ${width}, which is not a multiple of the block size ${blockSize}; ${fix}`,
        );
      }
      chosen.set(ref.key, ref);
    }
  }
  return chosen;
}

function commonType(refs: readonly WeightRef[]): QuantizationSettings['sourceDtype'] {
  const [first, ...others] = new Set(refs.map(({ dtype }) => dtype));
  return others.length === 0 ? first! : 'float32';
}

async function checkFolder(out: string, source: string): Promise<void> {
  const folder = await stat(out).catch(() => undefined);
  if (folder !== undefined && !folder.isDirectory()) {
    throw new InputError(`${out} is a file; --out must be a folder, or a name for a new one`);
  }
  if (folder !== undefined && (await isSameFile(out, source))) {
    throw new InputError(`${out} is the checkpoint itself; give another folder with --out`);
  }
}

async function lockFolder(out: string): Promise<() => Promise<void>> {
  const path = join(out, 'quantization.lock');
  const claim = await claimLock(path);
  if (typeof claim === 'function') return claim;
  throw new InputError(
    `process ${claim.pid} on ${claim.host} is writing ${out} already; wait for it or choose another folder with --out (if there is no such process, delete ${path})`,
  );
}

/** Identifies the source's weights and everything that the written bytes depend on. */
async function sourceDigest(
  source: Checkpoint,
  config: DecoderConfig,
  { bits, blockSize }: QuantizationSettings,
): Promise<string> {
  const { weights } = await checkpointIdentity(source, recordedConfig(config));
  return sha256Of(JSON.stringify({ weights, bits, blockSize, format: 1 }));
}

/** A file to write. */
interface Shard {
  readonly name: string;
  readonly tensors: readonly StreamedTensor[];
  /** Bytes of the source that it replaces. */
  readonly sourceBytes: number;
}

/** A weight of the source with the tensors that it becomes. */
interface Written {
  readonly ref: WeightRef;
  readonly tensors: readonly StreamedTensor[];
}

/** Cuts the weights into files, in the order of the source. */
function planShards(
  source: Checkpoint,
  chosen: ReadonlyMap<string, WeightRef>,
  settings: QuantizationSettings,
  shardBytes: number,
): Shard[] {
  const groups: Written[][] = [[]];
  let bytes = 0;
  for (const ref of source.weights.values()) {
    const tensors = chosen.has(ref.key) ? quantizedTensors(ref, settings) : [storedTensor(ref)];
    const size = tensors.reduce((sum, tensor) => sum + byteLength(tensor), 0);
    if (bytes > 0 && bytes + size > shardBytes) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1)!.push({ ref, tensors });
    bytes += size;
  }
  const number = (index: number): string => String(index).padStart(5, '0');
  return groups.map((weights, index) => ({
    name:
      groups.length === 1
        ? 'model.safetensors'
        : `model-${number(index + 1)}-of-${number(groups.length)}.safetensors`,
    tensors: inFileOrder(weights.flatMap(({ tensors }) => tensors)),
    sourceBytes: weights.reduce((sum, { ref }) => sum + ref.byteLength, 0),
  }));
}

function byteLength({ dtype, shape }: StreamedTensor): number {
  return bytesOf(dtype, elementCount(shape));
}

/**
 * Weights as stored, widest first; then scales and integers weight by weight, so that each weight is quantized once and
 * forgotten; last the zero points, whose sizes may be odd.
 */
function inFileOrder(tensors: readonly StreamedTensor[]): StreamedTensor[] {
  const rank = ({ key, dtype }: StreamedTensor): number =>
    key.endsWith('.weight_zero_point')
      ? 2
      : /\.weight_(packed|scale)$/.test(key)
        ? 1
        : -dtypeInfo[dtype].bytes;
  return tensors.toSorted((a, b) => rank(a) - rank(b));
}

/** The tensors that a quantized weight is stored as. The scales must be read first, then the integers. */
function quantizedTensors(ref: WeightRef, { bits, blockSize }: QuantizationSettings): StreamedTensor[] {
  const [out, width] = ref.shape as [number, number];
  const keys = storedKeys(ref.key);
  const blocks = [out, width / blockSize];
  const made: { current?: QuantizedBlocks | undefined; zeroPoints?: Uint8Array | undefined } = {};
  const scales: StreamedTensor = {
    key: keys.scale,
    dtype: 'float16',
    shape: blocks,
    async *read() {
      made.current = await quantizedBlocks(ref, bits, blockSize);
      made.zeroPoints = made.current.zeroPoints;
      yield new Uint8Array(made.current.scales.buffer);
    },
  };
  const packed: StreamedTensor = {
    key: keys.packed,
    dtype: bits === 8 ? 'int8' : 'uint8',
    shape: [out, (width * bits) / 8],
    async *read() {
      const { integers } = made.current!;
      made.current = undefined;
      yield integers;
    },
  };
  if (bits === 8) return [scales, packed];
  const zeroPoint: StreamedTensor = {
    key: keys.zeroPoint,
    dtype: 'uint8',
    shape: [bytesOf('uint4', elementCount(blocks))],
    async *read() {
      yield made.zeroPoints!;
    },
  };
  return [scales, packed, zeroPoint];
}

/** @throws InputError if the weight has values that are not finite, or too large */
async function quantizedBlocks(
  ref: WeightRef,
  bits: QuantizedBits,
  blockSize: number,
): Promise<QuantizedBlocks> {
  const values = float32Of(await readWeight(ref));
  try {
    return quantizeBlocks(values, bits, blockSize);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new InputError(`${quoted(ref.key)} in ${ref.path} cannot be quantized: ${errorMessage(error)}`);
  }
}

/** @throws InputError if the folder holds weights that are not from the same source with the same settings */
async function refuseOtherFiles(out: string, shards: readonly Shard[], digest: string): Promise<void> {
  const names = (await readdir(out)).filter((name) => !isTemporaryName(name));
  for (const name of names.filter((each) => /\.(safetensors|bin|index\.json)$/.test(each))) {
    const isOwn =
      name === INDEX
        ? shards.length > 1
        : shards.some((shard) => shard.name === name) && (await isFrom(join(out, name), digest));
    if (isOwn) continue;
    throw new InputError(
      `${join(out, name)} is not from this checkpoint with these options; give another folder with --out, or delete that one`,
    );
  }
}

async function isFrom(path: string, digest: string): Promise<boolean> {
  const header = await readSafetensorsHeader(path).catch(() => undefined);
  return header?.metadata[SOURCE_KEY] === digest;
}

const INDEX = 'model.safetensors.index.json';

async function writeShards(
  out: string,
  shards: readonly Shard[],
  digest: string,
  total: number,
  { onProgress, stop }: QuantizeOptions,
): Promise<void> {
  let before = 0;
  for (const { name, tensors, sourceBytes } of shards) {
    const path = join(out, name);
    if (!(await pathExists(path))) {
      const size = tensors.reduce((sum, tensor) => sum + byteLength(tensor), 0);
      let done = 0;
      const watched = tensors.map((tensor) => ({
        ...tensor,
        async *read() {
          if (stop?.aborted) {
            throw new InterruptedError(
              'interrupted; finished files are kept: run the same command again to resume',
            );
          }
          yield* tensor.read();
          done += byteLength(tensor);
          onProgress?.(before + (sourceBytes * done) / size, total);
        },
      }));
      await streamSafetensors(path, watched, { format: 'pt', [SOURCE_KEY]: digest }, { keepOrder: true });
    }
    before += sourceBytes;
    onProgress?.(before, total);
  }
  if (shards.length === 1) return;
  const files = shards.flatMap(({ name, tensors }) => tensors.map(({ key }) => [key, name] as const));
  await writeJsonAtomic(join(out, INDEX), {
    metadata: {
      total_size: shards.flatMap(({ tensors }) => tensors).reduce((sum, each) => sum + byteLength(each), 0),
    },
    weight_map: Object.fromEntries(files),
  });
}

/** The default name for the quantized copy of a checkpoint: `Qwen2.5-7B-Instruct-int4`. */
export function quantizedName(nameOrPath: string, bits: QuantizedBits): string {
  return `${basename(resolve(nameOrPath))}-int${bits}`;
}

/**
 * @file References to weights, and quantized weights as `emoq quantize` writes them: their entry in config.json, and
 * how the stored tensors of a weight belong together.
 *
 * A weight `W.weight` [out, in] is stored as `W.weight_packed`, `W.weight_scale` and, for 4 bits,
 * `W.weight_zero_point`.
 */

import { join } from 'node:path';
import { z } from 'zod';
import { InputError, quoted } from '../base/index.js';
import {
  bytesOf,
  type DType,
  dequantizeBlocks,
  elementCount,
  type QuantizedBits,
  type Tensor,
  tensor,
} from '../engine/tensor/index.js';
import type { WeightLocation } from './torch-state.js';

/** Location of one weight. */
export interface WeightRef extends WeightLocation {
  /** The key as stored, prefix included. */
  key: string;
  /** Absolute path, links resolved (the Hugging Face cache links into its blobs). */
  path: string;
  /** Of a quantized weight, whose type is uint4 or int8 and whose location is that of its integers. */
  quantization?: Quantization | undefined;
}

/** Key of the entry in config.json. Other libraries use the same one, and refuse methods that they do not know. */
export const QUANTIZATION_KEY = 'quantization_config';
export const QUANTIZATION_METHOD = 'emoq';
const VERSION = 1;

/** Sizes of a block that can be chosen. */
export const blockSizes = [32, 64] as const;

/** How the quantized weights of a checkpoint are stored. */
export interface QuantizationSettings {
  readonly bits: QuantizedBits;
  /** Consecutive elements of a row that share a scale. */
  readonly blockSize: number;
  /** Type of the weights before they were quantized, which they get again where they have to be written as floats. */
  readonly sourceDtype: DType;
}

const sourceTypes = ['float32', 'float16', 'bfloat16', 'float64'] as const;

const settingsSchema = z.strictObject({
  quant_method: z.literal(QUANTIZATION_METHOD),
  version: z.literal(VERSION),
  bits: z.union([z.literal(4), z.literal(8)]),
  block_size: z.union(blockSizes.map((size) => z.literal(size))),
  symmetric: z.boolean(),
  scale_dtype: z.literal('float16'),
  source_dtype: z.enum(sourceTypes),
});

/** The entry of config.json for some settings. */
export function quantizationEntry({ bits, blockSize, sourceDtype }: QuantizationSettings): object {
  const entry: z.input<typeof settingsSchema> = {
    quant_method: QUANTIZATION_METHOD,
    version: VERSION,
    bits,
    block_size: blockSize as (typeof blockSizes)[number],
    symmetric: bits === 8,
    scale_dtype: 'float16',
    source_dtype: sourceDtype as (typeof sourceTypes)[number],
  };
  return entry;
}

/**
 * The settings in a config; undefined if it names no method of emoq.
 * @throws InputError if they are of another version or damaged
 */
export function quantizationSettings(
  config: Readonly<Record<string, unknown>>,
  dir: string,
): QuantizationSettings | undefined {
  const entry = config[QUANTIZATION_KEY];
  if (typeof entry !== 'object' || entry === null) return undefined;
  if ((entry as { quant_method?: unknown }).quant_method !== QUANTIZATION_METHOD) return undefined;
  const parsed = settingsSchema.safeParse(entry);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new InputError(
      `model config ${join(dir, 'config.json')}: ${[QUANTIZATION_KEY, ...issue!.path].join('.')} cannot be used (${issue!.message}); quantize the checkpoint again with this version of emoq`,
    );
  }
  const { bits, block_size: blockSize, source_dtype: sourceDtype } = parsed.data;
  return { bits, blockSize, sourceDtype };
}

/** The stored scales and zero points of a quantized weight. */
export interface Quantization {
  readonly blockSize: number;
  readonly sourceDtype: DType;
  /** float16 [out, in / block] */
  readonly scales: WeightRef;
  /** uint4 [out, in / block]; absent for 8 bits. */
  readonly zeroPoints: WeightRef | undefined;
}

/** Keys of the stored tensors of a weight. */
export function storedKeys(key: string): {
  readonly packed: string;
  readonly scale: string;
  readonly zeroPoint: string;
} {
  return { packed: `${key}_packed`, scale: `${key}_scale`, zeroPoint: `${key}_zero_point` };
}

/**
 * Stored tensors by key, with those of each quantized weight joined into one of its original key and shape, of type
 * uint4 or int8.
 * @throws InputError if one is missing, or its type or size does not fit the others
 */
export function joinQuantized(
  stored: ReadonlyMap<string, WeightRef>,
  { bits, blockSize, sourceDtype }: QuantizationSettings,
  dir: string,
): Map<string, WeightRef> {
  const weights = new Map(stored);
  const take = (key: string, dtype: DType, shape: readonly number[], bytes: number): WeightRef => {
    const ref = weights.get(key);
    if (ref?.dtype !== dtype || ref.shape.join() !== shape.join() || ref.byteLength !== bytes) {
      const found = ref === undefined ? 'is missing' : `is ${ref.dtype} [${ref.shape.join(', ')}]`;
      throw new InputError(
        `checkpoint ${dir}: ${quoted(key)} ${found}, not ${dtype} [${shape.join(', ')}]; quantize it again`,
      );
    }
    weights.delete(key);
    return ref;
  };
  for (const packedKey of stored.keys()) {
    if (!packedKey.endsWith('.weight_packed')) continue;
    const key = packedKey.slice(0, -'_packed'.length);
    const { scale, zeroPoint } = storedKeys(key);
    const [out = 0, packedWidth = 0] = stored.get(packedKey)!.shape;
    const width = (packedWidth * 8) / bits;
    const shape = [out, width];
    const blocks = [out, width / blockSize];
    const count = elementCount(blocks);
    const packed = take(
      packedKey,
      bits === 8 ? 'int8' : 'uint8',
      [out, packedWidth],
      (out * width * bits) / 8,
    );
    const scales = take(scale, 'float16', blocks, 2 * count);
    const points =
      bits === 8 ? undefined : take(zeroPoint, 'uint8', [bytesOf('uint4', count)], bytesOf('uint4', count));
    weights.set(key, {
      ...packed,
      key,
      dtype: bits === 8 ? 'int8' : 'uint4',
      shape,
      quantization: {
        blockSize,
        sourceDtype,
        scales,
        zeroPoints: points && { ...points, dtype: 'uint4', shape: blocks },
      },
    });
  }
  return weights;
}

/** The values of a quantized weight, float32 [out, in]. @param read reads one stored tensor */
export async function dequantizedWeight(
  { shape, dtype, ...ref }: WeightRef,
  { scales, zeroPoints }: Quantization,
  read: (ref: WeightRef) => Promise<Tensor>,
): Promise<Tensor<'float32'>> {
  const bytes = async (part: Omit<WeightRef, 'dtype' | 'shape'>): Promise<Uint8Array> => {
    const raw = { ...part, dtype: 'uint8', shape: [part.byteLength], quantization: undefined } as const;
    return (await read(raw)).data as Uint8Array;
  };
  const values = dequantizeBlocks({
    integers: await bytes(ref),
    scales: (await read(scales)).data as Uint16Array,
    zeroPoints: zeroPoints && (await bytes(zeroPoints)),
  });
  return tensor('float32', shape, values);
}

/**
 * @file LoRA for decoders: which linear projections are adapted, its start from the checkpoint's singular vectors, and
 * merging a trained LoRA into its checkpoint, W + s B A, with one weight in memory at a time.
 */

import { realpath } from 'node:fs/promises';
import { ComputationError, InputError } from '../../base/index.js';
import {
  type Checkpoint,
  readWeight,
  requireWeight,
  storedTensor,
  type WeightRef,
} from '../../checkpoints/index.js';
import {
  type DType,
  encodeFloats,
  float32Of,
  type StreamedTensor,
  streamSafetensors,
  type Tensor,
} from '../../engine/tensor/index.js';
import type { ParameterShape } from '../../engine/training/index.js';
import {
  type AdaptedModule,
  initialLoraTensors,
  type LoraConfig,
  loraScale,
  loraShapes,
  PEFT_PREFIX,
  principalLoraTensors,
} from '../../nn/index.js';
import { attentionProjections, type DecoderConfig, type Projection, projections } from './decoder-config.js';
import { decoderFamilyOf } from './decoder-families.js';

/** Checkpoint path of a projection: `model.layers.0.self_attn.q_proj`. */
export function projectionPath(layer: number, projection: Projection): string {
  const isAttention = attentionProjections.some((known) => known === projection);
  const block = isAttention ? 'self_attn' : 'mlp';
  return `model.layers.${layer}.${block}.${projection}`;
}

/** Weight shape [out, in]. */
export function projectionShape(config: DecoderConfig, projection: Projection): [number, number] {
  const { hiddenSize, intermediateSize, headDim } = config;
  const queryWidth = config.numAttentionHeads * headDim;
  const keyValueWidth = config.numKeyValueHeads * headDim;
  const shapes: Record<Projection, [number, number]> = {
    q_proj: [queryWidth, hiddenSize],
    k_proj: [keyValueWidth, hiddenSize],
    v_proj: [keyValueWidth, hiddenSize],
    o_proj: [hiddenSize, queryWidth],
    gate_proj: [intermediateSize, hiddenSize],
    up_proj: [intermediateSize, hiddenSize],
    down_proj: [hiddenSize, intermediateSize],
  };
  return shapes[projection];
}

/** @throws InputError for a LoRA target that the model's family does not have */
export function checkLoraTargets(config: DecoderConfig, targets: readonly string[]): void {
  const { title, loraTargets } = decoderFamilyOf(config);
  const unknown = targets.find((target) => !loraTargets.some((known) => known === target));
  if (unknown !== undefined) {
    throw new InputError(
      `LoRA target "${unknown}" is not a projection of ${title}; it has ${loraTargets.join(', ')}`,
    );
  }
}

/**
 * The modules that a LoRA adapts, in layer order.
 * @throws InputError for a target that the model's family does not have
 */
export function adaptedModules(config: DecoderConfig, { targets }: LoraConfig): AdaptedModule[] {
  checkLoraTargets(config, targets);
  const adapted = projections.filter((projection) => targets.includes(projection));
  return Array.from({ length: config.numHiddenLayers }, (_, layer) =>
    adapted.map((projection) => ({
      path: projectionPath(layer, projection),
      shape: projectionShape(config, projection),
    })),
  ).flat();
}

/** Every LoRA parameter with its shape. */
export function loraParameters(config: DecoderConfig, lora: LoraConfig): ParameterShape[] {
  return adaptedModules(config, lora).flatMap((module) => loraShapes(module, lora));
}

/** LoRA parameters at the start of training: the update is exactly zero, and the values depend only on the seed. */
export function initialLora(
  config: DecoderConfig,
  lora: LoraConfig,
  seed: number,
): Map<string, Tensor<'float32'>> {
  return initialLoraTensors(adaptedModules(config, lora), lora, seed);
}

/**
 * LoRA parameters that start from the largest singular values of the weights they adapt; the update is exactly zero.
 * One weight is in memory at a time. Quantized weights are dequantized for it.
 * @throws InputError for a rank above the smaller side of a weight, or a weight that the checkpoint does not have
 */
export async function principalLora(
  checkpoint: Checkpoint,
  config: DecoderConfig,
  lora: LoraConfig,
  seed: number,
): Promise<Map<string, Tensor<'float32'>>> {
  const tensors = new Map<string, Tensor<'float32'>>();
  for (const module of adaptedModules(config, lora)) {
    const least = Math.min(...module.shape);
    if (lora.rank > least) {
      throw new InputError(
        `lora.rank ${lora.rank} is more than the ${least} singular values of ${module.path}; lora.init pissa needs a smaller rank`,
      );
    }
    const weight = float32Of(
      await readWeight(requireWeight(checkpoint, `${module.path}.weight`, module.shape)),
    );
    for (const [key, value] of principalLoraTensors(module, lora, weight, seed)) tensors.set(key, value);
  }
  return tensors;
}

/**
 * Type of the merged weights: `float32` keeps the full precision of the sum, `stored` rounds it to the checkpoint's own
 * type. Weights without LoRA are copied byte for byte either way. Quantized weights, merged or not, are dequantized;
 * their own type is that from before they were quantized.
 */
export type MergedDtype = 'float32' | 'stored';

export interface MergeOptions {
  /** Default `float32`. */
  readonly mergedDtype?: MergedDtype;
  /** Called after each weight with the number written and the total. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** A and B of one adapted weight, and with `pissa` what they started from. */
interface LoraPair {
  a: Tensor;
  b: Tensor;
  start?: { readonly a: Tensor; readonly b: Tensor };
}

/**
 * Writes all weights of a checkpoint into one safetensors file, with W + s B A for the adapted ones, or W + s (B A - B0
 * A0) if they started from principal singular vectors. The file is written atomically; memory stays within a few copies of the largest adapted weight.
 * @param parameters LoRA parameters by their PEFT keys
 * @throws InputError when a parameter is not half of a pair that fits a weight, or `outFile` is one of the input files
 */
export async function mergeLora(
  checkpoint: Checkpoint,
  parameters: ReadonlyMap<string, Tensor>,
  lora: LoraConfig,
  outFile: string,
  { mergedDtype = 'float32', onProgress }: MergeOptions = {},
): Promise<void> {
  const target = await realpath(outFile).catch(() => outFile);
  if ([...checkpoint.weights.values()].some(({ path }) => path === target)) {
    throw new InputError(`${outFile} is a weight file of the checkpoint itself; give another file`);
  }
  const tensors = mergedTensors(checkpoint, parameters, lora, mergedDtype);
  let done = 0;
  const counted = tensors.map((tensor) => ({
    ...tensor,
    async *read() {
      yield* tensor.read();
      onProgress?.(++done, tensors.length);
    },
  }));
  await streamSafetensors(outFile, counted, { format: 'pt' });
}

/**
 * The weights of a checkpoint with a LoRA merged in, for streaming; nothing is read yet.
 * @throws InputError when a parameter is not half of a pair that fits a weight
 */
export function mergedTensors(
  checkpoint: Pick<Checkpoint, 'dir' | 'weights'>,
  parameters: ReadonlyMap<string, Tensor>,
  lora: LoraConfig,
  mergedDtype: MergedDtype,
): StreamedTensor[] {
  const pairs = pairByWeight(checkpoint, parameters, lora);
  return [...checkpoint.weights.values()].map((ref): StreamedTensor => {
    const pair = pairs.get(ref.key);
    if (pair === undefined) return storedTensor(ref);
    const dtype = mergedDtype === 'stored' ? (ref.quantization?.sourceDtype ?? ref.dtype) : 'float32';
    return { ...ref, dtype, read: () => mergedBytes(ref, pair, loraScale(lora), dtype) };
  });
}

/** Validated pairs, by the key of the weight they adapt. */
function pairByWeight(
  checkpoint: Pick<Checkpoint, 'dir' | 'weights'>,
  parameters: ReadonlyMap<string, Tensor>,
  lora: LoraConfig,
): Map<string, LoraPair> {
  const { rank } = lora;
  const byPath = new Map<string, Map<string, Tensor>>();
  for (const [key, value] of parameters) {
    const match = /^(.+)\.(lora_[AB](?:_start)?)\.weight$/.exec(key);
    const path = match?.[1]?.startsWith(PEFT_PREFIX) ? match[1].slice(PEFT_PREFIX.length) : undefined;
    if (path === undefined)
      throw new InputError(`"${key}" is not a LoRA parameter (${PEFT_PREFIX}<module>.lora_A.weight)`);
    const halves = byPath.get(`${path}.weight`) ?? new Map<string, Tensor>();
    byPath.set(`${path}.weight`, halves.set(match![2]!, value));
  }
  const pairs = new Map<string, LoraPair>();
  for (const [key, halves] of byPath) {
    const ref = checkpoint.weights.get(key);
    if (ref === undefined)
      throw new InputError(`a LoRA adapts "${key}", which ${checkpoint.dir} does not have`);
    const [out, width] = ref.shape as [number, number];
    const half = (name: string): Tensor => {
      const value = halves.get(name);
      if (value === undefined) throw new InputError(`the LoRA of "${key}" is missing its ${name}`);
      return value;
    };
    const pairOf = (suffix: string): { a: Tensor; b: Tensor } => {
      const [a, b] = [half(`lora_A${suffix}`), half(`lora_B${suffix}`)];
      if (a.shape.join() !== `${rank},${width}` || b.shape.join() !== `${out},${rank}`) {
        throw new InputError(
          `the LoRA of "${key}" is A [${a.shape.join(', ')}] and B [${b.shape.join(', ')}]; rank ${rank} on a weight [${ref.shape.join(', ')}] asks for A [${rank}, ${width}] and B [${out}, ${rank}]`,
        );
      }
      return { a, b };
    };
    const isDifference = lora.init === 'pissa' || halves.has('lora_A_start') || halves.has('lora_B_start');
    pairs.set(key, { ...pairOf(''), ...(isDifference && { start: pairOf('_start') }) });
  }
  return pairs;
}

async function* mergedBytes(
  ref: WeightRef,
  pair: LoraPair,
  scale: number,
  dtype: DType,
): AsyncGenerator<Uint8Array> {
  const weight = float32Of(await readWeight(ref));
  const terms = [
    { ...pair, scale },
    ...(pair.start === undefined ? [] : [{ ...pair.start, scale: -scale }]),
  ].map(({ a, b, scale: own }) => ({ a: float32Of(a), b: float32Of(b), scale: own }));
  addProducts(weight, terms, ref.shape as [number, number]);
  const stored = encodeFloats(weight, dtype);
  if (!float32Of({ dtype, shape: ref.shape, data: stored } as Tensor).every(Number.isFinite)) {
    throw new ComputationError(
      `"${ref.key}" with its LoRA has values that ${dtype} cannot hold; the weights or the LoRA are damaged, or too large for that type`,
    );
  }
  yield new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
}

/** A product to add: scale b a, with b [out, r] and a [r, in]. */
interface ScaledProduct {
  readonly a: Float32Array;
  readonly b: Float32Array;
  readonly scale: number;
}

/** Adds products to weight [out, in], in place; each sum in float64, rounded once. */
function addProducts(
  weight: Float32Array,
  products: readonly ScaledProduct[],
  [out, width]: readonly [number, number],
): void {
  const row = new Float64Array(width);
  for (let o = 0; o < out; o++) {
    for (let i = 0; i < width; i++) row[i] = weight[o * width + i]!;
    for (const { a, b, scale } of products) {
      const rank = a.length / width;
      for (let k = 0; k < rank; k++) {
        const factor = scale * b[o * rank + k]!;
        for (let i = 0; i < width; i++) row[i]! += factor * a[k * width + i]!;
      }
    }
    weight.set(row, o * width);
  }
}

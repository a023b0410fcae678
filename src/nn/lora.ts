/** @file Low-rank adaptation (Hu et al., 2022): parameter shapes, initial values and the adapted linear layer. */

import { add, cast, linear, type Value } from '../engine/onnx/index.js';
import { type DType, seededRandom, type Tensor, tensor } from '../engine/tensor/index.js';
import type { ParameterShape } from '../engine/training/index.js';
import { asStored, type Dropout, type Weights } from './weights.js';

/** Settings of an adaptation. */
export interface LoraConfig {
  /** Width r of the low-rank product. */
  readonly rank: number;
  /** The update is (alpha / rank) B A. */
  readonly alpha: number;
  /** Dropout rate on the input of A. */
  readonly dropout: number;
  /** Names of the adapted projections, such as `q_proj`. */
  readonly targets: readonly string[];
}

/** A linear module that is adapted. */
export interface AdaptedModule {
  /** Its checkpoint path: the weight is `<path>.weight`. */
  readonly path: string;
  /** Shape of its weight, [out, in]. */
  readonly shape: readonly [number, number];
}

/** PEFT's prefix for the path of a module. */
export const PEFT_PREFIX = 'base_model.model.';

/** Keys of A and B in PEFT's naming. */
export function loraKeys(path: string): { readonly a: string; readonly b: string } {
  return { a: `${PEFT_PREFIX}${path}.lora_A.weight`, b: `${PEFT_PREFIX}${path}.lora_B.weight` };
}

/** A [r, in] and B [out, r]. */
export function loraShapes(
  { path, shape: [out, width] }: AdaptedModule,
  { rank }: LoraConfig,
): ParameterShape[] {
  const { a, b } = loraKeys(path);
  return [
    { key: a, shape: [rank, width] },
    { key: b, shape: [out, rank] },
  ];
}

/** Scale of B A. */
export function loraScale({ alpha, rank }: LoraConfig): number {
  return alpha / rank;
}

/**
 * Initial values: A uniform within 1 / sqrt(in) (Kaiming with a = sqrt 5, as for a linear layer), B zero. Each A
 * depends only on the seed and its own key.
 */
export function initialLoraTensors(
  modules: readonly AdaptedModule[],
  lora: LoraConfig,
  seed: number,
): Map<string, Tensor<'float32'>> {
  const tensors = new Map<string, Tensor<'float32'>>();
  for (const module of modules) {
    const [a, b] = loraShapes(module, lora) as [ParameterShape, ParameterShape];
    const random = seededRandom(seed, 'lora', a.key);
    const bound = 1 / Math.sqrt(module.shape[1]);
    const start = tensor('float32', a.shape);
    for (let i = 0; i < start.data.length; i++) start.data[i] = (2 * random.uniform() - 1) * bound;
    tensors.set(a.key, start);
    tensors.set(b.key, tensor('float32', b.shape));
  }
  return tensors;
}

/** The frozen linear layer under an adaptation. */
export interface FrozenLinear {
  /** Checkpoint path; also names the LoRA parameters and the dropout site. */
  readonly path: string;
  /** [out, in], as stored. */
  readonly weight: Value;
  /** [out] */
  readonly bias?: Value | undefined;
}

/**
 * x W^T + b: [..., in] of any type -> [..., out] of the weight's type. Operands are rounded to that type, and the sum of
 * products and bias once more, as torch.autocast does.
 */
export function frozenLinear(x: Value, { weight, bias }: FrozenLinear): Value {
  return linear(cast(x, weight.dtype), weight, bias && ofType(bias, weight.dtype));
}

/** A frozen vector in the type of a product: a 16-bit one as it is stored, without a detour over float32. */
function ofType(bias: Value, dtype: DType): Value {
  return bias.dtype === dtype ? bias : cast(asStored(bias), dtype);
}

/**
 * x W^T + b + (alpha / r) dropout(x) A^T B^T: [..., in] of any type -> [..., out] of the weight's type. In 16 bits it
 * rounds where PEFT under torch.autocast does, except for the factor alpha / r, which PEFT applies to the rounded update.
 * @param parameters A and B by their PEFT keys; float32, cast to the weight's type for the products
 */
export function loraLinear(
  x: Value,
  frozen: FrozenLinear,
  lora: LoraConfig,
  parameters: Weights,
  dropout: Dropout,
): Value {
  const [out, width] = frozen.weight.shape as [number, number];
  const { dtype } = frozen.weight;
  const keys = loraKeys(frozen.path);
  const a = cast(parameters(keys.a, [lora.rank, width]), dtype);
  const b = cast(parameters(keys.b, [out, lora.rank]), dtype);
  // Dropout's factors, such as 1 / 0.9, need float32.
  const dropped = dropout(cast(x, 'float32'), lora.dropout, `${frozen.path}.lora_dropout`);
  const narrow = linear(cast(dropped, dtype), a, undefined, loraScale(lora)); // [..., r]: scaling is cheapest here
  return add(frozenLinear(x, frozen), linear(narrow, b));
}

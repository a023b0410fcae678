/**
 * @file Low-rank adaptation (Hu et al., 2022): parameter shapes, initial values and the adapted linear layer. Also its
 * scale by Kalajdzievski (2023), and its start from principal singular vectors (PiSSA; Meng et al., 2024).
 */

import { add, cast, concat, detached, linear, sub, type Value } from '../engine/onnx/index.js';
import { type DType, seededRandom, type Tensor, tensor } from '../engine/tensor/index.js';
import type { ParameterShape } from '../engine/training/index.js';
import { principalPart } from './principal-part.js';
import { asStored, type Dropout, type Weights } from './weights.js';

/**
 * What A and B start from: random values and zeros, or the part of the weight with its largest singular values. This
 * part is subtracted again, so that the model starts unchanged and the weight stays as it is stored.
 */
export const loraStarts = ['kaiming', 'pissa'] as const;

/** Settings of an adaptation. */
export interface LoraConfig {
  /** Width r of the low-rank product. */
  readonly rank: number;
  /** The update is s B A with s = alpha / rank. */
  readonly alpha: number;
  /** s = alpha / sqrt(rank), for which the update does not shrink as the rank grows. Default false. */
  readonly use_rslora?: boolean;
  /** Default `kaiming`. */
  readonly init?: (typeof loraStarts)[number];
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

/** Keys of A and B in PEFT's naming, and of what they started from where the update is the difference from that. */
export function loraKeys(path: string): Readonly<Record<'a' | 'b' | 'startA' | 'startB', string>> {
  const key = (name: string): string => `${PEFT_PREFIX}${path}.${name}.weight`;
  return { a: key('lora_A'), b: key('lora_B'), startA: key('lora_A_start'), startB: key('lora_B_start') };
}

/** Whether a parameter is what A or B started from, which training must not change. */
export function isLoraStart(key: string): boolean {
  return /\.lora_[AB]_start\.weight$/.test(key);
}

/** A [r, in] and B [out, r]; with `pissa` also what they started from. */
export function loraShapes(
  { path, shape: [out, width] }: AdaptedModule,
  { rank, init }: LoraConfig,
): ParameterShape[] {
  const { a, b, startA, startB } = loraKeys(path);
  const [down, up] = [
    [rank, width],
    [out, rank],
  ] as const;
  return [
    { key: a, shape: down },
    { key: b, shape: up },
    ...(init === 'pissa'
      ? [
          { key: startA, shape: down },
          { key: startB, shape: up },
        ]
      : []),
  ];
}

/** Scale of B A. */
export function loraScale({ alpha, rank, use_rslora = false }: LoraConfig): number {
  return alpha / (use_rslora ? Math.sqrt(rank) : rank);
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

/**
 * A and B of a module from its weight's r largest singular values: s B A is that part of the weight, and both factors
 * have the roots of the singular values, as in PEFT's `init_lora_weights="pissa"`. Also under the keys of their starts.
 * @param weight [out, in], row by row
 * @param seed of the search for singular vectors; the values depend on it in their last digits and signs only
 */
export function principalLoraTensors(
  module: AdaptedModule,
  lora: LoraConfig,
  weight: Float32Array,
  seed: number,
): Map<string, Tensor<'float32'>> {
  const [out, width] = module.shape;
  const { rank } = lora;
  const { values, left, right } = principalPart(weight, [out, width], rank, [seed, 'pissa', module.path]);
  const scale = loraScale(lora);
  const a = tensor('float32', [rank, width]);
  const b = tensor('float32', [out, rank]);
  values.forEach((value, k) => {
    const root = Math.sqrt(value / scale);
    for (let i = 0; i < width; i++) a.data[k * width + i] = root * right[k * width + i]!;
    for (let o = 0; o < out; o++) b.data[o * rank + k] = root * left[k * out + o]!;
  });
  const keys = loraKeys(module.path);
  return new Map([
    [keys.a, a],
    [keys.b, b],
    [keys.startA, tensor('float32', a.shape, a.data.slice())],
    [keys.startB, tensor('float32', b.shape, b.data.slice())],
  ]);
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
 * x W^T + b + s dropout(x) A^T B^T: [..., in] of any type -> [..., out] of the weight's type. In 16 bits it rounds where
 * PEFT under torch.autocast does, except for the factor s, which PEFT applies to the rounded update. With `pissa`, the
 * update is s (B A - B0 A0); dropout applies to both parts, so that it is zero at the start with dropout too.
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
  const factors = lora.init === 'pissa' ? differenceFactors : plainFactors;
  const { down, up } = factors(parameters, keys, [lora.rank, width], [out, lora.rank]);
  // Dropout's factors, such as 1 / 0.9, need float32.
  const dropped = dropout(cast(x, 'float32'), lora.dropout, `${frozen.path}.lora_dropout`);
  const narrow = linear(cast(dropped, dtype), cast(down, dtype), undefined, loraScale(lora)); // [..., r]: scaling is cheapest here
  return add(frozenLinear(x, frozen), linear(narrow, cast(up, dtype)));
}

/** The update is up down: float32 [out, r or 2 r] and [r or 2 r, in]. */
interface Factors {
  readonly down: Value;
  readonly up: Value;
}

type FactorsOf = (
  parameters: Weights,
  keys: ReturnType<typeof loraKeys>,
  aShape: readonly [number, number],
  bShape: readonly [number, number],
) => Factors;

const plainFactors: FactorsOf = (parameters, keys, aShape, bShape) => ({
  down: parameters(keys.a, aShape),
  up: parameters(keys.b, bShape),
});

/**
 * B A - B0 A0 = (B - B0) A + B0 (A - A0). Differences are formed in float32, before anything is rounded to 16 bits: the
 * two products of the left side are much larger than what training changes.
 */
const differenceFactors: FactorsOf = (parameters, keys, aShape, bShape) => {
  const [a, b] = [parameters(keys.a, aShape), parameters(keys.b, bShape)];
  const [a0, b0] = [detached(parameters(keys.startA, aShape)), detached(parameters(keys.startB, bShape))];
  return { down: concat([a, sub(a, a0)], 0), up: concat([sub(b, b0), b0], 1) };
};

/** @file A linear layer with its low-rank update, as a graph fragment. */

import { add, cast, linear, mul, type Value } from '../../engine/onnx/index.js';
import type { Dropout, Weights } from '../weights.js';
import { type LoraConfig, loraKeys, loraScale } from './lora.js';

/** The frozen linear layer below an adaptation. */
export interface FrozenLinear {
  /** Checkpoint path; names the LoRA parameters and the site of the dropout. */
  readonly path: string;
  /** [out, in], as stored. */
  readonly weight: Value;
  /** [out] */
  readonly bias?: Value | undefined;
}

/** x W^T + b, the product in the type of the weight: float32 [..., in] -> float32 [..., out]. */
export function frozenLinear(x: Value, { weight, bias }: FrozenLinear): Value {
  return cast(linear(cast(x, weight.dtype), weight, bias), 'float32');
}

/**
 * x W^T + b + (alpha / r) dropout(x) A^T B^T: float32 [..., in] -> float32 [..., out].
 * @param parameters A and B by their PEFT keys; float32 masters, cast to the type of the weight for the products
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
  const dropped = dropout(x, lora.dropout, `${frozen.path}.lora_dropout`);
  const narrow = mul(linear(cast(dropped, dtype), a), loraScale(lora)); // [..., r]: the cheap place to scale
  return add(frozenLinear(x, frozen), cast(linear(narrow, b), 'float32'));
}

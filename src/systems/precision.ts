/** @file The precision that a user asks for, on a device and for a checkpoint. */

import type { EncoderSource } from '../backbones/index.js';
import { InputError } from '../base/index.js';
import type { Checkpoint } from '../checkpoints/index.js';
import { type Device, deviceName } from '../engine/runtime/index.js';
import { type DType, dtypeInfo } from '../engine/tensor/index.js';
import type { Precision } from '../nn/index.js';

/** `auto`: bfloat16 on CUDA where the weights are stored in 16 bits, float32 elsewhere. */
export const precisionChoices = ['auto', 'bfloat16', 'float16', 'float32'] as const;
export type PrecisionChoice = (typeof precisionChoices)[number];

/**
 * The precision of a checkpoint's products.
 * @param checkpoint undefined if there is none whose products are reduced
 * @throws InputError for 16 bits on a device that computes in 32
 */
export function resolvePrecision(
  choice: PrecisionChoice,
  device: Device,
  checkpoint: Pick<Checkpoint, 'weights'> | undefined,
): Precision {
  if (choice === 'float32') return choice;
  if (choice !== 'auto' && device.kind !== 'cuda') {
    throw new InputError(
      `--precision ${choice}: onnxruntime has matrix products of 16 bits on CUDA only, not on ${deviceName(device)}; leave it out, or choose --device cuda`,
    );
  }
  if (checkpoint === undefined || device.kind !== 'cuda') return 'float32';
  if (choice !== 'auto') return choice;
  // Packed integers are dequantized to whatever the products are computed in.
  const matrices = [...checkpoint.weights.values()]
    .filter(({ shape, quantization }) => shape.length === 2 && quantization === undefined)
    .map(({ dtype }) => dtype);
  return precisionOnCuda(matrices);
}

/** What `auto` chooses on CUDA, from the types in which the matrices are stored that are not quantized. */
export function precisionOnCuda(stored: readonly DType[]): Precision {
  return stored.every((dtype) => dtypeInfo[dtype].bytes === 2) ? 'bfloat16' : 'float32';
}

/** The precision of a speech encoder's linear layers; an exported encoder has its own. @throws InputError as above */
export function encoderPrecision(
  { checkpoint }: Pick<EncoderSource, 'checkpoint'>,
  { precision = 'auto', device }: { readonly precision?: PrecisionChoice; readonly device: Device },
): Precision {
  return resolvePrecision(precision, device, checkpoint);
}

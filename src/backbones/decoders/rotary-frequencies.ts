/** @file The frequencies of rotary positions (Su et al., 2021), as they are or stretched as Llama 3.1 does. */

import { z } from 'zod';
import { positionCount } from '../config-fields.js';

/** Stretched low frequencies, for texts longer than the model was trained on at first (Llama 3.1). */
export interface Llama3Scaling {
  /** Low frequencies are divided by it. */
  readonly factor: number;
  /** Wavelengths above originalPositions / lowFrequencyFactor are stretched whole. */
  readonly lowFrequencyFactor: number;
  /** Wavelengths under originalPositions / highFrequencyFactor stay; those between are mixed. */
  readonly highFrequencyFactor: number;
  /** Positions of the first training. */
  readonly originalPositions: number;
}

const factor = z.number().min(1).max(1e6);

/** Keys of `rope_type: llama3`, under the key of config.json that holds them. */
export function llama3Fields<const K extends string>(key: K) {
  const scaling = z
    .object({
      factor,
      low_freq_factor: factor,
      high_freq_factor: factor,
      original_max_position_embeddings: positionCount,
    })
    .refine(({ low_freq_factor, high_freq_factor }) => low_freq_factor < high_freq_factor, {
      error: 'low_freq_factor must be less than high_freq_factor',
    })
    .transform(
      (fields): Llama3Scaling => ({
        factor: fields.factor,
        lowFrequencyFactor: fields.low_freq_factor,
        highFrequencyFactor: fields.high_freq_factor,
        originalPositions: fields.original_max_position_embeddings,
      }),
    );
  return z.object({ [key]: scaling } as Record<K, typeof scaling>);
}

// Rounded to float32 at each step, as the models are trained with: a unit in the last place of a frequency is
// multiplied by the position.
const round = Math.fround;

/** theta^(-2i / headDim) for i under headDim / 2, stretched where `scaling` says so. */
export function rotaryFrequencies(
  headDim: number,
  theta: number,
  scaling: Llama3Scaling | undefined,
): number[] {
  const frequencies = Array.from(
    { length: headDim / 2 },
    (_, i) => 1 / round(theta ** round((2 * i) / headDim)),
  );
  return scaling === undefined ? frequencies : frequencies.map((frequency) => stretched(frequency, scaling));
}

/** As transformers' `_compute_llama3_parameters` has it, where a number over a tensor is its reciprocal times the number. */
function stretched(frequency: number, scaling: Llama3Scaling): number {
  const { factor: by, lowFrequencyFactor: low, highFrequencyFactor: high, originalPositions } = scaling;
  const own = round(frequency);
  const wavelength = round(round(1 / own) * round(2 * Math.PI));
  const slow = round(own / by);
  if (wavelength > originalPositions / low) return slow;
  if (wavelength < originalPositions / high) return own;
  const smooth = round(round(round(round(1 / wavelength) * originalPositions) - low) / (high - low));
  return round(round(round(round(1 - smooth) * own) / by) + round(smooth * own));
}

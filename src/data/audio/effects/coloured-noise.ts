/**
 * @file Gaussian noise whose power density falls with frequency: white (flat), pink (1/f, 10 dB a decade) or brown
 * (1/f^2, 20 dB a decade), made from a spectrum of random phases and amplitudes (Timmer and Koenig, 1995).
 */

import { type Random, seededRandom } from '../../../engine/tensor/index.js';
import { SAMPLE_RATE_HZ } from '../decode.js';
import { emptySpectrum, inverseTransform, powerOfTwoFrom } from './fourier.js';

/** The colours, with the power of 1/f of their power density. */
const EXPONENTS = { white: 0, pink: 1, brown: 2 } as const;
export type NoiseColour = keyof typeof EXPONENTS;
export const noiseColours = Object.keys(EXPONENTS) as readonly NoiseColour[];

/**
 * Pink and brown noise have nothing below this. Without a bound, most of the power of brown noise would be below what
 * is heard, and a ratio of powers would say little about the speech.
 */
export const LOWEST_HZ = 50;

/**
 * `length` samples at 16 kHz, of any level.
 * @param seed what the noise depends on, besides its length
 */
export function colouredNoise(
  colour: NoiseColour,
  length: number,
  ...seed: readonly (number | string)[]
): Float32Array {
  const random = seededRandom(...seed);
  const exponent = EXPONENTS[colour];
  if (exponent === 0) return Float32Array.from({ length }, () => random.normal());
  return shapedNoise(length, exponent, random);
}

function shapedNoise(length: number, exponent: number, random: Random): Float32Array {
  const size = powerOfTwoFrom(Math.max(length, SAMPLE_RATE_HZ / LOWEST_HZ));
  const spectrum = emptySpectrum(size);
  const { re, im } = spectrum;
  for (let k = Math.ceil((LOWEST_HZ * size) / SAMPLE_RATE_HZ); k < size / 2; k++) {
    const amplitude = (size / k) ** (exponent / 2);
    // Conjugates in the upper half would make the signal real; the real part of the lower half alone is the same.
    re[k] = random.normal() * amplitude;
    im[k] = random.normal() * amplitude;
  }
  inverseTransform(spectrum);
  return Float32Array.from(re.subarray(0, length));
}

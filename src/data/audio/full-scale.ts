/**
 * @file Float samples that do not lie in [-1, 1]. A float file has no full scale of its own: some programs write
 * integers as floats without dividing them, others leave peaks a little over 1. Neither may be cut off at 1.
 */

import { InputError } from '../../base/index.js';
import type { AudioNote } from './audio-notes.js';

/** Up to this peak (24 dB over) a sound that is not made of whole numbers is a loud one, and is turned down to fit. */
const LOUD_PEAK = 16;
/** How far above an integer range samples may go and still be taken for it (12 dB): filters overshoot. */
const OVERSHOOT = 4;
/** A change of level under 1 dB is not worth a note. */
const TOLD_FROM = 1.12;

const INTEGER_BITS = [16, 24, 32] as const;

/** What samples are to be divided by. */
export interface FullScale {
  divisor: number;
  note?: AudioNote | undefined;
}

/** The largest magnitude, leaving out what is no finite number. */
export function peakOf(samples: Float32Array): number {
  let peak = 0;
  for (const value of samples) {
    const size = Math.abs(value);
    if (size > peak && size < Number.POSITIVE_INFINITY) peak = size;
  }
  return peak;
}

/**
 * The full scale of float samples. Up to a peak of 1 they are as they should be. Beyond it they are divided by their
 * peak, or by the full scale of the smallest integer range that holds them (16, 24 or 32 bits) where they are whole
 * numbers or larger than any loud sound: samples of a 16-bit file that were written as floats come out as its own do.
 * @param filePeak the largest magnitude that is known of the file they are part of
 * @throws InputError naming `name` where no range holds them
 */
export function fullScaleOf(samples: Float32Array, filePeak: number, name: string): FullScale {
  const peak = Math.max(peakOf(samples), filePeak);
  if (peak <= 1) return { divisor: 1 };
  if (peak <= LOUD_PEAK && !samples.every((value) => Number.isInteger(value) || !Number.isFinite(value))) {
    if (peak < TOLD_FROM) return { divisor: peak };
    const decibels = (20 * Math.log10(peak)).toFixed(1);
    const text = `its float samples go up to ${Number(peak.toPrecision(3))}: turned down by ${decibels} dB`;
    return { divisor: peak, note: { kind: 'rescaled', text } };
  }
  const bits = INTEGER_BITS.find((width) => peak <= OVERSHOOT * 2 ** (width - 1));
  if (bits === undefined) {
    throw new InputError(
      `audio file ${name} holds samples up to ${peak.toPrecision(3)}, beyond the range of floats and integers; convert it to 16-bit WAV`,
    );
  }
  const text = `its float samples are in the range of ${bits}-bit integers: divided by that`;
  return { divisor: Math.max(peak, 2 ** (bits - 1)), note: { kind: 'rescaled', text } };
}

/** @file Reverberation: speech as in the room of an impulse response. */

import { emptySpectrum, inverseTransform, powerOfTwoFrom, transform } from './fourier.js';
import { powerOf } from './levels.js';

/**
 * The convolution with an impulse response, from its peak on, so that the direct sound stays in place; as long as the
 * clip, and with its power.
 */
export function reverberated(samples: Float32Array, response: Float32Array): Float32Array {
  const start = peakIndex(response);
  const whole = convolution(samples, response);
  const heard = whole.subarray(start, start + samples.length);
  const power = powerOf(heard);
  if (power === 0) return samples;
  const factor = Math.sqrt(powerOf(samples) / power);
  return heard.map((value) => factor * value);
}

/** Index of the first sample of the largest magnitude. */
export function peakIndex(samples: Float32Array): number {
  let index = 0;
  for (let t = 1; t < samples.length; t++) {
    if (Math.abs(samples[t]!) > Math.abs(samples[index]!)) index = t;
  }
  return index;
}

/** All of x * h: [N] and [M] to [N + M - 1]. */
function convolution(x: Float32Array, h: Float32Array): Float32Array {
  const length = x.length + h.length - 1;
  const size = powerOfTwoFrom(length);
  const [a, b] = [emptySpectrum(size), emptySpectrum(size)];
  a.re.set(x);
  b.re.set(h);
  transform(a);
  transform(b);
  for (let k = 0; k < size; k++) {
    const re = a.re[k]! * b.re[k]! - a.im[k]! * b.im[k]!;
    a.im[k] = a.re[k]! * b.im[k]! + a.im[k]! * b.re[k]!;
    a.re[k] = re;
  }
  inverseTransform(a);
  return Float32Array.from(a.re.subarray(0, length));
}

/**
 * @file Bytes of integer and float samples to numbers in [-1, 1], also of integers smaller than their bytes; and what full scale
 * is for floats that lie beyond 1.
 */

import { InputError } from '../../base/index.js';
import type { AudioNote } from './audio-notes.js';

/** How samples lie in a file. */
export interface SampleLayout {
  encoding: 'pcm' | 'float';
  /** Bits of a sample, without those that fill up its bytes. */
  bitsPerSample: number;
  /** Bytes that a sample of one channel takes. */
  sampleBytes: number;
  /** Integers smaller than their bytes lie at the upper end, as an extensible header promises. */
  leftJustified: boolean;
}

/**
 * Little-endian samples: integers over 2^(bits-1), 8-bit ones are unsigned around 128, floats as they are.
 * @throws InputError naming `name` where it cannot be told how integers lie in their bytes
 */
export function decodeSamples(bytes: Buffer, layout: SampleLayout, name: string): Float32Array {
  const { encoding, bitsPerSample, sampleBytes } = layout;
  const count = Math.floor(bytes.byteLength / sampleBytes);
  // Whole arrays at once where JavaScript has one of that kind; it needs its bytes at an even place in memory.
  const aligned = (): ArrayBuffer => new Uint8Array(bytes.subarray(0, count * sampleBytes)).buffer;
  if (encoding === 'float') {
    return sampleBytes === 4 ? new Float32Array(aligned()) : Float32Array.from(new Float64Array(aligned()));
  }
  if (sampleBytes === 1) return Float32Array.from({ length: count }, (_, i) => (bytes[i]! - 128) / 128);
  const integers =
    sampleBytes === 4
      ? new Int32Array(aligned())
      : sampleBytes === 2
        ? new Int16Array(aligned())
        : readTriples(bytes, count);
  const containerBits = sampleBytes * 8;
  if (bitsPerSample === containerBits) return scaled(integers, 2 ** (containerBits - 1));
  return decodeSmaller(integers, layout, name);
}

/**
 * Integers that do not fill their bytes. The specification puts them at the upper end, with zeros below; others put
 * them at the lower end, with copies of the sign or zeros above. The samples show which.
 */
function decodeSmaller(
  integers: Int32Array | Int16Array,
  { bitsPerSample, sampleBytes, leftJustified }: SampleLayout,
  name: string,
): Float32Array {
  const containerBits = sampleBytes * 8;
  const spareBits = containerBits - bitsPerSample;
  if (bitsPerSample <= 8 && !leftJustified) throw undecided(name, bitsPerSample, sampleBytes); // perhaps unsigned
  const spareMask = 2 ** spareBits - 1;
  const half = 2 ** (bitsPerSample - 1);
  const mayBeFloats = !leftJustified && bitsPerSample === 24 && sampleBytes === 4;
  const floats = mayBeFloats ? floatsOf(integers) : undefined;
  if (floats) return floats;
  if (integers.every((value) => (value & spareMask) === 0)) return scaled(integers, 2 ** (containerBits - 1));
  const signed = integers.every((value) => value >= -half && value < half);
  if (signed) return scaled(integers, half);
  const isZeroAbove = integers.every((value) => value >= 0 && value < 2 * half);
  if (isZeroAbove) {
    return scaled(
      integers.map((value) => (value >= half ? value - 2 * half : value)),
      half,
    );
  }
  if (leftJustified) return scaled(integers, 2 ** (containerBits - 1)); // with something below
  throw undecided(name, bitsPerSample, sampleBytes);
}

/**
 * Cool Edit wrote floats in the range of 16 bits and called them integers of 24 bits in blocks of 4 bytes. Integers
 * look otherwise: read as floats, small negative ones are no numbers, and small positive ones next to nothing.
 */
function floatsOf(integers: Int32Array | Int16Array): Float32Array | undefined {
  const floats = new Float32Array(integers.buffer);
  let peak = 0;
  for (const value of floats) {
    const size = Math.abs(value);
    if (!(size === 0 || (size > 1e-6 && size < 2 ** 17))) return undefined;
    if (size > peak) peak = size;
  }
  return peak > 8 ? floats.map((value) => value / 2 ** 15) : undefined;
}

function undecided(name: string, bits: number, sampleBytes: number): InputError {
  return new InputError(
    `audio file ${name} has ${bits}-bit samples in blocks of ${sampleBytes} bytes, and it cannot be told how they lie there; convert it to 16-bit WAV`,
  );
}

function readTriples(bytes: Buffer, count: number): Int32Array {
  const integers = new Int32Array(count);
  for (let i = 0, at = 0; i < count; i++, at += 3) {
    integers[i] = ((bytes[at]! << 8) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 24)) >> 8;
  }
  return integers;
}

function scaled(integers: Int16Array | Int32Array, fullScale: number): Float32Array {
  const samples = new Float32Array(integers.length);
  for (let i = 0; i < samples.length; i++) samples[i] = integers[i]! / fullScale;
  return samples;
}

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

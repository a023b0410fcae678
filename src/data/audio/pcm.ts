/**
 * @file Converts integer and float samples to mono in [-1, 1]. Handles integers narrower than their bytes, floats
 * beyond full scale, and the choice of channel: the requested one, the centre of surround sound, or the mean of the
 * others.
 */

import { InputError } from '../../base/index.js';
import { type AudioNote, isNarrow } from './ffmpeg-metadata.js';

/** Storage format of samples in a file. */
export interface SampleLayout {
  encoding: 'pcm' | 'float';
  /** Bits of a sample, without padding bits. */
  bitsPerSample: number;
  /** Bytes per sample of one channel. */
  sampleBytes: number;
  /** Integers narrower than their bytes are left-justified, as an extensible header promises. */
  leftJustified: boolean;
}

/**
 * Decodes little-endian samples: integers divided by 2^(bits-1), 8-bit ones unsigned around 128, floats as they are.
 * @throws InputError naming `name` if the alignment of integers in their bytes cannot be determined
 */
export function decodeSamples(bytes: Buffer, layout: SampleLayout, name: string): Float32Array {
  const { encoding, bitsPerSample, sampleBytes } = layout;
  const count = Math.floor(bytes.byteLength / sampleBytes);
  // Converts whole arrays where JavaScript has a matching typed array, which needs aligned bytes.
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
 * Integers that do not fill their bytes. The specification puts them in the high bits, with zeros below; some writers
 * put them in the low bits, with copies of the sign or zeros above. The samples show which.
 */
function decodeSmaller(
  integers: Int32Array | Int16Array,
  { bitsPerSample, sampleBytes, leftJustified }: SampleLayout,
  name: string,
): Float32Array {
  const containerBits = sampleBytes * 8;
  const spareBits = containerBits - bitsPerSample;
  if (bitsPerSample <= 8 && !leftJustified) throw undecided(name, bitsPerSample, sampleBytes); // may be unsigned
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
  if (leftJustified) return scaled(integers, 2 ** (containerBits - 1)); // with non-zero low bits
  throw undecided(name, bitsPerSample, sampleBytes);
}

/**
 * Cool Edit wrote floats in the 16-bit range and labelled them as 24-bit integers in 4-byte blocks. Real integers look
 * different when read as floats: small negative ones are NaN, and small positive ones are almost zero.
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

/**
 * Up to this peak (24 dB over full scale), samples that are not whole numbers are taken for loud audio and scaled down.
 */
const LOUD_PEAK = 16;
/** How far samples may exceed an integer range and still be taken for it (12 dB): filters overshoot. */
const OVERSHOOT = 4;
/** A level change of less than 1 dB is not worth a note. */
const NOTED_FROM = 1.12;

const INTEGER_BITS = [16, 24, 32] as const;

/** The divisor for samples. */
export interface FullScale {
  divisor: number;
  note?: AudioNote | undefined;
}

/** The largest magnitude, ignoring non-finite values. */
export function peakOf(samples: Float32Array): number {
  let peak = 0;
  for (const value of samples) {
    const size = Math.abs(value);
    if (size > peak && size < Number.POSITIVE_INFINITY) peak = size;
  }
  return peak;
}

/**
 * The full scale of float samples. A peak of up to 1 is normal. Beyond it, samples are divided by their peak; or, if
 * they are whole numbers or larger than any loud audio, by the full scale of the smallest integer range that contains
 * them (16, 24 or 32 bits). A 16-bit file converted to floats then gives the same samples as the original.
 * @param peak the largest magnitude of the samples, or of the file if that is known
 * @param isWhole whether all of them are whole numbers; asked if it matters
 * @throws InputError naming `name` if no range contains them
 */
export function fullScaleOf(peak: number, isWhole: () => boolean, name: string): FullScale {
  if (peak <= 1) return { divisor: 1 };
  if (peak <= LOUD_PEAK && !isWhole()) {
    if (peak < NOTED_FROM) return { divisor: peak };
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

/** Whether all samples are whole numbers; those that are not finite count as such. */
export function areWhole(samples: Float32Array): boolean {
  return samples.every((value) => Number.isInteger(value) || !Number.isFinite(value));
}

/**
 * Which channel becomes the mono signal. `auto` takes the centre channel if the layout has one (in film and television
 * it carries the speech) and mixes everything else; `mix` is the plain mean of all channels except the low-frequency
 * one; a number picks a channel, counted from 1.
 */
export type ChannelChoice = 'auto' | 'mix' | number;

/** Interleaved samples: frame by frame, one value per channel. */
export interface InterleavedAudio {
  samples: Float32Array; // [frames * channels]
  channels: number;
  /** WAVEFORMATEXTENSIBLE speaker mask; 0 if the layout is not known. */
  channelMask: number;
}

export interface MonoAudio {
  samples: Float32Array; // [frames]
  /** The channels it is mixed from, counted from 0. */
  picked: readonly number[];
  /** Present if the choice differs from what the layout alone would give. */
  note?: AudioNote | undefined;
}

const FRONT_CENTRE = 0x4;
const LOW_FREQUENCY = 0x8;

/**
 * Channels cancel if their mean has less than this share of the energy that uncorrelated channels would have (-10 dB):
 * for two equally loud ones, a correlation below -0.9. A stereo file with inverted polarity on one side is at 0.
 */
const CANCELLED_SHARE = 0.1;

/**
 * A channel as written by users: a number from 1 (tables may contain `2.0`), or `mix`.
 * @returns undefined if it is neither
 */
export function parseChannel(text: string): ChannelChoice | undefined {
  const cell = text.trim().toLowerCase();
  if (cell === 'mix') return 'mix';
  const number = /^(\d{1,5})(?:\.0+)?$/.exec(cell)?.[1];
  return number === undefined || Number(number) < 1 ? undefined : Number(number);
}

/**
 * Interleaved audio to mono. If the channels cancel in the mean, the loudest is used alone; if the centre of a surround
 * clip is silent, the mean of the others.
 * @throws RangeError when a numbered channel does not exist
 */
export function toMono(audio: InterleavedAudio, choice: ChannelChoice = 'auto'): MonoAudio {
  const mixes = new Map<string, Float32Array>();
  const mixOf = (picked: readonly number[]): Float32Array => {
    const name = picked.join();
    if (!mixes.has(name)) mixes.set(name, averageOf(audio, picked));
    return mixes.get(name)!;
  };
  const { picked, note } = pickChannels(audio, choice, (mixed) => extentOf(mixOf(mixed)));
  return { samples: mixOf(picked), picked, note };
}

/** Range and energy of a signal, kept up piece by piece. */
export interface SignalExtent {
  frames: number;
  lowest: number;
  highest: number;
  sum: number;
  squares: number;
}

export function emptyExtent(): SignalExtent {
  const [lowest, highest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  return { frames: 0, lowest, highest, sum: 0, squares: 0 };
}

/** The extent of a signal, or of one that continues an earlier piece. */
export function extentOf(samples: Float32Array, extent = emptyExtent()): SignalExtent {
  let { lowest, highest, sum, squares } = extent;
  for (const value of samples) {
    if (value < lowest) lowest = value;
    if (value > highest) highest = value;
    sum += value;
    squares += value * value;
  }
  return Object.assign(extent, { lowest, highest, sum, squares, frames: extent.frames + samples.length });
}

/** The channels that make up the mono signal, from 0, and why if the layout alone would give others. */
export type ChannelPick = Pick<MonoAudio, 'picked' | 'note'>;

type Layout = Pick<InterleavedAudio, 'channels' | 'channelMask'>;

/**
 * The choice of `toMono`, from the extents of mixes of channels, in the scale of [-1, 1].
 * @throws RangeError when a numbered channel does not exist
 */
export function pickChannels(
  { channels, channelMask }: Layout,
  choice: ChannelChoice,
  extent: (mixed: readonly number[]) => SignalExtent,
): ChannelPick {
  if (typeof choice === 'number' && !(choice >= 1 && choice <= channels)) {
    const has = channels === 1 ? 'it has 1 channel' : `it has ${channels} channels`;
    throw new RangeError(`channel ${choice} does not exist: ${has}`);
  }
  if (channels === 1) return { picked: [0] };
  if (typeof choice === 'number') return { picked: [choice - 1] };
  const isMute = (mixed: readonly number[]): boolean => isNarrow(extent(mixed));
  const { centre, others } = speakersOf(channels, channelMask);
  if (choice === 'auto' && channels > 2 && centre !== undefined) {
    if (!isMute([centre])) return { picked: [centre] };
    const rest = pickOfMix(
      others.filter((channel) => channel !== centre),
      extent,
    );
    if (isMute(rest.picked)) return { picked: [centre] };
    return {
      ...rest,
      note: { kind: 'channel', text: 'the centre channel is silent: the other channels were taken' },
    };
  }
  return pickOfMix(others, extent);
}

/** All mixes whose extents `pickChannels` may ask for; one channel at least, whatever the choice. */
export function possibleMixes({ channels, channelMask }: Layout, choice: ChannelChoice): number[][] {
  if (channels === 1) return [[0]];
  if (typeof choice === 'number') return [[Math.min(choice, channels) - 1]];
  const { centre, others } = speakersOf(channels, channelMask);
  const rest = others.filter((channel) => channel !== centre);
  const mixes = [others, rest, ...others.map((channel) => [channel])].filter((mixed) => mixed.length > 0);
  return [...new Map(mixes.map((mixed) => [mixed.join(), mixed])).values()];
}

/** All of the channels, or the loudest alone if they cancel. */
function pickOfMix(
  picked: readonly number[],
  extent: (mixed: readonly number[]) => SignalExtent,
): ChannelPick {
  if (picked.length < 2) return { picked };
  const energies = picked.map((channel) => energyOf(extent([channel])));
  const unrelated = energies.reduce((sum, energy) => sum + energy, 0) / picked.length ** 2;
  if (energyOf(extent(picked)) >= CANCELLED_SHARE * unrelated) return { picked };
  const loudest = picked[energies.indexOf(Math.max(...energies))]!;
  if (isNarrow(extent([loudest]))) return { picked }; // nothing to lose
  const text = `its ${picked.length} channels cancel each other when mixed: channel ${loudest + 1} was taken alone`;
  return { picked: [loudest], note: { kind: 'channel', text } };
}

/** The mean of some channels. */
export function averageOf({ samples, channels }: InterleavedAudio, picked: readonly number[]): Float32Array {
  if (channels === 1) return samples;
  const frames = Math.floor(samples.length / channels);
  const mono = new Float32Array(frames);
  for (let frame = 0; frame < frames; frame++) {
    let sum = 0;
    for (const channel of picked) sum += samples[frame * channels + channel]!;
    mono[frame] = sum / picked.length;
  }
  return mono;
}

/** Sum of squares around the mean, so that a DC offset does not count. */
function energyOf({ sum, squares, frames }: SignalExtent): number {
  return frames === 0 ? 0 : Math.max(0, squares - (sum * sum) / frames);
}

/**
 * The centre channel, and the channels for a mix. Channels are stored in the order of the mask's bits, from the lowest.
 */
function speakersOf(channels: number, mask: number): { centre?: number | undefined; others: number[] } {
  const speakers: number[] = [];
  for (let bit = 0; bit < 18; bit++) if (mask & (1 << bit)) speakers.push(1 << bit);
  const all = Array.from({ length: channels }, (_, channel) => channel);
  if (speakers.length !== channels) return { others: all }; // no layout, or an inconsistent one
  const centre = speakers.indexOf(FRONT_CENTRE);
  return {
    centre: centre < 0 ? undefined : centre,
    others: all.filter((channel) => speakers[channel] !== LOW_FREQUENCY),
  };
}

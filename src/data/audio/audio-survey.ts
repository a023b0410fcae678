/**
 * @file Reads a recording once, before it is cut into windows, to learn what depends on all of it: its length, the
 * full scale of its floats, the channels to use, and its level every 10 ms.
 */

import type { AudioSource, SourceEnd } from './audio-stream.js';
import type { AudioPart } from './decode.js';
import { choosing, noSamples, notNumber, SAMPLE_RATE_HZ } from './decode.js';
import type { Way } from './ffmpeg.js';
import type { AudioNote } from './ffmpeg-metadata.js';
import {
  areWhole,
  averageOf,
  emptyExtent,
  extentOf,
  type FullScale,
  fullScaleOf,
  type InterleavedAudio,
  peakOf,
  pickChannels,
  possibleMixes,
  type SignalExtent,
} from './pcm.js';

/** Samples per level: 10 ms. */
export const LEVEL_SAMPLES = SAMPLE_RATE_HZ / 100;
/** The level of digital silence, in hundredths of a decibel. */
export const NO_LEVEL = -20_000;

/** What a recording is as a whole. */
export interface AudioSurvey {
  /** Samples at 16 kHz. */
  readonly frames: number;
  readonly divisor: number;
  readonly picked: readonly number[];
  /** In the order of `AUDIO_NOTE_KINDS`. */
  readonly notes: readonly AudioNote[];
  /**
   * [ceil(frames / LEVEL_SAMPLES)] power of 10 ms around its mean, in hundredths of a decibel of full scale: 0 for a
   * square wave at full scale.
   */
  readonly levels: Int16Array;
  /** How to read the part again. */
  readonly way: Way;
}

/**
 * Reads all of a part, with about a megabyte per hour and channel in memory.
 * @throws InputError as `decodeAudio`
 */
export async function surveyAudio(
  part: AudioPart,
  source: AudioSource,
  signal: AbortSignal | undefined,
): Promise<AudioSurvey> {
  let way: Way = 'seek';
  let measured = await measure(part, source, way, signal);
  if (measured.end.isSeekLost) {
    way = 'read';
    measured = await measure(part, source, way, signal);
  }
  const { path, channel = 'auto', startSec = 0 } = part;
  const { frames, layout, mixes, end } = measured;
  if (frames === 0 || layout === undefined) throw noSamples(path);
  const { divisor, note: scaleNote }: FullScale = end.isFloat
    ? fullScaleOf(Math.max(measured.peak, source.filePeak), () => measured.isWhole, path)
    : { divisor: 1 };
  const extent = (mixed: readonly number[]): SignalExtent =>
    scaledExtent(mixes.get(mixed.join())?.extent ?? emptyExtent(), divisor);
  const { picked, note } = choosing(path, () => pickChannels(layout, channel, extent));
  const { odd, levels } = mixes.get(picked.join())!;
  if (odd) throw notNumber(path, odd.value, startSec + odd.frame / SAMPLE_RATE_HZ);
  return {
    frames,
    divisor,
    picked,
    notes: [...(note ? [note] : []), ...(scaleNote ? [scaleNote] : []), ...source.notes],
    levels: levels.finish(divisor),
    way,
  };
}

function scaledExtent({ frames, ...extent }: SignalExtent, divisor: number): SignalExtent {
  return {
    frames,
    lowest: extent.lowest / divisor,
    highest: extent.highest / divisor,
    sum: extent.sum / divisor,
    squares: extent.squares / divisor ** 2,
  };
}

/** A mix of channels that may become the mono signal. */
interface Mix {
  readonly channels: readonly number[];
  readonly extent: SignalExtent;
  readonly levels: LevelMeter;
  /** The first sample that is no number. */
  odd?: { value: number; frame: number };
}

interface Measured {
  frames: number;
  peak: number;
  isWhole: boolean;
  layout: Pick<InterleavedAudio, 'channels' | 'channelMask'> | undefined;
  /** By their channels, joined. */
  mixes: Map<string, Mix>;
  end: SourceEnd;
}

async function measure(
  part: AudioPart,
  source: AudioSource,
  way: Way,
  signal: AbortSignal | undefined,
): Promise<Measured> {
  const mixes = new Map<string, Mix>();
  const measured = { frames: 0, peak: 0, isWhole: true, layout: undefined as Measured['layout'], mixes };
  const stream = withinPart(part, source.stream(way, signal));
  let next = await stream.next();
  for (; !next.done; next = await stream.next()) {
    signal?.throwIfAborted();
    const piece = next.value;
    if (!measured.layout) {
      measured.layout = { channels: piece.channels, channelMask: piece.channelMask };
      for (const channels of possibleMixes(piece, part.channel ?? 'auto')) {
        mixes.set(channels.join(), { channels, extent: emptyExtent(), levels: levelMeter() });
      }
    }
    measured.peak = Math.max(measured.peak, peakOf(piece.samples));
    measured.isWhole &&= areWhole(piece.samples);
    for (const mix of mixes.values()) {
      const mono = averageOf(piece, mix.channels);
      if (!mix.odd) {
        const at = mono.findIndex((value) => !Number.isFinite(value));
        if (at >= 0) mix.odd = { value: mono[at]!, frame: measured.frames + at };
      }
      extentOf(mono, mix.extent);
      mix.levels.add(mono);
    }
    measured.frames += piece.samples.length / piece.channels;
  }
  return { ...measured, end: next.value };
}

/**
 * The pieces up to the end of the part: a little more is read, to see whether a file goes on. The rest is read too, so
 * that the source ends by itself and says what is wrong.
 */
export async function* withinPart<E>(
  { maxDurationSec = Number.POSITIVE_INFINITY }: AudioPart,
  pieces: AsyncGenerator<InterleavedAudio, E>,
): AsyncGenerator<InterleavedAudio, E> {
  let left = Math.max(1, Math.round(maxDurationSec * SAMPLE_RATE_HZ));
  try {
    let next = await pieces.next();
    for (; !next.done; next = await pieces.next()) {
      const { samples, channels } = next.value;
      const used = Math.min(left, samples.length / channels);
      left -= used;
      if (used > 0) yield { ...next.value, samples: samples.subarray(0, used * channels) };
    }
    return next.value;
  } finally {
    await pieces.return(undefined as E);
  }
}

interface LevelMeter {
  add(samples: Float32Array): void;
  /** All levels; samples that do not fill the last 10 ms are a level of their own. */
  finish(divisor: number): Int16Array;
}

function levelMeter(): LevelMeter {
  let levels = new Int16Array(1 << 12);
  let [count, filled, sum, squares] = [0, 0, 0, 0];
  const push = (): void => {
    if (count === levels.length) {
      const larger = new Int16Array(2 * count);
      larger.set(levels);
      levels = larger;
    }
    const power = (squares - (sum * sum) / filled) / filled;
    levels[count++] =
      power > 1e-20 ? Math.max(NO_LEVEL, Math.min(32_767, Math.round(1000 * Math.log10(power)))) : NO_LEVEL;
    [filled, sum, squares] = [0, 0, 0];
  };
  return {
    add: (samples) => {
      for (const value of samples) {
        sum += value;
        squares += value * value;
        if (++filled === LEVEL_SAMPLES) push();
      }
    },
    finish: (divisor) => {
      if (filled > 0) push();
      const shift = Math.round(2000 * Math.log10(divisor));
      return levels.slice(0, count).map((level) => Math.max(NO_LEVEL, level - shift));
    },
  };
}

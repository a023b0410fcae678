/** @file A recording of any length as windows, cut at its pauses and decoded one after the other. */

import { InputError } from '../../base/index.js';
import { type AudioSource, openAudio } from './audio-stream.js';
import { type AudioSurvey, LEVEL_SAMPLES, surveyAudio, withinPart } from './audio-survey.js';
import { type AudioPart, SAMPLE_RATE_HZ, withinFullScale } from './decode.js';
import { type AudioNote, clippingNote, isSilent } from './ffmpeg-metadata.js';
import { averageOf, type InterleavedAudio } from './pcm.js';
import { checkWindowRule, DEFAULT_WINDOWS, planWindows, type WindowRule } from './window-plan.js';

export interface WindowOptions extends Omit<AudioPart, 'path'> {
  /** `DEFAULT_WINDOWS` unless given. */
  readonly rule?: WindowRule | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Times in the file, whatever part of it was asked for. */
export interface WindowTimes {
  readonly startSec: number;
  readonly endSec: number;
}

export interface AudioWindow extends WindowTimes {
  /** Mono [frames] at 16 kHz in [-1, 1]. */
  readonly samples: Float32Array;
  /** On this window alone: `silent` or `clipped`. */
  readonly notes: readonly AudioNote[];
}

/** A recording that was surveyed and can be read window by window. */
export interface RecordingWindows {
  /** Of the recording, or of the part that was asked for. */
  readonly durationSec: number;
  /** In order, without overlap; none if there is no audible sound. */
  readonly windows: readonly WindowTimes[];
  /** On the whole: `channel`, `rescaled`, `incomplete`, and `silent` if there is no window. */
  readonly notes: readonly AudioNote[];
  /** Decoded by ffmpeg: another version may give different samples. */
  readonly byFfmpeg: boolean;
  /**
   * Decodes the windows from number `from` on, with one window and a few seconds in memory. Their samples are those
   * that `decodeAudio` gives for the whole part.
   * @throws InputError when the file is not what it was when it was surveyed
   */
  read(from?: number): AsyncGenerator<AudioWindow>;
}

/**
 * Surveys a recording and plans its windows. Everything that depends on the whole recording (the channels to use, the
 * full scale of floats, damage) is found out by this first reading, so it is the same for all windows, and a file that
 * cannot be decoded fails before its first window.
 * @throws InputError as `decodeAudio`, or for a rule that cannot be met
 */
export async function openWindows(path: string, options: WindowOptions = {}): Promise<RecordingWindows> {
  const part: AudioPart = { ...options, path };
  return windowsFrom(part, await openAudio(part), options);
}

/**
 * The windows of samples, which are surveyed and cut as those of a file.
 * @param path what messages call them
 * @param samples mono [frames] at 16 kHz
 * @throws InputError as `openWindows`
 */
export async function windowsOfSamples(
  path: string,
  samples: Float32Array,
  options: Pick<WindowOptions, 'rule' | 'signal'> = {},
): Promise<RecordingWindows> {
  const source: AudioSource = {
    ...{ notes: [], filePeak: 0, byFfmpeg: false },
    async *stream() {
      yield { samples, channels: 1, channelMask: 0 };
      return { isFloat: false, isSeekLost: false };
    },
  };
  return windowsFrom({ path }, source, options);
}

async function windowsFrom(
  part: AudioPart,
  source: AudioSource,
  { rule = DEFAULT_WINDOWS, signal }: Pick<WindowOptions, 'rule' | 'signal'>,
): Promise<RecordingWindows> {
  const { path, startSec = 0 } = part;
  checkWindowRule(rule);
  const survey = await surveyAudio(part, source, signal);
  const ends = planWindows(survey.levels, rule).map(({ first, end }) => ({
    first: first * LEVEL_SAMPLES,
    end: Math.min(end * LEVEL_SAMPLES, survey.frames),
  }));
  const timesOf = ({ first, end }: FrameSpan): WindowTimes => ({
    startSec: startSec + first / SAMPLE_RATE_HZ,
    endSec: startSec + end / SAMPLE_RATE_HZ,
  });
  const silent: AudioNote[] = ends.length === 0 ? [{ kind: 'silent', text: 'no sound' }] : [];
  return {
    durationSec: survey.frames / SAMPLE_RATE_HZ,
    windows: ends.map(timesOf),
    notes: [...silent, ...survey.notes],
    byFfmpeg: source.byFfmpeg,
    read: async function* (from = 0) {
      const stream = withinPart(part, source.stream(survey.way, signal));
      for await (const window of sliced(stream, ends.slice(from), survey, path)) {
        const { channels, own, samples, first, end } = window;
        const mono = withinFullScale(path, samples, startSec + first / SAMPLE_RATE_HZ);
        const clipped = clippingNote(own, channels, survey.picked);
        const notes: AudioNote[] = isSilent(mono)
          ? [{ kind: 'silent', text: 'no sound' }]
          : clipped
            ? [clipped]
            : [];
        yield { ...timesOf({ first, end }), samples: mono, notes };
      }
    },
  };
}

/** In samples at 16 kHz from the start of the part; the end is exclusive. */
interface FrameSpan {
  readonly first: number;
  readonly end: number;
}

interface Slice extends FrameSpan {
  readonly channels: number;
  readonly own: Float32Array; // [frames * channels]
  readonly samples: Float32Array; // [frames]
}

/** Cuts spans out of a stream, which need not be read to its end. */
async function* sliced(
  stream: AsyncIterable<InterleavedAudio>,
  spans: readonly FrameSpan[],
  { divisor, picked }: AudioSurvey,
  path: string,
): AsyncGenerator<Slice> {
  let next = 0;
  let at = 0;
  let own = new Float32Array(0);
  if (spans.length === 0) return;
  for await (const piece of stream) {
    const { channels } = piece;
    const until = at + piece.samples.length / channels;
    while (next < spans.length && spans[next]!.first < until) {
      const { first, end } = spans[next]!;
      if (first >= at) own = new Float32Array((end - first) * channels);
      const [from, to] = [Math.max(first, at), Math.min(end, until)];
      const used = piece.samples.subarray((from - at) * channels, (to - at) * channels);
      own.set(divisor === 1 ? used : used.map((value) => value / divisor), (from - first) * channels);
      if (end > until) break;
      // A mix of one channel shares its samples, which are clipped to full scale later.
      const samples = averageOf(
        { samples: channels === 1 ? own.slice() : own, channels, channelMask: 0 },
        picked,
      );
      yield { first, end, channels, own, samples };
      next += 1;
    }
    if (next === spans.length) return;
    at = until;
  }
  throw new InputError(`audio file ${path} is shorter than when it was read first: did it change meanwhile?`);
}

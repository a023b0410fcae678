/**
 * @file The audio of a row, as one or several parts to be judged. A row that cannot be read has one part, with the
 * reason.
 */

import { errorMessage, InputError } from '../../base/index.js';
import {
  type Alteration,
  type ChannelChoice,
  DEFAULT_WINDOWS,
  decodeAudio,
  openWindows,
  parseChannel,
  SAMPLE_RATE_HZ,
  type WindowRule,
  windowsOfSamples,
} from '../../data/audio/index.js';
import { cellOf, parseTimeSec, TIME_FORMS, textOf } from '../../data/tables/index.js';
import {
  CHANNEL_COLUMN,
  type InputColumns,
  type PredictionSource,
  rowName,
  type SourceRow,
} from './prediction-source.js';

/** The topic of a row's note: the audio was cut, or one of `AudioNoteKind`. */
export interface RowNote {
  readonly kind: string;
  readonly text: string;
}

/** On a text that a recogniser did not get to the end of. */
export const CUT_RECOGNITION: RowNote = {
  kind: 'recognition',
  text: 'the text reached the longest that the recogniser writes, and is cut there',
};

/** Something to be judged, the reason why it cannot be, or that windows follow. */
export type Part = ReadablePart | FailedPart | LongRecording;

/** A recording that is judged in windows, whose decoding begins with the next part. */
export interface LongRecording {
  readonly kind: 'long';
}

/** What was judged in windows, as a whole. */
export interface WindowedRecording {
  readonly startSec: number;
  readonly endSec: number;
  readonly notes: readonly RowNote[];
}

/** How recordings are judged that are too long: by their beginning, in windows cut at pauses, or on a grid in seconds. */
export type WindowChoice = 'off' | 'auto' | number;

export interface ReadablePart {
  readonly kind: 'readable';
  /** The recording's path, or the row's name for a model that reads no audio. */
  readonly path: string;
  /** Mono [frames] at 16 kHz; undefined for a model that reads no audio. */
  readonly samples: Float32Array | undefined;
  /** Where it is in the recording, in seconds. */
  readonly startSec?: number;
  readonly endSec?: number;
  readonly notes: readonly RowNote[];
}

export interface FailedPart {
  readonly kind: 'failed';
  readonly error: string;
}

export interface PartOptions extends InputColumns {
  /** For every recording without a channel in the table. */
  readonly channel?: ChannelChoice | undefined;
  /** Whether the model reads audio. */
  readonly needsAudio: boolean;
  /** Whether a row without a transcript gets one from its audio. */
  readonly isRecognised?: boolean | undefined;
  /** The most that a model judges at once. */
  readonly maxAudioSec: number;
  readonly windows: WindowChoice;
}

/**
 * The parts of a row, one after the other. Never throws: a row that cannot be read has a failed part. Returns what is
 * known of a recording as a whole that was judged in windows.
 * @param signal ends decoding when nothing of the row is needed any more
 */
export async function* partsOfRow(
  row: SourceRow,
  source: PredictionSource,
  options: PartOptions,
  signal: AbortSignal,
): AsyncGenerator<Part, WindowedRecording | undefined> {
  const { pathColumn, textColumn, windows, maxAudioSec } = options;
  const needsAudio =
    options.needsAudio || (options.isRecognised === true && transcriptOfRow(row, textColumn) === '');
  const failed = (error: string): FailedPart => ({ kind: 'failed', error });
  const column = needsAudio ? pathColumn : textColumn;
  const hasAudio = row.samples !== undefined || cellOf(row, pathColumn) !== '';
  const isEmpty = needsAudio ? !hasAudio : transcriptOfRow(row, textColumn) === '';
  if (row.problem !== undefined) yield failed(`${rowName(row)}: ${row.problem}`);
  else if (isEmpty) yield failed(`${rowName(row)}: column "${column}" is empty`);
  else if (!needsAudio) {
    yield { kind: 'readable', path: cellOf(row, pathColumn), samples: undefined, notes: [] };
  } else {
    try {
      const request = requestOfRow(row, source, options);
      if (row.samples !== undefined) {
        yield segmentOf(row.samples, request, maxAudioSec);
        return undefined;
      }
      const path = await source.files.find(row.fields[pathColumn]!);
      if (row.alteration !== undefined) return yield* alteredParts(path, row.alteration, options, signal);
      const mostSec = typeof windows === 'number' ? windows : maxAudioSec;
      const { part, isLonger } = await decodeSegment(path, request, mostSec, signal);
      if (!isLonger || windows === 'off' || (windows === 'auto' && maxAudioSec < LEAST_MODEL_SEC)) yield part;
      else {
        yield { kind: 'long' };
        return yield* windowsOf(path, request, options, signal);
      }
    } catch (error) {
      yield failed(errorMessage(error));
    }
  }
  return undefined;
}

/** The parts of a recording that is altered as a whole. */
async function* alteredParts(
  path: string,
  alteration: Alteration,
  options: PartOptions,
  signal: AbortSignal,
): AsyncGenerator<ReadablePart, WindowedRecording | undefined> {
  const { samples, notes } = await decodeAudio(path, { channel: options.channel, signal });
  const altered = await alteration.apply(samples, Number.POSITIVE_INFINITY, signal);
  const whole = { startSec: 0, endSec: altered.length / SAMPLE_RATE_HZ, notes };
  if (whole.endSec <= options.maxAudioSec) {
    yield { kind: 'readable', path, samples: altered, ...whole };
    return undefined;
  }
  const windows = await windowsOfSamples(path, altered, { rule: ruleOf(options), signal });
  for await (const window of windows.read()) yield { kind: 'readable', path, ...window };
  return whole;
}

/** For a model that takes less than this at once, pauses make no sensible windows: the beginning is judged. */
const LEAST_MODEL_SEC = 1;

/** Windows by pauses are as long as a model allows, and by default 3 to 15 s. */
function ruleOf({ windows, maxAudioSec }: PartOptions): WindowRule {
  if (typeof windows === 'number') return { kind: 'grid', sec: windows };
  const maxSec = Math.min(DEFAULT_WINDOWS.maxSec, maxAudioSec);
  return { kind: 'pauses', minSec: Math.min(DEFAULT_WINDOWS.minSec, maxSec / 2), maxSec };
}

async function* windowsOf(
  path: string,
  { channel, startSec, endSec }: AudioRequest,
  options: PartOptions,
  signal: AbortSignal,
): AsyncGenerator<ReadablePart, WindowedRecording> {
  const recording = await openWindows(path, {
    ...{ channel, signal, rule: ruleOf(options) },
    ...(startSec > 0 && { startSec }),
    ...(endSec !== undefined && { maxDurationSec: endSec - startSec }),
  });
  const whole = { startSec, endSec: startSec + recording.durationSec, notes: recording.notes };
  refuseLateEnd(path, endSec, whole.endSec);
  for await (const window of recording.read()) yield { kind: 'readable', path, ...window };
  return whole;
}

/** The transcript, unmodified; '' if it is missing. */
export function transcriptOfRow(row: SourceRow, column: string): string {
  return textOf(row, column) === '' ? '' : row.fields[column]!;
}

/** The part of a recording that a row asks for. */
export interface AudioRequest {
  readonly channel: ChannelChoice | undefined;
  readonly startSec: number;
  /** The end of the recording if undefined. */
  readonly endSec: number | undefined;
}

/** @throws InputError when the row's channel, start or end is invalid */
export function requestOfRow(
  row: SourceRow,
  { decimalComma }: PredictionSource,
  { channel }: Pick<PartOptions, 'channel'>,
): AudioRequest {
  const timeSec = (column: 'start' | 'end'): number | undefined => {
    const cell = cellOf(row, column);
    if (cell === '') return undefined;
    const sec = parseTimeSec(cell, decimalComma);
    if (sec === undefined) throw new InputError(`${column} "${cell}" is ${TIME_FORMS}`);
    return sec;
  };
  const [startSec = 0, endSec] = [timeSec('start'), timeSec('end')];
  if (endSec !== undefined && endSec <= startSec) {
    throw new InputError(`end ${cellOf(row, 'end')} is not after start ${cellOf(row, 'start') || 0}`);
  }
  return { channel: channelOfRow(row, channel), startSec, endSec };
}

function channelOfRow(row: SourceRow, fallback: ChannelChoice | undefined): ChannelChoice | undefined {
  const cell = cellOf(row, CHANNEL_COLUMN);
  if (cell === '') return fallback;
  const channel = parseChannel(cell);
  if (channel === undefined) throw new InputError(`channel "${cell}" is neither a number from 1 nor mix`);
  return channel;
}

/** An end may lie beyond the recording by this much, from rounding and codec frames. */
const TOLERANCE_SEC = 0.1;

/** The first `maxDurationSec` of what is asked for, of samples in memory. @throws InputError if there are none */
function segmentOf(
  samples: Float32Array,
  { startSec, endSec }: AudioRequest,
  maxDurationSec: number,
): ReadablePart {
  const wholeSec = samples.length / SAMPLE_RATE_HZ;
  if (endSec !== undefined && endSec > wholeSec + TOLERANCE_SEC) {
    throw new InputError(`the samples have ${wholeSec.toFixed(2)} s, and end before end ${endSec}`);
  }
  const [first, last] = [startSec, endSec ?? wholeSec].map((sec) => Math.round(sec * SAMPLE_RATE_HZ));
  const asked = samples.subarray(first, last);
  if (asked.length === 0) throw new InputError('there are no samples');
  if (!asked.every(Number.isFinite)) throw new InputError('the samples have values that are not numbers');
  const own = asked.subarray(0, Math.round(maxDurationSec * SAMPLE_RATE_HZ));
  const cut = {
    kind: 'cut',
    text: `judged on the first ${Number(maxDurationSec.toFixed(3))} s of ${(asked.length / SAMPLE_RATE_HZ).toFixed(1)} s`,
  };
  const endOfPart = startSec + own.length / SAMPLE_RATE_HZ;
  return {
    ...{ kind: 'readable', path: '', samples: own, startSec, endSec: endOfPart },
    notes: own.length < asked.length ? [cut] : [],
  };
}

/**
 * Decodes the first `maxDurationSec` of what is asked for.
 * @throws InputError as `decodeAudio`, and if start or end lie beyond the recording
 */
async function decodeSegment(
  path: string,
  { channel, startSec, endSec }: AudioRequest,
  maxDurationSec: number,
  signal: AbortSignal,
): Promise<{ part: ReadablePart; isLonger: boolean }> {
  const askedSec = (endSec ?? Number.POSITIVE_INFINITY) - startSec;
  const durationSec = Math.min(askedSec, maxDurationSec);
  const audio = await decodeAudio(path, {
    channel,
    maxDurationSec: durationSec,
    signal,
    ...(startSec > 0 && { startSec }),
  }).catch((error: unknown) => {
    if (startSec === 0 || !errorMessage(error).endsWith('holds no samples')) throw error;
    throw new InputError(`audio file ${path} ends before start ${startSec}`);
  });
  const { samples, isCut, fileSec, notes } = audio;
  const readSec = samples.length / SAMPLE_RATE_HZ;
  const wholeSec = fileSec ?? (isCut ? undefined : startSec + readSec);
  if (wholeSec !== undefined) refuseLateEnd(path, endSec, wholeSec);
  const part = { kind: 'readable', path, samples, startSec, endSec: startSec + readSec } as const;
  // Beyond the part that a row asks for, there is usually more.
  if (!isCut || askedSec <= maxDurationSec) return { part: { ...part, notes }, isLonger: false };
  const availableSec = endSec === undefined ? fileSec && fileSec - startSec : askedSec;
  const isKnown = availableSec !== undefined && availableSec > maxDurationSec;
  const text = `judged on the first ${Number(maxDurationSec.toFixed(3))} s${isKnown ? ` of ${availableSec.toFixed(1)} s` : ''}`;
  return { part: { ...part, notes: [{ kind: 'cut', text }, ...notes] }, isLonger: true };
}

function refuseLateEnd(path: string, endSec: number | undefined, wholeSec: number): void {
  if (endSec === undefined || endSec <= wholeSec + TOLERANCE_SEC) return;
  throw new InputError(`audio file ${path} has ${wholeSec.toFixed(2)} s, and ends before end ${endSec}`);
}

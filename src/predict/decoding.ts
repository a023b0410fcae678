/** @file The sound of the rows of a table: as much of each as a model hears, and what should be known of it. */

import { InputError } from '../base/index.js';
import { type ChannelChoice, decodeAudio, parseChannel } from '../data/audio/index.js';
import { type CsvRow, cellOf } from '../data/tables/index.js';

/** What a row's note is about: the sound was cut, or one of `AudioNoteKind`. */
export interface RowNote {
  readonly kind: string;
  readonly text: string;
}

export interface HeardAudio {
  /** Mono [frames] at 16 kHz. */
  readonly samples: Float32Array;
  readonly notes: readonly RowNote[];
}

/** Of the channel that is heard; need not be there. */
export const CHANNEL_COLUMN = 'channel';

/**
 * The channel that a row of a table asks for.
 * @throws InputError when it is none, to follow the row's line
 */
export function channelOfRow(row: CsvRow, fallback: ChannelChoice | undefined): ChannelChoice | undefined {
  const cell = cellOf(row, CHANNEL_COLUMN);
  if (cell === '') return fallback;
  const channel = parseChannel(cell);
  if (channel === undefined) throw new InputError(`channel "${cell}" is neither a number from 1 nor mix`);
  return channel;
}

/** The first `maxDurationSec` of a recording. @throws InputError as `decodeAudio` */
export async function hear(
  path: string,
  channel: ChannelChoice | undefined,
  maxDurationSec: number,
): Promise<HeardAudio> {
  const { samples, isCut, fileSec, notes } = await decodeAudio(path, { channel, maxDurationSec });
  if (!isCut) return { samples, notes };
  const whole = fileSec !== undefined && fileSec > maxDurationSec ? ` of ${fileSec.toFixed(1)} s` : '';
  const text = `judged on the first ${Number(maxDurationSec.toFixed(3))} s${whole}`;
  return { samples, notes: [{ kind: 'cut', text }, ...notes] };
}

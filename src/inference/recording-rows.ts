/** @file The table of recordings that predictions are asked for: its columns, and who its rows are. */

import { InputError, isSameFile, userTarget } from '../base/index.js';
import { type ChannelChoice, decodeAudio, parseChannel } from '../data/audio/index.js';
import {
  type CsvRow,
  cellOf,
  type RecordingTable,
  readRecordingTable,
  refuseUncutParts,
  textOf,
} from '../data/tables/index.js';

export interface RecordingsInput {
  readonly input: string;
  readonly output: string;
  readonly pathColumn: string;
  /** A column by another name than this default must be there; under it, it need not be. */
  readonly textColumn: string;
  readonly speakerColumn: string;
}

/** Of the speaker's gender, which prompts may name; need not be there. */
export const GENDER_COLUMN = 'gender';

/** Columns that a CSV need not have. */
export const OPTIONAL_COLUMNS = { text: 'text', speaker: 'speaker' } as const;

/**
 * Reads the CSV of recordings, and makes sure that the predictions have a place to go.
 * @param needsAudio false for a model that reads transcripts alone: the table then needs those, and no recordings
 * @throws InputError when the CSV is missing, empty or without a column that was named, when it gives parts of
 *   recordings by start and end, or the output cannot be a file
 */
export async function readRecordings(options: RecordingsInput, needsAudio = true): Promise<RecordingTable> {
  const { input, pathColumn, textColumn, speakerColumn } = options;
  const isNamed = { text: textColumn !== OPTIONAL_COLUMNS.text, speaker: speakerColumn !== 'speaker' };
  const table = await readRecordingTable(input, {
    path: pathColumn,
    needed: [
      ...(isNamed.text || !needsAudio ? [textColumn] : []),
      ...(isNamed.speaker ? [speakerColumn] : []),
    ],
    optional: [
      ...['id', GENDER_COLUMN, CHANNEL_COLUMN],
      ...(isNamed.text ? [] : ['text']),
      ...(isNamed.speaker ? [] : ['speaker']),
    ],
    withoutAudio: needsAudio ? 'never' : 'always',
    otherwise: (column, found) =>
      Object.hasOwn(OPTIONAL_COLUMNS, column) ? `, or say --${column}-column "${found}"` : '',
  });
  if (needsAudio) refuseUncutParts(table, pathColumn, 'cut them first, as emoq prepare-csv does');
  await refuseInputs(options, table);
  return table;
}

/** @throws InputError when the output is a folder, or one of the files that are read, by whatever name */
async function refuseInputs(
  { input, output, pathColumn }: RecordingsInput,
  { rows, files }: RecordingTable,
): Promise<void> {
  const target = await userTarget(output, '-o');
  if (target.kind === 'stream') return;
  if (await isSameFile(input, target.path)) {
    throw new InputError(`output ${output} is the input itself; name another file with -o`);
  }
  if (target.present === undefined) return;
  for (const row of rows) {
    if (cellOf(row, pathColumn) === '') continue;
    const recording = await files.find(row.fields[pathColumn]!).catch(() => undefined);
    if (recording === undefined || !(await isSameFile(recording, target.path))) continue;
    throw new InputError(`output ${output} is the recording of line ${row.line}; name another file with -o`);
  }
}

/** Who a row is, as the predictions name it. */
export interface RowNames {
  readonly identity: readonly ('id' | 'path')[];
  of(row: CsvRow): { readonly id?: string; readonly path?: string };
}

/** By `id` and path where the table has them; without either by the number of the row. */
export function rowNames({ rows, columns, hasPaths }: RecordingTable, pathColumn: string): RowNames {
  const hasIds = columns.includes('id') && pathColumn !== 'id';
  const isNamed = hasIds || rows.some((row) => cellOf(row, pathColumn) !== '');
  if (!isNamed) {
    const numbers = new Map(rows.map((row, index) => [row, String(index + 1)]));
    return { identity: ['id'], of: (row) => ({ id: numbers.get(row)! }) };
  }
  return {
    identity: [...(hasIds ? ['id' as const] : []), ...(hasPaths ? ['path' as const] : [])],
    of: ({ fields }) => ({
      ...(hasIds && { id: fields.id! }),
      ...(hasPaths && { path: fields[pathColumn]! }),
    }),
  };
}

/** The transcript as it stands there; '' where it is missing. */
export function transcriptOfRow(row: CsvRow, column: string): string {
  return textOf(row, column) === '' ? '' : row.fields[column]!;
}

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

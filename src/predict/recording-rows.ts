/** @file The table of recordings that predictions are asked for: its columns, and who its rows are. */

import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { InputError } from '../base/index.js';
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

/** Columns that a CSV need not have. */
export const OPTIONAL_COLUMNS = { text: 'text', speaker: 'speaker' } as const;

/**
 * Reads the CSV of recordings, and makes sure that the predictions have a place to go.
 * @param needsAudio false for a model that reads transcripts alone: the table then needs those, and no recordings
 * @throws InputError when the CSV is missing, empty or without a column that was named, when it gives parts of
 *   recordings by start and end, or the output cannot be a file
 */
export async function readRecordings(options: RecordingsInput, needsAudio = true): Promise<RecordingTable> {
  const { input, output, pathColumn, textColumn, speakerColumn } = options;
  const isNamed = { text: textColumn !== OPTIONAL_COLUMNS.text, speaker: speakerColumn !== 'speaker' };
  const table = await readRecordingTable(input, {
    path: pathColumn,
    needed: [
      ...(isNamed.text || !needsAudio ? [textColumn] : []),
      ...(isNamed.speaker ? [speakerColumn] : []),
    ],
    optional: ['id', ...(isNamed.text ? [] : ['text']), ...(isNamed.speaker ? [] : ['speaker'])],
    withoutAudio: needsAudio ? 'never' : 'always',
    otherwise: (column, found) => (column === 'id' ? '' : `, or say --${column}-column "${found}"`),
  });
  if (needsAudio) refuseUncutParts(table, pathColumn, 'cut them first, as emoq prepare-csv does');
  if (resolve(input) === resolve(output)) {
    throw new InputError(`output ${output} is the input itself; name another file with -o`);
  }
  const present = await stat(output).catch(() => undefined);
  if (present?.isDirectory()) throw new InputError(`output ${output} is a folder; name a file in it with -o`);
  return table;
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

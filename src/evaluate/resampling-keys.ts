/** @file Which utterances a bootstrap draws together, from the rows of a predictions file. */

import { InputError, quoted } from '../base/index.js';
import { dialogueOf } from './dialogue.js';
import type { Prediction } from './predictions.js';
import type { ResamplingUnit } from './statistics/interval.js';

/** How many utterances a message names. */
const ROWS_NAMED = 3;

/**
 * The unit of each row. Rows of one id (or path) and fold are one utterance: with several seeds it is drawn together with
 * the predictions of all of them, or it would count as several and the interval come out too narrow. A row without a name
 * is an utterance of its own.
 * @throws InputError when some row has no speaker or dialogue to resample by
 */
export function resamplingKeys(rows: readonly Prediction[], unit: ResamplingUnit): string[] {
  if (unit === 'utterance') {
    return rows.map((row, index) =>
      nameOf(row) === '' ? `row ${index}` : `${nameOf(row)}\n${row.fold ?? ''}`,
    );
  }
  const keys = rows.map((row) => keyOf(row, unit));
  const without = rows.filter((_, index) => keys[index] === undefined);
  if (without.length === 0) return keys as string[];
  const names = without.slice(0, ROWS_NAMED).map((row) => quoted(nameOf(row)));
  const what =
    without.length === rows.length
      ? `no utterance has a ${unit}`
      : `${without.length} of ${rows.length} utterances have no ${unit}, such as ${names.join(', ')}`;
  throw new InputError(
    `${what}, so they cannot be resampled by it; resample by another unit, or score a predictions file with a column "${unit}"`,
  );
}

/** What an utterance is called in messages; '' where its file gives it neither id nor path. */
export function nameOf({ id, path }: Prediction): string {
  return id ?? path ?? '';
}

function keyOf(row: Prediction, unit: 'speaker' | 'dialogue'): string | undefined {
  if (unit === 'speaker') return row.speaker;
  return row.dialogue ?? (row.id === undefined ? undefined : dialogueOf(row.id));
}

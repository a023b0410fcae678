/** @file The rows of a corpus CSV: which part of which recording, and what is known of it. */

import { lineError } from '../../base/index.js';
import { type ChannelChoice, parseChannel } from '../audio/index.js';
import {
  type CsvRow,
  cellOf,
  isBlank,
  isMissing,
  parseTimeSec,
  type RecordingTable,
  TIME_FORMS,
  textOf,
} from '../tables/index.js';
import { type Segment, segmentName } from './clips/index.js';
import type { Utterance } from './manifest.js';
import { readSplitNames, SPLIT_NAMES_TEXT, type SplitReading } from './split-names.js';

export interface CsvRecording {
  line: number;
  /** Path as the CSV gives it, '' in a corpus without recordings; whether the file is there is another question. */
  path: string;
  segment?: Segment | undefined;
  /** Where the CSV chooses. */
  channel?: ChannelChoice | undefined;
  /** Without path and length, which the prepared clip will have. */
  utterance: Utterance;
}

/** What the rows of one table have in common. */
interface RowReading {
  readonly file: string;
  readonly hasAudio: boolean;
  readonly decimalComma: boolean;
  /** Folders that all paths share. */
  readonly prefix: string;
  readonly splits: SplitReading;
  /** Words for missing values that are labels here. */
  readonly labels: ReadonlySet<string>;
}

/**
 * Reads the rows. An id that is not given is the path without what all paths share and without its ending; that of a
 * segment ends in its times, that of a channel in its number; without recordings it is the number of the row.
 * @param labels labels that are meant although they are words for missing values, such as `None`.
 * @returns the rows, and in a line how split names were read.
 * @throws InputError with file and line: an empty path or label, a time that is none or ends before it starts, a channel
 *   that is none, an unknown split, two utterances of one id; in a table without recordings an empty transcript, a
 *   time or a channel.
 */
export function readRecordings(
  table: RecordingTable,
  labels: Iterable<string>,
): { recordings: CsvRecording[]; splitNote: string | undefined } {
  const { path: file, rows, decimalComma } = table;
  const paths = rows.map((row) => cellOf(row, 'path'));
  const splits = readSplitNames(rows.map((row) => cellOf(row, 'split')));
  const hasTexts = rows.some((row) => textOf(row) !== '');
  const reading: RowReading = {
    file,
    hasAudio: table.hasPaths && (paths.some((path) => path !== '') || !hasTexts),
    decimalComma,
    prefix: commonFolder(rows.map(({ fields }) => fields.path ?? '')),
    splits,
    labels: new Set(labels),
  };
  const lineOf = new Map<string, number>();
  const recordings = rows.map((row, index) => {
    const recording = readRow(row, index, reading);
    const { id } = recording.utterance;
    const earlier = lineOf.get(id);
    if (earlier !== undefined) {
      throw lineError(
        file,
        row.line,
        `id "${id}" is on line ${earlier} already; add a column "id" with unique values`,
      );
    }
    lineOf.set(id, row.line);
    return recording;
  });
  return { recordings, splitNote: splits.note };
}

function readRow(row: CsvRow, index: number, reading: RowReading): CsvRecording {
  const { line, fields } = row;
  const { file, hasAudio, decimalComma, prefix, splits, labels } = reading;
  const known = (column: string): string => cellOf(row, column);
  const refuse = (what: string): never => {
    throw lineError(file, line, what);
  };
  const label = isBlank(fields.label!) ? '' : fields.label!.trim();
  const text = textOf(row);
  for (const column of [hasAudio ? 'path' : 'text', ...('id' in fields ? ['id'] : [])]) {
    if ((column === 'text' ? text : known(column)) === '') refuse(`column "${column}" is empty`);
  }
  if (label === '') refuse('column "label" is empty');
  if (isMissing(label) && !labels.has(label)) {
    refuse(
      `label "${label}" stands for a missing value; give a label or leave the row out (if it is one, --label-map ${label}=other renames it)`,
    );
  }
  const timeSec = (column: 'start' | 'end'): number | undefined => {
    if (known(column) === '') return undefined;
    if (!hasAudio) return refuse(`${column} is given, and there is no recording to cut; add a column "path"`);
    const sec = parseTimeSec(known(column), decimalComma);
    return sec ?? refuse(`${column} "${known(column)}" is ${TIME_FORMS}`);
  };
  const [startSec, endSec] = [timeSec('start'), timeSec('end')];
  if (endSec !== undefined && endSec <= (startSec ?? 0)) {
    refuse(`end ${known('end')} is not after start ${known('start') || 0}`);
  }
  const segment =
    startSec === undefined && endSec === undefined ? undefined : { startSec: startSec ?? 0, endSec };
  const channel = known('channel') === '' ? undefined : parseChannel(known('channel'));
  if (known('channel') !== '' && !hasAudio) {
    refuse('channel is given, and there is no recording to take it from; add a column "path"');
  }
  if (known('channel') !== '' && channel === undefined) {
    refuse(
      `channel "${known('channel')}" is neither a number from 1 nor mix; rename the column if it is not one of audio channels`,
    );
  }
  const split = splits.of(known('split'));
  if (split === undefined) return refuse(`split "${known('split')}" is not one of ${SPLIT_NAMES_TEXT}`);
  const path = hasAudio ? fields.path! : '';
  const parts = [
    hasAudio ? idFromPath(path.slice(prefix.length)) : String(index + 1),
    ...(segment ? [segmentName(segment)] : []),
    ...(typeof channel === 'number' ? [`ch${channel}`] : []),
  ];
  return {
    line,
    path,
    segment,
    channel,
    utterance: {
      id: known('id') || parts.join('_'),
      path: '',
      text,
      label,
      speaker: known('speaker'),
      gender: known('gender'),
      session: known('session'),
      split,
      durationSec: 0,
    },
  };
}

/** Leading folders that all paths share say nothing about an utterance. */
function commonFolder(paths: readonly string[]): string {
  const folders = paths.map((path) => path.slice(0, path.lastIndexOf('/') + 1));
  let prefix = folders[0] ?? '';
  for (const folder of folders) {
    while (!folder.startsWith(prefix))
      prefix = prefix.slice(0, prefix.lastIndexOf('/', prefix.length - 2) + 1);
  }
  return prefix;
}

function idFromPath(path: string): string {
  return path
    .trim()
    .replace(/\.[^./\\]*$/, '')
    .replace(/[/\\]+/g, '_');
}

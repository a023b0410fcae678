/** @file The rows of a corpus CSV: which part of which recording, and what is known of it. */

import { stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { InputError, mapConcurrently } from '../../base/index.js';
import { type ChannelChoice, parseChannel } from '../audio/index.js';
import { parseTimeSec, type Segment, segmentName } from './clips/index.js';
import type { CsvRow } from './csv-table.js';
import type { Utterance } from './manifest.js';

export interface CsvRecording {
  line: number;
  /** Path as the CSV gives it; whether the file is there is `findSources`' question. */
  path: string;
  segment?: Segment | undefined;
  /** Where the CSV chooses. */
  channel?: ChannelChoice | undefined;
  /** Without path and length, which the prepared clip will have. */
  utterance: Utterance;
}

const SPLIT_NAMES: Readonly<Record<string, string>> = {
  train: 'train',
  dev: 'dev',
  valid: 'dev',
  validation: 'dev',
  test: 'test',
};

/**
 * Reads the rows. An id that is not given is the path without what all paths share and without its ending; that of a
 * segment ends in its times, that of a channel in its number.
 * @throws InputError with file and line: an empty path or label, a time that is none or ends before it starts, a channel
 *   that is none, an unknown split, two utterances of one id.
 */
export function readRecordings(file: string, rows: readonly CsvRow[]): CsvRecording[] {
  const prefix = commonFolder(rows.map(({ fields }) => fields.path!));
  const lineOf = new Map<string, number>();
  return rows.map((row) => {
    const recording = readRow(file, prefix, row);
    const { id } = recording.utterance;
    const earlier = lineOf.get(id);
    if (earlier !== undefined) {
      throw new InputError(
        `${file}, line ${row.line}: id "${id}" is on line ${earlier} already; add a column "id" with unique values`,
      );
    }
    lineOf.set(id, row.line);
    return recording;
  });
}

function readRow(file: string, prefix: string, { line, fields }: CsvRow): CsvRecording {
  const path = fields.path!;
  const known = (column: string): string => fields[column]?.trim() ?? '';
  const refuse = (what: string): never => {
    throw new InputError(`${file}, line ${line}: ${what}`);
  };
  for (const column of ['path', 'label', ...('id' in fields ? ['id'] : [])]) {
    if (known(column) === '') refuse(`column "${column}" is empty`);
  }
  const timeSec = (column: 'start' | 'end'): number | undefined => {
    if (known(column) === '') return undefined;
    const sec = parseTimeSec(known(column));
    return sec ?? refuse(`${column} "${known(column)}" is neither seconds (12.5) nor a time (0:12.5)`);
  };
  const [startSec, endSec] = [timeSec('start'), timeSec('end')];
  if (endSec !== undefined && endSec <= (startSec ?? 0)) {
    refuse(`end ${known('end')} is not after start ${known('start') || 0}`);
  }
  const segment =
    startSec === undefined && endSec === undefined ? undefined : { startSec: startSec ?? 0, endSec };
  const channel = known('channel') === '' ? undefined : parseChannel(known('channel'));
  if (known('channel') !== '' && channel === undefined) {
    refuse(
      `channel "${known('channel')}" is neither a number from 1 nor mix; rename the column if it is not one of audio channels`,
    );
  }
  const split = known('split') === '' ? '' : SPLIT_NAMES[known('split').toLowerCase()];
  if (split === undefined) {
    return refuse(`split "${known('split')}" is not one of ${Object.keys(SPLIT_NAMES).join(', ')}`);
  }
  const parts = [
    idFromPath(path.slice(prefix.length)),
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
      text: fields.text?.trim() ?? '',
      label: known('label'),
      speaker: known('speaker'),
      gender: known('gender'),
      session: known('session'),
      split,
      durationSec: 0,
    },
  };
}

/**
 * The file of each recording, undefined where there is none. A path that is not there as written is tried with its
 * spaces trimmed, its letters composed or decomposed (as archives made on a Mac have them), and with slashes.
 * @param file the CSV, which paths are relative to.
 */
export async function findSources(
  file: string,
  recordings: readonly CsvRecording[],
): Promise<(string | undefined)[]> {
  const folder = resolve(dirname(file));
  const found = new Map<string, Promise<string | undefined>>(); // many segments share one recording
  return mapConcurrently(recordings, 32, ({ path }) => {
    const known = found.get(path) ?? findFile(folder, path);
    found.set(path, known);
    return known;
  });
}

async function findFile(folder: string, path: string): Promise<string | undefined> {
  const trimmed = path.trim();
  const variants = [path, trimmed, trimmed.normalize('NFC'), trimmed.normalize('NFD')];
  for (const variant of new Set([...variants, trimmed.replaceAll('\\', '/')])) {
    const candidate = resolve(folder, variant);
    const isFile = await stat(candidate).then(
      (entry) => entry.isFile(),
      () => false,
    );
    if (isFile) return candidate;
  }
  return undefined;
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

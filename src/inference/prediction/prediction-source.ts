/**
 * @file What predict reads: a table, recordings by file, folder or pattern, or a list of paths on standard input. All
 * are streams of rows, in blocks whose boundaries do not depend on where reading begins.
 */

import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Readable } from 'node:stream';
import { InputError, isSameFile, type OutputTarget } from '../../base/index.js';
import type { Alteration } from '../../data/audio/index.js';
import type { HistoryTurn } from '../../data/corpora/index.js';
import {
  cellOf,
  type FileFinder,
  fileFinder,
  isPattern,
  isRecording,
  isTableName,
  listRecordings,
  openTableStream,
  type TableRow,
} from '../../data/tables/index.js';

/** The names of a table's columns. */
export interface InputColumns {
  readonly pathColumn: string;
  /** A column with another name than the default is required; the default column is optional. */
  readonly textColumn: string;
  readonly speakerColumn: string;
}

/** Columns that a table may omit. */
export const OPTIONAL_COLUMNS = { text: 'text', speaker: 'speaker' } as const;
/** The speaker's gender, which prompts may mention; optional. */
export const GENDER_COLUMN = 'gender';
/** The conversation that a row is a turn of, and its place there; optional. */
export const DIALOGUE_COLUMN = 'dialogue';
const TURN_COLUMN = 'turn';
/** The channel to use; optional. */
export const CHANNEL_COLUMN = 'channel';

/** A row of the input. */
export interface SourceRow extends Pick<TableRow, 'fields' | 'json' | 'problem'> {
  /** From 0, in the whole input. */
  readonly index: number;
  /** Its line in a table or a list. */
  readonly line: number | undefined;
  /** Mono samples [frames] at 16 kHz, in place of a file. */
  readonly samples?: Float32Array;
  /** Changes the whole recording before it is read. */
  readonly alteration?: Alteration;
  /** What was said before it in its dialogue, oldest first; absent if it is in none, or the model reads none of it. */
  readonly history?: readonly HistoryTurn[];
}

/** Tells one input from another. */
export interface SourceIdentity {
  readonly kind: 'table' | 'recordings';
  /** Of the table, or of the list of recordings. */
  readonly sha256: string;
  readonly rows: number;
}

export interface PredictionSource {
  /** Columns of the input, in its order. */
  readonly columns: readonly string[];
  /** Whether numbers may be written as `0,5`. */
  readonly decimalComma: boolean;
  /** Whether rows are named by a path. */
  readonly namesFiles: boolean;
  readonly files: FileFinder;
  /** What users should know of the input. */
  readonly notes: readonly string[];
  /** Absent if the input cannot be read again, as standard input. */
  readonly identity?: SourceIdentity;
  /** Its rows, as they come. */
  read(): AsyncIterable<readonly SourceRow[]>;
}

/** What the model reads. */
export interface SourceNeeds {
  readonly audio: boolean;
  readonly text: boolean;
  /** Earlier turns of a row's dialogue. */
  readonly dialogues?: boolean;
}

/** How a row is called in messages: `line 5`, or `recording 5` of files that were named. */
export function rowName({ line, index }: SourceRow): string {
  return line === undefined ? `recording ${index + 1}` : `line ${line}`;
}

/** Other names for a transcript that may also mean something else; a table with `text` has none of these. */
const TRANSCRIPT_NAMES =
  /^(?:utterances?|utt|phrase|words|spoken|speech|said|asr|caption|subtitle|content|message|dialogu?e|raw_?text|normali[sz]ed_?text)$/i;

export interface OpenSourceOptions extends InputColumns {
  readonly needs: SourceNeeds;
  /** Where the predictions go, which must be none of the files that are read. */
  readonly target?: OutputTarget | undefined;
  /** Names of paths for `-`. */
  readonly stdin: Readable;
  readonly stop?: AbortSignal | undefined;
}

/**
 * Opens the input that the names refer to: `-` is a list of paths on standard input; a table must be the only name.
 * @throws InputError when something is missing or no input, and when the output is one of the files that are read
 */
export async function openSource(
  inputs: readonly string[],
  options: OpenSourceOptions,
): Promise<PredictionSource> {
  if (inputs.includes('-')) {
    if (inputs.length > 1)
      throw new InputError('- is a list of paths on standard input; name nothing beside it');
    refuseRecordings(options);
    return listOnStdin(options);
  }
  const [input] = inputs as [string];
  const entry = await stat(input).catch(() => undefined);
  const isList =
    inputs.length > 1 ||
    entry?.isDirectory() === true ||
    (entry === undefined ? !isTableName(input) || (await isPattern(input)) : await isRecording(input));
  return isList ? recordingSource(inputs, options) : tableSource(input, options);
}

function refuseRecordings({ needs }: OpenSourceOptions): void {
  if (needs.audio) return;
  throw new InputError(
    'the model reads transcripts and no audio: name a table with a column "text", not recordings',
  );
}

async function tableSource(input: string, options: OpenSourceOptions): Promise<PredictionSource> {
  const { pathColumn, textColumn, speakerColumn, needs, target } = options;
  const isNamed = { text: textColumn !== OPTIONAL_COLUMNS.text, speaker: speakerColumn !== 'speaker' };
  if (target?.kind === 'file' && (await isSameFile(input, target.path))) {
    throw new InputError(`output ${target.name} is the input file; name another file with -o`);
  }
  let finder: FileFinder | undefined;
  let last = '';
  const table = await openTableStream(
    input,
    {
      path: pathColumn,
      needed: [
        ...(isNamed.text || !needs.audio ? [textColumn] : []),
        ...(isNamed.speaker ? [speakerColumn] : []),
      ],
      optional: [
        ...['id', 'start', 'end', GENDER_COLUMN, CHANNEL_COLUMN],
        ...(needs.dialogues && textColumn !== DIALOGUE_COLUMN ? [DIALOGUE_COLUMN, TURN_COLUMN] : []),
        ...(isNamed.text || !needs.text ? [] : ['text']),
        ...(isNamed.speaker ? [] : ['speaker']),
      ],
      needsPath: needs.audio,
      otherwise: (column, found) =>
        Object.hasOwn(OPTIONAL_COLUMNS, column) ? `, or say --${column}-column "${found}"` : '',
    },
    async (row) => {
      if (target?.kind !== 'file' || target.present === undefined) return;
      const path = cellOf(row, pathColumn);
      if (path === '' || path === last) return;
      last = path;
      finder ??= fileFinder(dirname(input));
      const recording = await finder.find(row.fields[pathColumn]!).catch(() => undefined);
      if (recording === undefined || !(await isSameFile(recording, target.path))) return;
      throw new InputError(
        `output ${target.name} is the recording of line ${row.line}; name another file with -o`,
      );
    },
  );
  const { columns, decimalComma, namesFiles, files, sha256, rows } = table;
  const isUntold = needs.text && !isNamed.text && !columns.includes('text');
  const mayBeText = (name: string): boolean =>
    TRANSCRIPT_NAMES.test(name) && !(needs.dialogues && name === DIALOGUE_COLUMN);
  const near = isUntold ? columns.filter(mayBeText) : [];
  const named = near.map((name) => `"${name}"`).join(' or ');
  const notes =
    near.length === 0
      ? []
      : [
          `the table has no column "text"; if the transcripts are in ${named}, say --text-column "${near[0]}"`,
        ];
  return {
    ...{ columns, decimalComma, namesFiles, files, notes },
    identity: { kind: 'table', sha256, rows },
    async *read() {
      let index = 0;
      for await (const block of table.read()) {
        yield block.map((row) => ({ ...row, index: index++ }));
      }
    },
  };
}

async function recordingSource(
  inputs: readonly string[],
  options: OpenSourceOptions,
): Promise<PredictionSource> {
  const { pathColumn, target } = options;
  const { paths, sha256, unread } = await listRecordings(inputs);
  refuseRecordings(options);
  if (target?.kind === 'file' && target.present !== undefined) {
    for (const path of paths) {
      if (!(await isSameFile(path, target.path))) continue;
      throw new InputError(`output ${target.name} is one of the recordings; name another file with -o`);
    }
  }
  const notes =
    unread.length === 0
      ? []
      : [`recordings are left out: ${unread.length} of the folders cannot be read, such as ${unread[0]}`];
  return {
    ...listLayout(pathColumn),
    notes,
    identity: { kind: 'recordings', sha256, rows: paths.length },
    async *read() {
      for (let start = 0; start < paths.length; start += MOST_ROWS) {
        yield paths.slice(start, start + MOST_ROWS).map((path, at) => ({
          index: start + at,
          line: undefined,
          fields: { [pathColumn]: path },
        }));
      }
    },
  };
}

const MOST_ROWS = 1000;

function listLayout(pathColumn: string) {
  const files = fileFinder('.');
  return { columns: [pathColumn], decimalComma: false, namesFiles: true, files, notes: [] };
}

/** Paths on standard input, one per line, in blocks of those that have arrived. */
function listOnStdin({ pathColumn, stdin, stop }: OpenSourceOptions): PredictionSource {
  return {
    ...listLayout(pathColumn),
    async *read() {
      const end = (): void => void stdin.destroy();
      stop?.addEventListener('abort', end, { once: true });
      const decoder = new TextDecoder();
      let [rest, line, index] = ['', 0, 0];
      const rowsOf = (lines: readonly string[]): SourceRow[] =>
        lines.flatMap((text) => {
          line += 1;
          const path = text.replace(/\r$/, '');
          return path.trim() === '' ? [] : [{ index: index++, line, fields: { [pathColumn]: path } }];
        });
      try {
        for await (const chunk of stdin) {
          const lines = (rest + decoder.decode(chunk as Buffer, { stream: true })).split('\n');
          rest = lines.pop()!;
          const rows = rowsOf(lines);
          if (rows.length > 0) yield rows;
        }
        const rows = rowsOf([rest + decoder.decode()]);
        if (rows.length > 0) yield rows;
      } catch (error) {
        if (stop?.aborted !== true) throw error;
      } finally {
        stop?.removeEventListener('abort', end);
      }
    },
  };
}

/** A contiguous part of the input's rows. */
export interface RowRange {
  /** The first row, from 0. */
  readonly first: number;
  /** Just after the last row. */
  readonly end: number;
}

/** Boundaries between shards of many rows are multiples of this, the number of rows that are computed together. */
const ALIGNED_ROWS = 32;

/**
 * The rows of shard `index` of `count`, from 1: contiguous, of nearly equal size. Where shards have 64 rows and more,
 * they begin at multiples of 32 rows, so that rows are computed together as without shards.
 */
export function shardRange(rows: number, index: number, count: number): RowRange {
  const isAligned = rows >= 2 * ALIGNED_ROWS * count;
  const boundary = (at: number): number => {
    if (at === count) return rows;
    const exact = (at * rows) / count;
    return isAligned ? Math.round(exact / ALIGNED_ROWS) * ALIGNED_ROWS : Math.floor(exact);
  };
  return { first: boundary(index - 1), end: boundary(index) };
}

/**
 * The rows of a range from `from` on, in blocks of at most `size`. Blocks end at multiples of `size` rows after the
 * range's first, wherever reading begins; rows that cannot be read again are not waited for.
 */
export async function* rowBlocks(
  source: PredictionSource,
  size: number,
  { first, end }: RowRange,
  from: number,
): AsyncGenerator<readonly SourceRow[]> {
  const isLive = source.identity === undefined;
  let block: SourceRow[] = [];
  for await (const rows of source.read()) {
    for (const row of rows) {
      if (row.index < from || row.index >= end) continue;
      block.push(row);
      if ((row.index + 1 - first) % size !== 0) continue;
      yield block;
      block = [];
    }
    if (!isLive || block.length === 0) continue;
    yield block;
    block = [];
  }
  if (block.length > 0) yield block;
}

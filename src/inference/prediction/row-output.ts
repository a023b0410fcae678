/**
 * @file Writes rows as they are done: to a file, of which a killed process leaves the rows so far, to a stream, or to
 * the caller.
 */

import {
  createOutput,
  errorMessage,
  type FileTarget,
  InputError,
  InterruptedError,
  type OutputTarget,
  ReaderGoneError,
} from '../../base/index.js';
import type { PredictionFormat } from '../../evaluation/index.js';
import { type Counts, noCounts } from './counts.js';
import type { OutputLayout } from './output-columns.js';
import { type PredictionSource, type RowRange, type SourceRow, shardRange } from './prediction-source.js';
import { type PartSidecar, type Shard, writePartSidecar } from './shards.js';
import {
  discardUnfinished,
  openUnfinished,
  type PredictionIdentity,
  readUnfinished,
  unfinishedFiles,
} from './unfinished.js';

/** A source with what is known of its output before a model is opened. */
export interface PlannedOutput<Row> {
  readonly source: PredictionSource;
  readonly layout: OutputLayout<Row>;
  readonly range: RowRange;
  readonly shard: Shard | undefined;
  /** Absent if the input cannot be read again. */
  readonly identity: PredictionIdentity | undefined;
}

/** What the rows of an output depend on. */
export interface OutputChoice {
  readonly format: PredictionFormat;
  readonly shard: Shard | undefined;
  /** What tells the model from others, such as the SHA-256 of its checkpoint. */
  readonly model: Readonly<Record<string, string>>;
  /** Options by their names. */
  readonly options: Readonly<Record<string, string | number | null>>;
}

/** @throws InputError for a shard of an input that cannot be divided */
export function planOutput<Row>(
  source: PredictionSource,
  layout: OutputLayout<Row>,
  { format, shard, model, options }: OutputChoice,
): PlannedOutput<Row> {
  const input = source.identity;
  if (input === undefined) {
    if (shard !== undefined) {
      throw new InputError('--shard divides tables and files, not a list on standard input; name a table');
    }
    const range = { first: 0, end: Number.POSITIVE_INFINITY };
    return { source, layout, range, shard, identity: undefined };
  }
  const range =
    shard === undefined ? { first: 0, end: input.rows } : shardRange(input.rows, shard.index, shard.count);
  const all = { ...options, shard: shard === undefined ? null : `${shard.index}/${shard.count}` };
  const columns = [...layout.names];
  const identity = { model: { ...model }, input, options: all, format, columns };
  return { source, layout, range, shard, identity };
}

/**
 * Checks that an output can be begun or gone on with, before a model is opened.
 * @throws InputError if it is unfinished and was begun with something else
 */
export async function checkUnfinished(
  { identity }: Pick<PlannedOutput<never>, 'identity'>,
  target: OutputTarget,
  restart: boolean,
): Promise<void> {
  if (identity === undefined || target.kind !== 'file' || restart) return;
  await readUnfinished(target, identity);
}

export interface WritingOptions {
  /** Discard what an interrupted command left. */
  readonly restart?: boolean | undefined;
  readonly stop?: AbortSignal | undefined;
  /** `total` is null if it is not known. */
  readonly onProgress?: ((done: number, total: number | null) => void) | undefined;
  readonly onNote?: ((text: string) => void) | undefined;
}

/** Where rows come from. */
export interface RowWork<Row> {
  /** The rows of a source from one on, those that are finished together. */
  rows(from: number): AsyncIterable<readonly Row[]>;
  rowOf(row: Row): SourceRow;
  /** The counts with more rows. */
  count(before: Counts, rows: readonly Row[]): Counts;
}

/**
 * Writes the rows of a plan.
 * @returns the counts, with those of the rows that an earlier command wrote
 * @throws InputError when the output cannot be written; InterruptedError when `stop` is aborted
 */
export async function writeRows<Row>(
  plan: PlannedOutput<Row>,
  output: OutputTarget | ((row: Row) => void),
  work: RowWork<Row>,
  options: WritingOptions,
): Promise<Counts> {
  const { source, range } = plan;
  const { stop, onProgress } = options;
  const total = source.identity === undefined ? null : range.end - range.first;
  const sink = await openSink(plan, output, options);
  let { counts } = sink;
  const stopped = (): never => {
    const done = total === null ? `${counts.rows} rows` : `${counts.rows} of ${total} rows`;
    throw new InterruptedError(`interrupted after ${done}; ${sink.kept(counts.rows)}`);
  };
  try {
    if (counts.rows > 0) options.onNote?.(`going on after ${counts.rows} of ${total} rows`);
    onProgress?.(counts.rows, total);
    for await (const rows of work.rows(sink.nextRow)) {
      counts = work.count(counts, rows);
      await sink.take(rows, work.rowOf(rows.at(-1)!).index + 1, counts);
      onProgress?.(counts.rows, total);
      if (stop?.aborted === true && counts.rows !== total) stopped();
    }
    if (stop?.aborted === true && counts.rows !== total) stopped();
    await sink.commit();
    return counts;
  } catch (error) {
    if (stop?.aborted === true && !(error instanceof InterruptedError)) stopped();
    throw error;
  } finally {
    await sink.close();
  }
}

/** Something that takes rows as they are done. */
interface Sink<Row> {
  /** The next row to write. */
  readonly nextRow: number;
  readonly counts: Counts;
  take(rows: readonly Row[], nextRow: number, counts: Counts): Promise<void>;
  commit(): Promise<void>;
  close(): Promise<void>;
  /** What became of the rows so far, for a message. */
  kept(rows: number): string;
}

async function openSink<Row>(
  plan: PlannedOutput<Row>,
  output: OutputTarget | ((row: Row) => void),
  options: WritingOptions,
): Promise<Sink<Row>> {
  const { layout, identity, range } = plan;
  if (typeof output === 'function') {
    return {
      ...{ nextRow: range.first, counts: noCounts() },
      take: async (rows) => rows.forEach(output),
      commit: async () => {},
      close: async () => {},
      kept: () => 'these were shown',
    };
  }
  try {
    if (output.kind === 'file' && identity !== undefined) {
      return await fileSink(plan, identity, output, options.restart ?? false);
    }
    if (output.kind === 'file' && options.restart) await discardUnfinished(output);
    const file = await createOutput(output.name, { signal: options.stop });
    await file.write(layout.header);
    return {
      ...{ nextRow: range.first, counts: noCounts() },
      take: (rows) => file.write(rows.map(layout.textOf).join('')),
      commit: file.commit,
      close: file.discard,
      kept: () => (output.kind === 'stream' ? 'these were written' : 'nothing was written'),
    };
  } catch (error) {
    const { name } = output;
    if (options.stop?.aborted) throw new InterruptedError(`interrupted before any process read ${name}`);
    if (error instanceof InputError || error instanceof ReaderGoneError) throw error;
    throw new InputError(`output ${name} cannot be written: ${errorMessage(error)}`);
  }
}

async function fileSink<Row>(
  { layout, range, shard }: PlannedOutput<Row>,
  identity: PredictionIdentity,
  target: FileTarget,
  restart: boolean,
): Promise<Sink<Row>> {
  const { header } = layout;
  const file = await openUnfinished(target, identity, { header, firstRow: range.first, restart });
  const sidecar = (bytes: number, sha256: string): Promise<void> => {
    const part: PartSidecar = {
      format: 'emoq-prediction-part',
      identity,
      shard: { index: shard!.index, count: shard!.count },
      rows: { first: range.first + 1, count: range.end - range.first },
      ...{ header_bytes: Buffer.byteLength(header), bytes, sha256 },
    };
    return writePartSidecar(target.path, part);
  };
  return {
    ...{ nextRow: file.nextRow, counts: file.counts, close: file.close },
    take: (rows, nextRow, counts) => file.append(rows.map(layout.textOf).join(''), nextRow, counts),
    commit: () => file.commit(shard === undefined ? undefined : sidecar),
    kept: (rows) =>
      rows === 0
        ? 'nothing was written'
        : `they are in ${unfinishedFiles(target).partial}; run the same command again to go on`,
  };
}

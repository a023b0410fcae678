/** @file Predicts the rows of a source and writes them: to a file that can be resumed, a stream, or the caller. */

import {
  createOutput,
  errorMessage,
  type FileTarget,
  InputError,
  InterruptedError,
  type OutputTarget,
  ReaderGoneError,
} from '../../base/index.js';
import { type ChannelChoice, checkWindowRule } from '../../data/audio/index.js';
import type { PredictionFormat } from '../../evaluation/index.js';
import type { Recipe } from '../../systems/index.js';
import { systemOf } from '../../systems/index.js';
import type { ComputeOptions } from '../../training/index.js';
import type { OpenedModel } from '../trained-run.js';
import { type Counts, countRows, noCounts } from './counts.js';
import { type JudgedRow, judgeRows } from './judging.js';
import { type OutputLayout, outputLayout } from './output-columns.js';
import type { WindowChoice } from './parts.js';
import { type InputColumns, type PredictionSource, type RowRange, shardRange } from './prediction-source.js';
import { type PartSidecar, type Shard, writePartSidecar } from './shards.js';
import {
  discardUnfinished,
  openUnfinished,
  type PredictionIdentity,
  readUnfinished,
  unfinishedFiles,
} from './unfinished.js';

/** What to predict, and how. */
export interface PredictionJob extends InputColumns {
  /** For every recording without a channel in the table. */
  readonly channel: ChannelChoice | undefined;
  readonly windows: WindowChoice;
  readonly format: PredictionFormat;
  readonly shard: Shard | undefined;
  /** What tells the model from others, such as the SHA-256 of its checkpoint. */
  readonly model: Readonly<Record<string, string>>;
  /** Options that may change the figures, for the identity of the output. */
  readonly settings: Readonly<Record<string, string | number | null>>;
}

/** A source with what is known of its output before a model is opened. */
export interface PlannedPrediction {
  readonly job: PredictionJob;
  readonly source: PredictionSource;
  readonly layout: OutputLayout;
  readonly range: RowRange;
  /** Absent if the input cannot be read again. */
  readonly identity: PredictionIdentity | undefined;
}

/** @throws InputError for a shard of an input that cannot be divided */
export function planPrediction(
  source: PredictionSource,
  recipe: Recipe,
  job: PredictionJob,
): PlannedPrediction {
  const { format, shard, channel, pathColumn, textColumn, speakerColumn, settings, model } = job;
  const { audio } = systemOf(recipe).views(recipe);
  checkWindowChoice(job.windows, recipe.max_audio_sec);
  const layout = outputLayout(source, recipe.labels, audio, format);
  const input = source.identity;
  if (input === undefined) {
    if (shard !== undefined) {
      throw new InputError('--shard divides tables and files, not a list on standard input; name a table');
    }
    return { job, source, layout, range: { first: 0, end: Number.POSITIVE_INFINITY }, identity: undefined };
  }
  const range =
    shard === undefined ? { first: 0, end: input.rows } : shardRange(input.rows, shard.index, shard.count);
  const options = {
    ...{ 'path-column': pathColumn, 'text-column': textColumn, 'speaker-column': speakerColumn },
    channel: channel ?? null,
    windows: job.windows,
    shard: shard === undefined ? null : `${shard.index}/${shard.count}`,
    ...settings,
  };
  const columns = [...layout.names];
  return { job, source, layout, range, identity: { model: { ...model }, input, options, format, columns } };
}

/** @throws InputError for windows on a grid that a model or the windowing cannot take */
export function checkWindowChoice(windows: WindowChoice, maxAudioSec: number): void {
  if (typeof windows !== 'number') return;
  checkWindowRule({ kind: 'grid', sec: windows });
  if (windows <= maxAudioSec) return;
  throw new InputError(
    `windows of ${windows} s are longer than what the model takes: its max_audio_sec is ${maxAudioSec}`,
  );
}

/**
 * Checks that an output can be begun or gone on with, before a model is opened.
 * @throws InputError if it is unfinished and was begun with something else
 */
export async function checkUnfinished(
  { identity }: PlannedPrediction,
  target: OutputTarget,
  restart: boolean,
): Promise<void> {
  if (identity === undefined || target.kind !== 'file' || restart) return;
  await readUnfinished(target, identity);
}

export interface RunningOptions {
  readonly compute: ComputeOptions;
  /** Discard what an interrupted command left. */
  readonly restart?: boolean;
  /** `total` is null if it is not known. */
  readonly onProgress?: (done: number, total: number | null) => void;
  readonly onNote?: (text: string) => void;
}

/** Something that takes rows as they are done. */
interface Sink {
  /** The next row to predict. */
  readonly nextRow: number;
  readonly counts: Counts;
  take(rows: readonly JudgedRow[], nextRow: number, counts: Counts): Promise<void>;
  commit(): Promise<void>;
  close(): Promise<void>;
  /** What became of the rows so far, for a message. */
  kept(rows: number): string;
}

/**
 * Predicts the rows of a plan and writes them to a file, of which a killed process leaves the rows so far, to a stream,
 * or to a function.
 * @throws InputError when the output cannot be written; InterruptedError when `compute.stop` is aborted
 */
export async function predictRows(
  model: OpenedModel,
  plan: PlannedPrediction,
  output: OutputTarget | ((row: JudgedRow) => void),
  options: RunningOptions,
): Promise<Counts> {
  const { job, source, range } = plan;
  const { compute, onProgress } = options;
  const { stop } = compute;
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
    const judged = judgeRows(model, source, {
      ...job,
      ...{ range, from: sink.nextRow, stop },
      needsAudio: model.phase.needs.audio,
      maxAudioSec: model.recipe.max_audio_sec,
    });
    for await (const rows of judged) {
      counts = countRows(counts, rows, job.textColumn);
      await sink.take(rows, rows.at(-1)!.row.index + 1, counts);
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

async function openSink(
  plan: PlannedPrediction,
  output: OutputTarget | ((row: JudgedRow) => void),
  options: RunningOptions,
): Promise<Sink> {
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
    const file = await createOutput(output.name, { signal: options.compute.stop });
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
    if (options.compute.stop?.aborted)
      throw new InterruptedError(`interrupted before any process read ${name}`);
    if (error instanceof InputError || error instanceof ReaderGoneError) throw error;
    throw new InputError(`output ${name} cannot be written: ${errorMessage(error)}`);
  }
}

async function fileSink(
  { layout, range, job }: PlannedPrediction,
  identity: PredictionIdentity,
  target: FileTarget,
  restart: boolean,
): Promise<Sink> {
  const { header } = layout;
  const file = await openUnfinished(target, identity, { header, firstRow: range.first, restart });
  const { shard } = job;
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

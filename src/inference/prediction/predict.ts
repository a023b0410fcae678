/** @file Predicts the rows of a source and writes them. */

import { InputError, type OutputTarget } from '../../base/index.js';
import { type ChannelChoice, checkWindowRule } from '../../data/audio/index.js';
import type { PredictionFormat } from '../../evaluation/index.js';
import type { ComputeOptions } from '../../training/index.js';
import type { Reading } from '../ensemble.js';
import { type NamedRecogniser, openRecogniser } from '../speech-recogniser.js';
import { type Counts, countRows } from './counts.js';
import { type JudgedRow, type Judges, judgeRows } from './judging.js';
import { predictionLayout } from './output-columns.js';
import type { WindowChoice } from './parts.js';
import type { InputColumns, PredictionSource } from './prediction-source.js';
import {
  type PlannedOutput,
  planOutput,
  type RowWork,
  type WritingOptions,
  writeRows,
} from './row-output.js';
import type { Shard } from './shards.js';

/** What to predict, and how. */
export interface PredictionJob extends InputColumns {
  /** For every recording without a channel in the table. */
  readonly channel: ChannelChoice | undefined;
  readonly windows: WindowChoice;
  readonly format: PredictionFormat;
  readonly shard: Shard | undefined;
  /** What tells the model from others, such as the SHA-256 of its checkpoint. */
  readonly model: Readonly<Record<string, string>>;
  /** Gives the rows that have no transcript one. */
  readonly recogniser?: NamedRecogniser | undefined;
  /** Options that may change the figures, for the identity of the output. */
  readonly settings: Readonly<Record<string, string | number | null>>;
}

/** A prediction with what is known of its output before a model is opened. */
export interface PlannedPrediction extends PlannedOutput<JudgedRow> {
  readonly job: PredictionJob;
  readonly maxAudioSec: number;
}

/** @throws InputError for a shard of an input that cannot be divided */
export function planPrediction(
  source: PredictionSource,
  reading: Reading,
  job: PredictionJob,
): PlannedPrediction {
  const { format, shard, channel, pathColumn, textColumn, speakerColumn, settings, model, recogniser } = job;
  checkWindowChoice(job.windows, reading.maxAudioSec);
  const { name: transcribe = null, beam: _, language, ...recognises } = recogniser?.identity ?? {};
  const answers = {
    labels: reading.labels,
    hasAudio: reading.views.audio,
    isRecognised: recogniser !== undefined,
  };
  const options = {
    ...{ 'path-column': pathColumn, 'text-column': textColumn, 'speaker-column': speakerColumn },
    channel: channel ?? null,
    windows: job.windows,
    transcribe,
    ...(language !== undefined && { language }),
    ...settings,
  };
  const layout = predictionLayout(source, answers, format);
  return {
    job,
    maxAudioSec: reading.maxAudioSec,
    ...planOutput(source, layout, { format, shard, model: { ...model, ...recognises }, options }),
  };
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

export interface RunningOptions extends Omit<WritingOptions, 'stop'> {
  readonly compute: ComputeOptions;
}

/**
 * Predicts the rows of a plan and writes them.
 * @throws InputError when the output cannot be written; InterruptedError when `compute.stop` is aborted
 */
export async function predictRows(
  models: Judges,
  plan: PlannedPrediction,
  output: OutputTarget | ((row: JudgedRow) => void),
  { compute, ...options }: RunningOptions,
): Promise<Counts> {
  const { job, source, range, maxAudioSec } = plan;
  const { stop } = compute;
  const recogniser = job.recogniser && openRecogniser(job.recogniser, compute);
  try {
    const work: RowWork<JudgedRow> = {
      rows: (from) =>
        judgeRows(models, source, {
          ...job,
          ...{ range, from, stop, recogniser, maxAudioSec, isRecognised: recogniser !== undefined },
          needsAudio: models.some(({ phase }) => phase.needs.audio),
        }),
      rowOf: ({ row }) => row,
      count: (before, rows) => countRows(before, rows, job.textColumn),
    };
    return await writeRows(plan, output, work, { ...options, stop });
  } finally {
    await recogniser?.encoder.close();
  }
}

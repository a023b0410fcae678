/** @file noise.json: the figures of a test set as it is and at several levels of noise, as a file and as a table. */

import { z } from 'zod';
import { InputError, oneLine, readJson } from '../base/index.js';
import { type RecogniserInfo, recogniserSchema } from '../data/corpora/index.js';
import type { EditCount } from './error-rates.js';
import {
  countMetrics,
  type MetricFigures,
  type MetricKey,
  ofMetrics,
  type ProbabilityFigures,
  probabilityMetrics,
} from './metrics/index.js';
import { type Cell, csvOf, type EvaluationResult, RESULT_COLUMNS, resultRows } from './results.js';
import { type IntervalPosition, intervalText, levelText, resamplingNote } from './score-tables.js';
import { type Align, columnName, metricText, type Table } from './table.js';

/** Where the noise of a test came from. */
export interface TestNoise {
  /** A colour, or the folder of the recordings. */
  readonly from: string;
  readonly recordings?: number | undefined;
  /** Checksum over the contents of the recordings. */
  readonly sha256?: string | undefined;
  /** Of the noise, and of the parts of recordings. */
  readonly seed: number;
  /** The words that are read beside the noisy clips; absent if none are read, or not known to this version. */
  readonly words?: 'given' | 'recognised' | undefined;
  /** What recognised them anew at each level; absent: they are the same at every level. */
  readonly recogniser?: RecogniserInfo | undefined;
}

type Figures = MetricFigures & ProbabilityFigures;

/** Figures at one level; pooled over folds or seeds, if any. */
export interface NoiseLevelResult extends Figures {
  /** Signal-to-noise ratio; null for the test set as it is. */
  readonly snr_db: number | null;
  readonly n: number;
  readonly mean?: Figures | undefined;
  readonly sd?: (Readonly<Record<MetricKey, number | null>> & ProbabilityFigures) | undefined;
  readonly intervals: EvaluationResult['intervals'];
  /**
   * Word error rate of the recognised words against the given ones, in lower case and without punctuation, as a
   * fraction; null without given words, absent unless words were recognised at every level.
   */
  readonly wer?: number | null | undefined;
}

export interface NoiseResults {
  readonly name: string;
  readonly noise: TestNoise;
  /** SHA-256 of the checkpoints that were scored, in the order of the runs; null where none is recorded. */
  readonly checkpoints: readonly (string | null)[];
  /** As it is first, then as they were asked for. */
  readonly levels: readonly NoiseLevelResult[];
  readonly versions: EvaluationResult['versions'];
  readonly metadata: EvaluationResult['metadata'];
}

/** The figures of a result that a level has. @param wordErrors of the words that were recognised there */
export function noiseLevel(
  snrDb: number | null,
  result: EvaluationResult,
  wordErrors?: EditCount,
): NoiseLevelResult {
  const { n, mean, sd, intervals } = result;
  const probabilistic = Object.fromEntries(
    probabilityMetrics.map(({ key }) => [key, result[key]]),
  ) as unknown as ProbabilityFigures;
  return {
    snr_db: snrDb,
    n,
    ...ofMetrics((key) => result[key]),
    ...probabilistic,
    ...(mean && { mean }),
    ...(sd && { sd }),
    intervals,
    ...(wordErrors && { wer: wordErrors.of === 0 ? null : wordErrors.edits / wordErrors.of }),
  };
}

const figure = z.number();
const interval = z.object({ low: figure, high: figure });
const figures = {
  ...ofMetrics(() => figure),
  ...(Object.fromEntries(probabilityMetrics.map(({ key }) => [key, figure.nullable()])) as Record<
    keyof ProbabilityFigures,
    z.ZodNullable<z.ZodNumber>
  >),
};
const noiseSchema = z.object({
  name: z.string(),
  noise: z.object({
    from: z.string(),
    recordings: z.int().optional(),
    sha256: z.string().optional(),
    seed: z.int(),
    words: z.enum(['given', 'recognised']).optional(),
    recogniser: recogniserSchema.optional(),
  }),
  checkpoints: z.array(z.string().nullable()),
  levels: z
    .array(
      z.object({
        snr_db: figure.nullable(),
        n: z.int(),
        ...figures,
        mean: z.object(figures).optional(),
        sd: z.object({ ...figures, ...ofMetrics(() => figure.nullable()) }).optional(),
        intervals: z
          .object({
            level: figure,
            resamples: z.int(),
            seed: z.int(),
            unit: z.enum(['utterance', 'speaker', 'dialogue']),
            units: z.int(),
            ...ofMetrics((): typeof interval => interval),
          })
          .nullable(),
        wer: figure.nullable().optional(),
      }),
    )
    .min(1),
  versions: z.record(z.string(), z.string()),
  metadata: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
});

/** @throws InputError, one line with file and key, when the results are missing or invalid */
export async function readNoiseResults(path: string): Promise<NoiseResults> {
  const parsed = noiseSchema.safeParse(await readJson(path, 'results'));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new InputError(
    oneLine(
      `results ${path} are damaged, key ${issue!.path.join('.')}: ${issue!.message}; delete the file, and run emoq eval --noise again`,
    ),
  );
}

/** `clean`, or `10 dB` */
export function levelName({ snr_db }: Pick<NoiseLevelResult, 'snr_db'>): string {
  return snr_db === null ? 'clean' : `${snr_db} dB`;
}

/** `pink noise`, or `noise from 12 recordings in street` */
export function noiseText({ from, recordings }: TestNoise): string {
  if (recordings === undefined) return `${from} noise`;
  return `noise from ${recordings} ${recordings === 1 ? 'recording' : 'recordings'} in ${from}`;
}

/** What noise does to the words; undefined for a model of sound alone. */
export function wordsUnderNoise({ words, recogniser }: TestNoise): string | undefined {
  if (words === undefined) return undefined;
  if (recogniser !== undefined) {
    return `Words were recognised at every ratio by ${recogniser.name}; their error rate (WER) is against the given words, in lower case and without punctuation.`;
  }
  return words === 'given'
    ? 'Noise is in the sound alone: the words are those of the transcripts at every ratio.'
    : 'Noise is in the sound alone: the words are what was recognised in the clips without noise, at every ratio. Words recognised under noise have more errors, and the figures would be lower; with --transcribe they are recognised at every ratio.';
}

/**
 * The figures of a result as CSV, as fractions, and those at each level: `scope` is `noise` and `part` the ratio in dB,
 * `clean` for none.
 */
export function resultsUnderNoiseCsv(result: EvaluationResult, { name, levels }: NoiseResults): string {
  const rows = levels.flatMap((level) => {
    const part = level.snr_db ?? 'clean';
    const figures = [...countMetrics, ...probabilityMetrics].map((metric): Cell[] => {
      const ends = level.intervals?.[metric.key as MetricKey];
      const better = metric.higherIsBetter;
      return [name, 'noise', part, metric.key, level[metric.key], ends?.low, ends?.high, level.n, better];
    });
    const errors: Cell[] = [name, 'noise', part, 'wer', level.wer, undefined, undefined, level.n, false];
    return level.wer === undefined ? figures : [...figures, errors];
  });
  return csvOf(RESULT_COLUMNS, [...resultRows(result), ...rows]);
}

/** Whether words were recognised at every level. */
export function hasWordErrors({ levels }: Pick<NoiseResults, 'levels'>): boolean {
  return levels.some(({ wer }) => wer !== undefined);
}

/** In percent; `-` if it is not known. */
export function wordErrorText({ wer }: Pick<NoiseLevelResult, 'wer'>): string {
  return typeof wer === 'number' ? (100 * wer).toFixed(1) : '-';
}

const columns = countMetrics.filter(({ test }) => test === 'column');

/** The figures at every level, clean first. */
export function noiseTable({ noise, levels }: NoiseResults, position: IntervalPosition): Table {
  const known = probabilityMetrics.filter(
    ({ key, test }) => test === 'column' && levels.some((level) => level[key] !== null),
  );
  const all = [...columns, ...known];
  const errors = hasWordErrors({ levels });
  const none = errors ? ['', ''] : [''];
  const rows = levels.flatMap((level) => {
    const { n, mean, sd, intervals } = level;
    const value = (of: Readonly<Record<string, unknown>>, metric: (typeof all)[number]): string => {
      const number = of[metric.key] as number | null;
      return number === null ? '-' : metricText(metric, number);
    };
    const name = levelName(level);
    const spread =
      mean && sd
        ? [
            [
              `${name}, mean ± sd`,
              ...all.map((metric) => `${value({ ...mean }, metric)} ± ${value({ ...sd }, metric)}`),
              ...none,
            ],
          ]
        : [];
    const ends = columns.map((metric) => (intervals ? intervalText(metric, intervals[metric.key]) : ''));
    const isInCell = position === 'cell' && intervals !== null;
    const own = [
      mean ? `${name}, pooled` : name,
      ...columns.map((metric, i) => value({ ...level }, metric) + (isInCell ? ` ${ends[i]}` : '')),
      ...known.map((metric) => value({ ...level }, metric)),
      ...(errors ? [wordErrorText(level)] : []),
      `n = ${n}`,
    ];
    return intervals && position === 'row'
      ? [...spread, own, [`${levelText(intervals)} interval`, ...ends, ...known.map(() => ''), ...none]]
      : [...spread, own];
  });
  const { intervals } = levels[0]!;
  const notes = [
    `Noise: ${noiseText(noise)}, seed ${noise.seed}; the ratio is that of powers over the whole clip.`,
    ...[wordsUnderNoise(noise)].filter((text) => text !== undefined),
    ...(intervals ? [resamplingNote(intervals)] : []),
  ];
  const names = [...all.map(columnName), ...(errors ? ['WER %'] : [])];
  return {
    title: 'Results under noise',
    header: ['signal-to-noise ratio', ...names, ''],
    rows,
    align: ['left', ...names.map((): Align => 'right'), 'left'],
    note: notes.join(' '),
  };
}

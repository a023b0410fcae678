/**
 * @file A report's data on training: metadata of the runs, and training curves, including those of the earlier phases
 * they started from.
 */

import { basename, dirname, join, resolve } from 'node:path';
import { errorMessage, formatDuration, formatMemory, InputError } from '../../base/index.js';
import { figureText } from '../../evaluation/index.js';
import type { TrainingCurve } from '../../report/index.js';
import { systemOf, titleOf } from '../../systems/index.js';
import {
  type MetricsLine,
  phaseKeys,
  type RunFolder,
  type RunMetadata,
  type RunTimes,
  readMetadata,
  readMetrics,
  runFolder,
  runRecipe,
} from '../../training/runs/index.js';
import type { ReadRuns } from './evaluated-runs.js';

/** Metadata as name-value pairs, in display order. */
export function reportMetadata(parts: readonly ReadRuns[]): [name: string, value: string][] {
  const [first] = parts;
  const metadata = parts.flatMap((part) => part.metadata);
  const { manifest, labels } = metadata[0]!;
  const seeds = parts.flatMap(({ seed, metadata: [first] }) => [seed ?? first!.seed]);
  const distinct = (of: (run: (typeof metadata)[number]) => string): string =>
    [...new Set(metadata.map(of))].join('; ');
  return [
    ...Object.entries(phaseKeys(metadata[0]!)).map(([key, value]): [string, string] => [key, String(value)]),
    ['labels', labels.join(', ')],
    ['manifest', manifest.path],
    ['manifest SHA-256', distinct((run) => run.manifest.sha256)],
    ...(['train', 'dev', 'test'] as const).map((part): [string, string] => [
      `${{ train: 'training', dev: 'validation', test: 'test' }[part]} utterances`,
      range(metadata.map(({ utterances }) => utterances[part])),
    ]),
    ['training clips cut to max_audio_sec', range(metadata.map(({ cropped }) => cropped))],
    ['training transcripts cut for the Former', range(metadata.map(({ cut_texts = 0 }) => cut_texts))],
    ...(metadata[0]!.augmentation === undefined
      ? []
      : ([['variants of the training clips', distinct(variantsText)]] satisfies [string, string][])),
    ...(metadata[0]!.prompt?.speaker === undefined
      ? []
      : ([['speaker in the prompt', distinct(({ prompt }) => prompt?.speaker ?? 'name')]] satisfies [
          string,
          string,
        ][])),
    ...(first!.folds === undefined
      ? []
      : ([['folds', String(first!.metadata.length)]] satisfies [string, string][])),
    [seeds.length > 1 ? 'seeds' : 'seed', seeds.join(', ')],
    ['trained parameters', range(metadata.map(({ parameters }) => parameters.trainable))],
    ['frozen parameters', range(metadata.map(({ parameters }) => parameters.frozen))],
    // A run without `trained` is still in progress, or was written by an earlier version.
    ['steps', range(metadata.map(({ trained, steps }) => trained?.steps ?? steps))],
    ['kept epoch', distinct(({ selected }) => keptEpoch(selected))],
    ...timeMetadata(parts.flatMap(({ times }) => times).filter((each) => each !== null)),
    ['device', distinct(({ device }) => device)],
    ['threads', distinct(({ threads }) => (threads === null ? 'one per core' : String(threads)))],
    ...(metadata[0]!.startedFrom === null
      ? []
      : ([['stage-1 checkpoint SHA-256', distinct((run) => run.startedFrom ?? 'none')]] satisfies [
          string,
          string,
        ][])),
    ['trained with', distinct(({ versions }) => versionsText(versions))],
  ];
}

/** What is drawn is in the recipe; this is what it was drawn from. */
function variantsText({ augmentation }: RunMetadata): string {
  if (augmentation === undefined) return 'none';
  const { copies, seed, noise, reverb } = augmentation;
  const counted = (count: number, one: string, many: string): string =>
    `${count} ${count === 1 ? one : many}`;
  const sources = [
    ...(noise ? [counted(noise.recordings, 'recording of noise', 'recordings of noise')] : []),
    ...(reverb ? [counted(reverb.recordings, 'impulse response', 'impulse responses')] : []),
  ];
  const from = sources.length === 0 ? '' : `, with ${sources.join(' and ')}`;
  return `${counted(copies, 'variant', 'variants')} of each, drawn by seed ${seed}${from}; see augment in the recipe`;
}

/** When the runs were trained, duration, speed and memory. */
function timeMetadata(times: readonly RunTimes[]): [name: string, value: string][] {
  if (times.length === 0) return [];
  const between = (values: readonly number[], text: (value: number) => string): string => {
    const [least, most] = [text(Math.min(...values)), text(Math.max(...values))];
    return least === most ? least : `${least} to ${most}`;
  };
  const day = (time: string): string => `${time.slice(0, 16).replace('T', ' ')} UTC`;
  const [first, last] = [times.map(({ started }) => started).sort(), times.map(({ ended }) => ended).sort()];
  const speeds = times.flatMap(({ utterancesPerSec }) => utterancesPerSec ?? []);
  return [
    ['trained', `${day(first[0]!)} to ${day(last.at(-1)!)}`],
    [
      'duration of a run',
      between(
        times.map(({ durationSec }) => durationSec),
        formatDuration,
      ),
    ],
    ...(speeds.length === 0
      ? []
      : ([
          [
            'training utterances per second',
            between(speeds, (value) => String(Number(value.toPrecision(3)))),
          ],
        ] satisfies [string, string][])),
    [
      'peak memory of a run',
      between(
        times.map(({ peakMemoryBytes }) => peakMemoryBytes),
        formatMemory,
      ),
    ],
  ];
}

function range(values: readonly number[]): string {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const text = (value: number): string => value.toLocaleString('en');
  return least === most ? text(least) : `${text(least)} to ${text(most)}`;
}

function keptEpoch(selected: ReadRuns['metadata'][number]['selected']): string {
  if (selected === null) return 'the run is not finished';
  const { epoch, metric, value } = selected;
  return metric === null || value === null
    ? `${epoch}, the last`
    : `${epoch} (validation ${figureText(metric, value)})`;
}

function versionsText(versions: Readonly<Record<string, string>>): string {
  return Object.entries(versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(', ');
}

/** A run with what distinguishes it from the others. */
interface TracedRun {
  readonly folder: RunFolder;
  readonly metadata: RunMetadata;
  readonly seed: number | null;
}

/** Curves of every run, earlier phases first. Runs without readable metrics are reported and left out. */
export async function trainingCurves(
  parts: readonly ReadRuns[],
  onWarning: (text: string) => void,
): Promise<TrainingCurve[]> {
  const own = parts.flatMap(({ seed, runs, metadata }) =>
    runs.map((folder, index): TracedRun => ({ folder, metadata: metadata[index]!, seed })),
  );
  const before = await Promise.all(own.map(earlierRunOf));
  const traced = [...before.filter((run) => run !== undefined), ...own];
  const curves: TrainingCurve[] = [];
  for (const run of traced) {
    const alone = traced.filter(({ metadata }) => metadata.phase === run.metadata.phase).length === 1;
    try {
      curves.push(curveOf(run, await readMetrics(run.folder.metrics), alone));
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      onWarning(`no training curve of ${run.folder.dir}: ${errorMessage(error)}`);
    }
  }
  return curves;
}

/** The earlier run that a run started from: `stage1[/fold-N]` for `stage2[/fold-N]`. */
async function earlierRunOf({ folder, metadata, seed }: TracedRun): Promise<TracedRun | undefined> {
  if (metadata.startedFrom === null) return undefined;
  const dir = resolve(folder.dir);
  const [phaseDir, inside] = metadata.fold === null ? [dir, []] : [dirname(dir), [basename(dir)]];
  if (basename(phaseDir) !== metadata.phase) return undefined;
  const recipe = await runRecipe(folder).catch(() => undefined);
  const start = recipe && systemOf(recipe).startsFrom(recipe, metadata.phase);
  if (start === undefined) return undefined;
  const first = runFolder(join(dirname(phaseDir), start.phase, ...inside));
  const firstMetadata = await readMetadata(first).catch(() => undefined);
  return firstMetadata && { folder: first, metadata: firstMetadata, seed };
}

function curveOf(
  { metadata: { phase, fold, selected }, seed }: TracedRun,
  lines: readonly MetricsLine[],
  alone: boolean,
): TrainingCurve {
  const named = [
    titleOf(phase),
    ...(seed === null ? [] : [`seed ${seed}`]),
    ...(fold === null ? [] : [`fold ${fold}`]),
  ];
  return {
    title: alone ? '' : named.join(', '),
    phase: { name: phase, title: titleOf(phase) },
    steps: lines
      .filter(({ validation }) => validation === undefined)
      .map(({ step, loss, gradient_norm, learning_rate_used }) => ({
        step,
        loss: loss as number,
        gradientNorm: gradient_norm as number,
        learningRate: learning_rate_used as number,
      })),
    epochs: lines.flatMap(({ step, epoch, validation: figures }) =>
      figures === undefined ? [] : [{ step, epoch, figures }],
    ),
    selectedEpoch: selected?.epoch ?? null,
  };
}

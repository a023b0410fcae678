/** @file Formats training runs as a table, or as objects for programs. */

import { formatDuration, formatMemory } from '../../base/index.js';
import { columnName, figureText, metricText, textTable } from '../../evaluation/index.js';
import { paperMetrics } from '../../evaluation/metrics/index.js';
import { type ListedRun, phaseKeys } from '../../training/runs/index.js';

const HEADER = [
  ...['run', 'stage', 'fold', 'seed', 'status', 'validation'],
  ...paperMetrics.map(columnName),
  ...['begun (UTC)', 'time', 'utt/s', 'memory', 'recipe'],
];

/** One row for each run, with its scores in percent. */
export function runsTable(runs: readonly ListedRun[]): string {
  const rows = runs.map((listed) => [
    listed.dir,
    phaseText(listed),
    listed.fold === null ? '-' : String(listed.fold),
    String(listed.seed),
    statusOf(listed),
    validationOf(listed),
    ...paperMetrics.map((metric) => (listed.test ? metricText(metric, listed.test[metric.key]) : '-')),
    ...timesOf(listed),
    changesOf(listed),
  ]);
  const left = new Set(['run', 'status', 'validation', 'begun (UTC)', 'recipe']);
  return textTable(
    HEADER,
    rows,
    HEADER.map((name) => (left.has(name) ? 'left' : 'right')),
  );
}

function statusOf({ status, step, totalSteps, trial }: ListedRun): string {
  if (status === 'unfinished' && trial?.status === 'stopped') return `stopped, step ${step} of ${totalSteps}`;
  if (status === 'unfinished') return `step ${step} of ${totalSteps}`;
  return step < totalSteps ? `finished early, step ${step} of ${totalSteps}` : 'finished';
}

function validationOf({ best }: ListedRun): string {
  return !best || best.value === null
    ? '-'
    : `${figureText(best.metric ?? '', best.value)}, epoch ${best.epoch}`;
}

/** Date, time that its processes took, utterances trained on in a second, and the peak of their memory. */
function timesOf({ times }: ListedRun): string[] {
  if (times === null) return ['-', '-', '-', '-'];
  const { started, durationSec, utterancesPerSec, peakMemoryBytes } = times;
  return [
    started.slice(0, 16).replace('T', ' '),
    formatDuration(durationSec),
    utterancesPerSec === null ? '-' : String(Number(utterancesPerSec.toPrecision(3))),
    formatMemory(peakMemoryBytes),
  ];
}

/** The number of a stage, or the name of another phase. */
function phaseText(listed: ListedRun): string {
  const { stage, phase } = phaseKeys(listed);
  return String(stage ?? phase);
}

/** `stage1.epochs=3`, as `--set` takes it. */
function changesOf({ name, changed }: ListedRun): string {
  if (changed === null) return `no recipe ${name} to compare with`;
  if (changed.length === 0) return 'unchanged';
  return changed.map(({ key, after = 'absent' }) => `${key}=${after}`).join(' ');
}

/** The same of one run, scores as fractions and times in seconds. */
export function runObject({
  dir,
  name,
  system,
  phase,
  fold,
  seed,
  status,
  step,
  totalSteps,
  ...found
}: ListedRun) {
  const { best, test, times, trial, changed } = found;
  return {
    run: dir,
    ...{ name, ...phaseKeys({ system, phase }), fold, seed, status, step },
    total_steps: totalSteps,
    ...(trial && { trial: trial.trial, trial_status: trial.status }),
    validation: best,
    test,
    times: times && {
      started: times.started,
      ended: times.ended,
      duration_sec: times.durationSec,
      encoding_sec: times.encodingSec,
      training_sec: times.trainingSec,
      validation_sec: times.validationSec,
      utterances_per_sec: times.utterancesPerSec,
      peak_memory_bytes: times.peakMemoryBytes,
    },
    changed:
      changed &&
      Object.fromEntries(
        changed.map(({ key, before, after }) => [key, { recipe: parsed(before), run: parsed(after) }]),
      ),
  };
}

/** null where the recipe does not have the key. */
function parsed(json: string | undefined): unknown {
  return json === undefined ? null : JSON.parse(json);
}

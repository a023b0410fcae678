/** @file `emoq runs` at work: one row for each run. */

import { formatDuration, formatMemory } from '../../base/index.js';
import { columnName, figureText, metricText, paperMetrics, textTable } from '../../evaluation/index.js';
import { type ListedRun, listRuns } from '../../train/run/index.js';
import { note, printJson, printResult, warn } from '../output.js';
import type { RunsOptions } from './runs.js';

export async function run({ root, json }: RunsOptions): Promise<void> {
  const found = await listRuns(root);
  const runs = found.filter((each) => each.kind === 'run');
  // What is wrong with the results of a cross-validation is wrong with each of its folds.
  const problems = new Set(
    found.map((each) => (each.kind === 'run' ? each.problem : `${each.dir}: ${each.problem}`)),
  );
  for (const problem of problems) if (problem !== undefined) warn(problem);
  if (json) printJson({ root, runs: runs.map(jsonRow) });
  else if (runs.length === 0) note(`there are no runs in ${root}`);
  else printResult(table(runs));
}

const HEADER = [
  ...['run', 'stage', 'fold', 'seed', 'status', 'validation'],
  ...paperMetrics.map(columnName),
  ...['begun (UTC)', 'time', 'utt/s', 'memory', 'recipe'],
];

function table(runs: readonly ListedRun[]): string {
  const rows = runs.map((listed) => [
    listed.dir,
    String(listed.stage),
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

function statusOf({ status, step, totalSteps }: ListedRun): string {
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

/** `stage1.epochs=3`, as `--set` takes it. */
function changesOf({ name, changed }: ListedRun): string {
  if (changed === null) return `no recipe ${name} to compare with`;
  if (changed.length === 0) return 'unchanged';
  return changed.map(({ key, after = 'absent' }) => `${key}=${after}`).join(' ');
}

function jsonRow({ dir, name, stage, fold, seed, status, step, totalSteps, ...found }: ListedRun) {
  const { best, test, times, changed } = found;
  return {
    run: dir,
    ...{ name, stage, fold, seed, status, step },
    total_steps: totalSteps,
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

/** null where the recipe lacks the key. */
function parsed(json: string | undefined): unknown {
  return json === undefined ? null : JSON.parse(json);
}

/** @file The curves of runs, and of the runs of earlier phases that they started from. */

import { basename, dirname, join, resolve } from 'node:path';
import { errorMessage, InputError } from '../../base/index.js';
import type { TrainingCurve } from '../../report/index.js';
import { systemOf, titleOf } from '../../systems/index.js';
import {
  type MetricsLine,
  type RunFolder,
  type RunMetadata,
  readMetadata,
  readMetrics,
  runFolder,
  runRecipe,
} from '../../training/runs/index.js';
import type { ReadRuns } from './evaluated-runs.js';

/** A run with what tells it from the others. */
interface TracedRun {
  readonly folder: RunFolder;
  readonly facts: RunMetadata;
  readonly seed: number | null;
}

/** Curves of every run, earlier phases first. A run without readable metrics is told of and left out. */
export async function trainingCurves(
  parts: readonly ReadRuns[],
  onWarning: (text: string) => void,
): Promise<TrainingCurve[]> {
  const own = parts.flatMap(({ seed, runs, facts }) =>
    runs.map((folder, index): TracedRun => ({ folder, facts: facts[index]!, seed })),
  );
  const before = await Promise.all(own.map(earlierRunOf));
  const traced = [...before.filter((run) => run !== undefined), ...own];
  const curves: TrainingCurve[] = [];
  for (const run of traced) {
    const alone = traced.filter(({ facts }) => facts.phase === run.facts.phase).length === 1;
    try {
      curves.push(curveOf(run, await readMetrics(run.folder.metrics), alone));
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      onWarning(`no training curve of ${run.folder.dir}: ${errorMessage(error)}`);
    }
  }
  return curves;
}

/** The run beside a run that it started from: `stage1[/fold-N]` for `stage2[/fold-N]`. */
async function earlierRunOf({ folder, facts, seed }: TracedRun): Promise<TracedRun | undefined> {
  if (facts.startedFrom === null) return undefined;
  const dir = resolve(folder.dir);
  const [phaseDir, inside] = facts.fold === null ? [dir, []] : [dirname(dir), [basename(dir)]];
  if (basename(phaseDir) !== facts.phase) return undefined;
  const recipe = await runRecipe(folder).catch(() => undefined);
  const start = recipe && systemOf(recipe).startsFrom(recipe, facts.phase);
  if (start === undefined) return undefined;
  const first = runFolder(join(dirname(phaseDir), start.phase, ...inside));
  const firstFacts = await readMetadata(first).catch(() => undefined);
  return firstFacts && { folder: first, facts: firstFacts, seed };
}

function curveOf(
  { facts: { phase, fold, selected }, seed }: TracedRun,
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

/** @file The curves of runs, and of the stage-1 runs that they started from. */

import { basename, dirname, join, resolve } from 'node:path';
import { errorMessage, InputError } from '../../base/index.js';
import type { TrainingCurve } from '../../report/index.js';
import {
  type MetricsLine,
  type RunFacts,
  type RunFolder,
  readFacts,
  readMetrics,
  runFolder,
} from '../../train/run/index.js';
import type { ReadRuns } from './evaluated-runs.js';

/** A run with what tells it from the others. */
interface TracedRun {
  readonly folder: RunFolder;
  readonly facts: RunFacts;
  readonly seed: number | null;
}

/** Curves of every run, stage 1 before stage 2. A run without readable metrics is told of and left out. */
export async function trainingCurves(
  parts: readonly ReadRuns[],
  onWarning: (text: string) => void,
): Promise<TrainingCurve[]> {
  const own = parts.flatMap(({ seed, runs, facts }) =>
    runs.map((folder, index): TracedRun => ({ folder, facts: facts[index]!, seed })),
  );
  const before = await Promise.all(own.map(firstStageOf));
  const traced = [...before.filter((run) => run !== undefined), ...own];
  const curves: TrainingCurve[] = [];
  for (const run of traced) {
    const alone = traced.filter(({ facts }) => facts.stage === run.facts.stage).length === 1;
    try {
      curves.push(curveOf(run, await readMetrics(run.folder.metrics), alone));
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      onWarning(`no training curve of ${run.folder.dir}: ${errorMessage(error)}`);
    }
  }
  return curves;
}

/** The stage-1 run beside a stage-2 run that started from one: `stage1[/fold-N]` for `stage2[/fold-N]`. */
async function firstStageOf({ folder, facts, seed }: TracedRun): Promise<TracedRun | undefined> {
  if (facts.stage1 === null) return undefined;
  const dir = resolve(folder.dir);
  const [stageDir, inside] = facts.fold === null ? [dir, []] : [dirname(dir), [basename(dir)]];
  if (basename(stageDir) !== 'stage2') return undefined;
  const first = runFolder(join(dirname(stageDir), 'stage1', ...inside));
  const firstFacts = await readFacts(first).catch(() => undefined);
  return firstFacts && { folder: first, facts: firstFacts, seed };
}

function curveOf(
  { facts: { stage, fold, selected }, seed }: TracedRun,
  lines: readonly MetricsLine[],
  alone: boolean,
): TrainingCurve {
  const named = [
    `stage ${stage}`,
    ...(seed === null ? [] : [`seed ${seed}`]),
    ...(fold === null ? [] : [`fold ${fold}`]),
  ];
  return {
    title: alone ? '' : named.join(', '),
    stage,
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

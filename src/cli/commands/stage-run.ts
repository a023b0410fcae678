/** @file Trains one stage, one fold or all of them, for `emoq stage1` and `emoq stage2`. */

import { join } from 'node:path';
import { InterruptedError } from '../../base/index.js';
import type { Recipe } from '../../recipe/index.js';
import { checkFolds, runStage, type StageOutcome, type TrainingReport } from '../../train/index.js';
import { withInterrupts } from '../interrupt.js';
import { recipeOfOptions } from '../options.js';
import { note, printResult, warn } from '../output.js';
import { type Progress, startProgress } from '../progress.js';
import { recordedVersions, withCompute } from './compute.js';
import type { StageOptions } from './stage.js';

/** Folder of an experiment unless `--run` says otherwise. */
export function experimentFolder(recipe: Recipe, run: string | undefined): string {
  return run ?? join('runs', recipe.name);
}

export async function trainStage(stage: 1 | 2, options: StageOptions): Promise<void> {
  const recipe = await recipeOfOptions(options);
  if (options.dryRun) {
    const { describeStage } = await import('./dry-run.js');
    return describeStage(stage, recipe, options);
  }
  if (options.folds !== undefined) await checkFolds(recipe, options.folds);
  const versions = await recordedVersions();
  const root = experimentFolder(recipe, options.run);
  await withInterrupts('finishing the steps in hand and saving', (stop) =>
    withCompute(options.device, stop, async (compute) => {
      for (const fold of foldsOf(options)) {
        const name = `stage ${stage}${fold === undefined ? '' : `, fold ${fold}`}`;
        let progress: Progress | undefined;
        const outcome = await runStage({
          recipe,
          stage,
          fold,
          root,
          compute,
          versions,
          stop,
          onNote: note,
          onWarning: warn,
          onStart: (step, totalSteps) => {
            progress = startProgress({ label: name, unit: 'steps' });
            progress.update(step, totalSteps);
          },
          onReport: (report) => {
            progress?.update(report.step, report.totalSteps, [epochOf(report), ...lossOf(report)].join(', '));
            if (report.validation !== undefined) note(epochLine(name, report));
          },
        }).finally(() => progress?.finish());
        report(name, outcome);
      }
    }),
  );
}

function foldsOf({ fold, folds }: StageOptions): (number | undefined)[] {
  return folds === undefined ? [fold] : Array.from({ length: folds }, (_, index) => index + 1);
}

function epochLine(name: string, report: TrainingReport): string {
  const figures = Object.entries(report.validation!).map(
    ([metric, value]) => `${metric} ${value.toFixed(4)}`,
  );
  return `${name}, ${epochOf(report)}: ${[...lossOf(report), `validation ${figures.join(', ')}`].join(', ')}`;
}

function epochOf({ epoch, epochs }: TrainingReport): string {
  return `epoch ${epoch}/${epochs}`;
}

function lossOf({ loss }: TrainingReport): string[] {
  return loss === undefined ? [] : [`loss ${loss.toFixed(4)}`];
}

/** @throws InterruptedError after Ctrl-C, with how to go on */
function report(name: string, { status, folder, position, totalSteps }: StageOutcome): void {
  if (status === 'interrupted') {
    throw new InterruptedError(
      `${name} stopped after step ${position.step} of ${totalSteps}; saved in ${folder.dir}. Run the same command again to go on`,
    );
  }
  if (status === 'already')
    note(`${name} is finished already; delete ${folder.dir} or use another --run to train anew`);
  printResult(folder.checkpoint);
}

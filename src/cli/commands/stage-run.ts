/** @file Trains one stage, one fold or all of them, for `emoq stage1` and `emoq stage2`. */

import { join } from 'node:path';
import { InputError, InterruptedError } from '../../base/index.js';
import type { Recipe } from '../../recipe/index.js';
import { runStage, type StageOutcome, type TrainingReport } from '../../train/index.js';
import { withInterrupts } from '../interrupt.js';
import { recipeOfOptions } from '../options.js';
import { note, printResult } from '../output.js';
import { startProgress } from '../progress.js';
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
  const folds = foldsOf(recipe, options);
  const versions = await recordedVersions();
  const root = experimentFolder(recipe, options.run);
  await withInterrupts('finishing the steps in hand and saving', (stop) =>
    withCompute(options.device, stop, async (compute) => {
      for (const fold of folds) {
        const name = `stage ${stage}${fold === undefined ? '' : `, fold ${fold}`}`;
        const progress = startProgress({ label: name, unit: 'steps' });
        const outcome = await runStage({
          recipe,
          stage,
          fold,
          root,
          compute,
          versions,
          stop,
          onNote: note,
          onReport: (report) => {
            progress.update(
              report.step,
              report.totalSteps,
              `epoch ${report.epoch}/${report.epochs}, loss ${report.loss.toFixed(4)}`,
            );
            if (report.validation !== undefined) note(epochLine(name, report));
          },
        });
        progress.finish();
        report(name, outcome);
      }
    }),
  );
}

function foldsOf(recipe: Recipe, { fold, folds }: StageOptions): (number | undefined)[] {
  if (folds !== undefined && recipe.folds === 'none') {
    throw new InputError(`recipe ${recipe.name} has no folds; leave out --folds, or --set folds=session`);
  }
  return folds === undefined ? [fold] : Array.from({ length: folds }, (_, index) => index + 1);
}

function epochLine(name: string, { epoch, epochs, loss, validation }: TrainingReport): string {
  const figures = Object.entries(validation!).map(([metric, value]) => `${metric} ${value.toFixed(4)}`);
  return `${name}, epoch ${epoch}/${epochs}: loss ${loss.toFixed(4)}, validation ${figures.join(', ')}`;
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

/** @file Trains one stage, one fold or all of them, for `emoq stage1` and `emoq stage2`. */

import { join } from 'node:path';
import { InputError, InterruptedError, quoted } from '../../base/index.js';
import { figureText } from '../../evaluation/index.js';
import type { Recipe } from '../../recipe/index.js';
import { checkFolds, runStage, type StageOutcome, type TrainingReport } from '../../train/index.js';
import { withInterrupts } from '../interrupt.js';
import { recipeOfOptions } from '../options.js';
import { note, printResult, warn } from '../terminal-output.js';
import { startTrainingView, type TrainingView } from '../training-view.js';
import { recordedVersions } from '../versions.js';
import { withCompute } from './compute.js';
import type { TrainingOptions } from './training-options.js';

/** Folder of an experiment unless `--run` says otherwise. */
export function experimentFolder(recipe: Recipe, run: string | undefined): string {
  return run ?? join('runs', recipe.name);
}

export async function trainStage(stage: 1 | 2, options: TrainingOptions): Promise<void> {
  const recipe = await recipeOfOptions(options);
  if (options.dryRun) {
    const { describeStage } = await import('./dry-run.js');
    return describeStage(stage, recipe, options);
  }
  await trainRecipe(stage, recipe, options, ({ folder }) => printResult(folder.checkpoint));
}

/**
 * Trains a stage of a recipe, one fold or all of them; what is finished is told to `onTrained`.
 * @throws InterruptedError after Ctrl-C, with how to go on
 */
export async function trainRecipe(
  stage: 1 | 2,
  recipe: Recipe,
  options: Pick<TrainingOptions, 'fold' | 'folds' | 'run' | 'device' | 'threads'> & {
    readonly title?: string;
  },
  onTrained: (outcome: StageOutcome) => void = () => undefined,
): Promise<void> {
  if (options.folds !== undefined) await checkFolds(recipe, options.folds, 'train');
  const saveIntervalSec = saveInterval();
  const versions = await recordedVersions();
  const root = experimentFolder(recipe, options.run);
  await withInterrupts('finishing the steps in hand and saving', (stop) =>
    withCompute(
      options.device,
      stop,
      async (compute) => {
        for (const fold of foldsOf(options)) {
          const title = options.title === undefined ? '' : `, ${options.title}`;
          const name = `stage ${stage}${title}${fold === undefined ? '' : `, fold ${fold}`}`;
          // Of several runs in one process each says which it is.
          const told = (text: string): string => (name === `stage ${stage}` ? text : `${name}: ${text}`);
          let view: TrainingView | undefined;
          const outcome = await runStage({
            recipe,
            stage,
            fold,
            root,
            compute,
            versions,
            stop,
            ...(saveIntervalSec !== undefined && { saveIntervalSec }),
            onNote: (text) => note(told(text)),
            onWarning: (text) => warn(told(text)),
            onStart: (step, totalSteps) => {
              view = startTrainingView(name, { step, totalSteps });
            },
            onValidation: (done, total) => view?.validating(done, total),
            onReport: (report) => {
              view?.update(report);
              if (report.epochEnded) note(epochLine(name, report));
            },
          }).finally(() => view?.finish());
          report(name, outcome);
          onTrained(outcome);
        }
      },
      options.threads,
    ),
  );
}

export function foldsOf({ fold, folds }: Pick<TrainingOptions, 'fold' | 'folds'>): (number | undefined)[] {
  return folds === undefined ? [fold] : Array.from({ length: folds }, (_, index) => index + 1);
}

/** Seconds between two states saved inside an epoch, where EMOQ_SAVE_INTERVAL says otherwise than 10 minutes. */
export function saveInterval(): number | undefined {
  const text = process.env.EMOQ_SAVE_INTERVAL;
  if (!text) return undefined;
  const seconds = Number(text);
  if (seconds >= 0) return seconds;
  throw new InputError(`EMOQ_SAVE_INTERVAL is ${quoted(text)}; it is a number of seconds, such as 60`);
}

/** What an epoch came to: `stage 1, fold 2, epoch 3/10: loss 1.2345, validation WA 67.9 %, ...`. */
export function epochLine(name: string, report: TrainingReport): string {
  const figures = Object.entries(report.validation ?? {}).map(([metric, value]) => figureText(metric, value));
  const validated = figures.length === 0 ? [] : [`validation ${figures.join(', ')}`];
  const parts = [...lossOf(report), ...validated];
  return `${name}, ${epochOf(report)}: ${parts.length === 0 ? 'done' : parts.join(', ')}`;
}

function epochOf({ epoch, epochs }: TrainingReport): string {
  return `epoch ${epoch}/${epochs}`;
}

function lossOf({ figures }: TrainingReport): string[] {
  return figures?.loss === undefined ? [] : [`loss ${figures.loss.toFixed(4)}`];
}

/** @throws InterruptedError after Ctrl-C, with how to go on */
function report(name: string, { status, folder, position, totalSteps }: StageOutcome): void {
  if (status === 'interrupted') {
    throw new InterruptedError(
      `${name} stopped after step ${position.step} of ${totalSteps}; saved in ${folder.dir}. Run the same command again to go on`,
    );
  }
  if (status === 'finished' && position.step < totalSteps) {
    const { epoch, best } = position;
    note(`${name} ended early, after epoch ${epoch}: no better ${best?.metric} since epoch ${best?.epoch}`);
  }
  if (status === 'already')
    note(`${name} is finished already; delete ${folder.dir} or use another --run to train anew`);
}

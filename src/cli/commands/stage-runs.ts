/** @file Folds and seeds of a stage, one after the other or several at a time: one that fails does not lose the others. */

import {
  ComputationError,
  defaultJobs,
  InputError,
  InterruptedError,
  mapConcurrently,
} from '../../base/index.js';
import { seedFolder } from '../../inference/index.js';
import { checkFolds, prepareRuns, type StageOutcome } from '../../train/index.js';
import { reportError } from '../errors.js';
import { withInterrupts } from '../interrupt.js';
import { recipeOfOptions } from '../options.js';
import { note, printResult } from '../output.js';
import { recordedVersions, withCompute } from './compute.js';
import type { StageRun } from './run-messages.js';
import type { StageOptions } from './stage.js';
import { experimentFolder, foldsOf, saveInterval, trainRecipe, trainStage } from './stage-run.js';

/** A run with the part of its name that tells its seed, where there are several. */
interface NamedRun extends StageRun {
  readonly title: string | undefined;
}

type Runs = readonly [NamedRun, ...NamedRun[]];

/** Trains what the options ask for: one run, or one for each seed and fold. */
export async function trainRuns(stage: 1 | 2, options: StageOptions): Promise<void> {
  const { seeds, folds, jobs: asked = 1 } = options;
  if (asked > 1 && seeds === undefined && folds === undefined) {
    throw new InputError(
      `--jobs ${asked} is for several runs, and this is one; add --folds or --seeds, or leave it out`,
    );
  }
  if (options.dryRun || (seeds === undefined && folds === undefined)) return trainStage(stage, options);
  const runs = await plannedRuns(stage, options);
  if (folds !== undefined) await checkFolds(runs[0].recipe, folds, 'train');
  const jobs = Math.min(asked, runs.length);
  if (jobs === 1) await trainInSequence(runs, options);
  else await trainSideBySide(runs, jobs, options);
}

/** @throws InputError where the seed is given by `--seeds` and by `--set` */
export function refuseSeedTwice({ seeds, set = [] }: Pick<StageOptions, 'seeds' | 'set'>): void {
  if (seeds !== undefined && set.some((override) => /^\s*seed\s*=/.test(override))) {
    throw new InputError('--seeds gives each run its seed; leave out --set seed');
  }
}

async function plannedRuns(stage: 1 | 2, options: StageOptions): Promise<Runs> {
  const { seeds, set = [] } = options;
  refuseSeedTwice(options);
  const variants =
    seeds === undefined
      ? [{ recipe: await recipeOfOptions(options), seed: undefined }]
      : await Promise.all(
          seeds.map(async (seed) => ({
            recipe: await recipeOfOptions({ ...options, set: [...set, `seed=${seed}`] }),
            seed,
          })),
        );
  return variants.flatMap(({ recipe, seed }) => {
    const root = experimentFolder(recipe, options.run);
    const own = seed === undefined ? root : seedFolder(root, seed);
    const title = seed === undefined ? undefined : `seed ${seed}`;
    return foldsOf(options).map((fold): NamedRun => ({ stage, recipe, fold, root: own, title }));
  }) as [NamedRun, ...NamedRun[]];
}

/** One after the other, in this process. */
async function trainInSequence(runs: Runs, { device, threads }: StageOptions): Promise<void> {
  await prepareRuns(runs[0].stage, runs);
  const failures: Failure[] = [];
  for (const { stage, recipe, fold, root, title } of runs) {
    const options = {
      run: root,
      device,
      ...(fold && { fold }),
      ...(threads && { threads }),
      ...(title && { title }),
    };
    try {
      await trainRecipe(stage, recipe, options, ({ folder }) => printResult(folder.checkpoint));
    } catch (error) {
      if (error instanceof InterruptedError) throw error; // ends all of them
      failures.push(reported(nameOf({ stage, fold, title }), error));
    }
  }
  throwFailures(failures, runs.length);
}

/** Several at a time, each in a process of its own with its part of the cores. Clips are encoded first, once for all. */
async function trainSideBySide(runs: Runs, jobs: number, options: StageOptions): Promise<void> {
  const saveIntervalSec = saveInterval();
  const versions = await recordedVersions();
  const { startRunPool } = await import('./run-pool.js');
  const threads = options.threads ?? Math.max(1, Math.floor(defaultJobs() / jobs));
  const failures: Failure[] = [];
  const trained: StageOutcome[] = [];
  await withInterrupts('finishing the steps in hand of every run and saving', (stop) =>
    withCompute(
      options.device,
      stop,
      async (compute) => {
        await prepareRuns(runs[0].stage, runs, compute);
        note(
          `${runs.length} runs, ${jobs} at a time, ${threads} ${threads === 1 ? 'thread' : 'threads'} each`,
        );
        const { device, cacheDir } = compute;
        const train = startRunPool(stop);
        const outcomes = await mapConcurrently(runs, jobs, async ({ title, ...run }) => {
          if (stop.aborted) return undefined;
          const name = nameOf({ ...run, title });
          const task = { ...run, compute: { device, threads, cacheDir }, versions, saveIntervalSec };
          try {
            const outcome = await train(name, task);
            note(`${name}: ${endOf(outcome)}`);
            return outcome;
          } catch (error) {
            if (!(error instanceof InterruptedError)) failures.push(reported(name, error));
            return undefined;
          }
        });
        trained.push(...outcomes.filter((outcome) => outcome !== undefined));
      },
      options.threads,
    ),
  );
  const done = trained.filter(({ status }) => status !== 'interrupted');
  for (const { folder } of done) printResult(folder.checkpoint);
  if (done.length + failures.length < runs.length) {
    throw new InterruptedError(
      `${done.length} of ${runs.length} runs are finished, ${trained.length - done.length} stopped and saved; run the same command again to go on`,
    );
  }
  throwFailures(failures, runs.length);
}

function nameOf({ stage, title, fold }: Pick<NamedRun, 'stage' | 'title' | 'fold'>): string {
  return [`stage ${stage}`, ...(title ? [title] : []), ...(fold === undefined ? [] : [`fold ${fold}`])].join(
    ', ',
  );
}

function endOf({ status, position, totalSteps, folder }: StageOutcome): string {
  if (status === 'already')
    return `finished already; delete ${folder.dir} or use another --run to train anew`;
  if (status === 'interrupted')
    return `stopped after step ${position.step} of ${totalSteps}; saved in ${folder.dir}`;
  return `finished after step ${position.step}`;
}

interface Failure {
  readonly name: string;
  readonly error: unknown;
}

/** Tells of a run that failed. */
function reported(name: string, error: unknown): Failure {
  if (error instanceof Error) error.message = `${name}: ${error.message}`;
  reportError(error, process.argv.includes('--debug'));
  return { name, error };
}

/** @throws InputError where each failure is the user's to mend, else ComputationError */
function throwFailures(failures: readonly Failure[], runs: number): void {
  if (failures.length === 0) return;
  const names = failures.map(({ name }) => name).join('; ');
  const others =
    failures.length < runs ? '. The others are finished; run the same command again for these' : '';
  const text = `${failures.length} of ${runs} runs failed: ${names}${others}`;
  throw failures.every(({ error }) => error instanceof InputError)
    ? new InputError(text)
    : new ComputationError(text);
}

/** @file From an experiment's folder to the runs that are scored: one run, a fold, or the finished folds together. */

import { join } from 'node:path';
import { InputError, pathExists } from '../base/index.js';
import { findRun, seedFolder, seedFolders } from '../inference/index.js';
import { checkFolds, hasStage1 } from '../train/index.js';
import {
  type RunFacts,
  type RunFolder,
  readFacts,
  runFolder,
  runRecipe,
  stageFolder,
} from '../train/run/index.js';

/** Which runs of an experiment. */
export interface RunChoice {
  /** Absent: stage 2, or whatever a folder that is a run itself holds. */
  readonly stage?: 1 | 2;
  readonly fold?: number;
  readonly folds?: number;
  readonly seeds?: readonly number[] | 'all';
}

/** The runs that are scored together. */
export interface SelectedRuns {
  readonly stage: 1 | 2;
  /** One, or one for each finished fold. */
  readonly runs: readonly RunFolder[];
  /** Where predictions and results lie: in the one run, or around the folds. */
  readonly folder: RunFolder;
  /** Of a cross-validation: how many folds it has, and which of them are not there or not finished. */
  readonly folds: { readonly total: number; readonly missing: readonly number[] } | undefined;
}

/** What a seed's runs are, or the only ones. */
export interface SeedRuns extends SelectedRuns {
  readonly seed: number | null;
  /** Folder of the experiment, or of the seed inside it. */
  readonly root: string;
}

/**
 * Finds the runs of an experiment, and computes nothing.
 * @throws InputError when there are none, they are not of the stage or fold that is asked for, or no fold is finished
 */
export async function selectRuns(
  root: string,
  { stage: asked, fold, folds }: Pick<RunChoice, 'stage' | 'fold' | 'folds'>,
): Promise<SelectedRuns> {
  const own = await readFacts(runFolder(root));
  if (own !== undefined) checkSingleRun(root, own, { stage: asked, fold });
  const stage = own?.stage ?? asked ?? 2;
  if (stage === 1) await requireStage1(root, fold ?? (folds === undefined ? undefined : 1));
  if (folds === undefined) {
    const run = await findRun(root, stage, own === undefined ? fold : undefined);
    return { stage, runs: [run], folder: run, folds: undefined };
  }
  return { stage, ...(await finishedFolds(root, stage, folds)) };
}

/** The same for each seed that is asked for. A run that is missing is told of before anything is computed. */
export async function selectSeeds(root: string, options: RunChoice): Promise<SeedRuns[]> {
  if (options.seeds === undefined) return [{ seed: null, root, ...(await selectRuns(root, options)) }];
  const selected: SeedRuns[] = [];
  for (const { seed, dir } of await seedsOf(root, options.seeds)) {
    selected.push({ seed, root: dir, ...(await selectRuns(dir, options)) });
  }
  return selected;
}

/** The folders of the seeds that are asked for. @throws InputError where there are none */
async function seedsOf(
  root: string,
  seeds: NonNullable<RunChoice['seeds']>,
): Promise<{ seed: number; dir: string }[]> {
  const present = await seedFolders(root);
  if (present.length === 0) {
    throw new InputError(
      `${root} holds no runs of seeds (seed-N); train with --seeds first, or leave it out`,
    );
  }
  return seeds === 'all' ? present : seeds.map((seed) => ({ seed, dir: seedFolder(root, seed) }));
}

/** What a cross-validation is called, of which folds may be missing: `5 folds`, `2 of 5 folds`. */
export function foldsText({ total, missing }: NonNullable<SelectedRuns['folds']>): string {
  return missing.length === 0 ? `${total} folds` : `${total - missing.length} of ${total} folds`;
}

/** Which folds the figures are without, as a warning; undefined where they are of all. */
export function missingFoldsWarning({ root, stage, folds }: SeedRuns): string | undefined {
  if (folds === undefined || folds.missing.length === 0) return undefined;
  const [noun, verb] = folds.missing.length === 1 ? ['fold', 'is'] : ['folds', 'are'];
  return `${noun} ${folds.missing.join(', ')} of ${folds.total} ${verb} not trained to the end in ${join(root, `stage${stage}`)}: these are the figures of the others, and not of the cross-validation`;
}

/** @throws InputError where a folder that is a run itself is not what is asked for */
function checkSingleRun(
  dir: string,
  facts: RunFacts,
  { stage, fold }: { readonly stage: 1 | 2 | undefined; readonly fold: number | undefined },
): void {
  if (stage !== undefined && stage !== facts.stage) {
    throw new InputError(
      `${dir} is a run of stage ${facts.stage}, and --stage ${stage} asks for another; leave it out, or name the folder around stage1 and stage2`,
    );
  }
  if (fold !== undefined && fold !== facts.fold) {
    const what = facts.fold === null ? 'a run without folds' : `fold ${facts.fold}`;
    throw new InputError(
      `${dir} is ${what}, and --fold ${fold} asks for another; leave it out, or name the folder around stage1 and stage2`,
    );
  }
}

/** @throws InputError where a run has no stage 1 because its stage 2 needs none */
async function requireStage1(root: string, fold: number | undefined): Promise<void> {
  if (await pathExists(stageFolder(root, 1, fold).facts)) return;
  const stage2 = stageFolder(root, 2, fold);
  if (!(await pathExists(stage2.recipe)) || hasStage1(await runRecipe(stage2))) return;
  throw new InputError(
    `the run in ${root} has no stage 1, because without a Former (fusion is none) there is none to train; leave out --stage 1`,
  );
}

/** @throws InputError where the experiment has no folds, or another number of them, or none is finished */
async function finishedFolds(
  root: string,
  stage: 1 | 2,
  total: number,
): Promise<Pick<SelectedRuns, 'runs' | 'folder' | 'folds'>> {
  const all = Array.from({ length: total }, (_, index) => index + 1);
  const folders = all.map((fold) => ({ fold, folder: stageFolder(root, stage, fold) }));
  const facts = await Promise.all(folders.map(({ folder }) => readFacts(folder)));
  const begun = facts.findIndex((each) => each !== undefined);
  const plain = stageFolder(root, stage, undefined);
  const known =
    begun >= 0
      ? folders[begun]!.folder
      : (await pathExists(plain.facts))
        ? plain
        : await findRun(root, stage, 1); // says what is there in place of folds, or how to train them
  await checkFolds(await runRecipe(known), total, 'score');
  const finished = folders.filter((_, index) => facts[index]?.status === 'finished');
  if (finished.length === 0) {
    throw new InputError(
      `none of the ${total} folds in ${join(root, `stage${stage}`)} is trained to the end; run the stage${stage} command that began them again, or score one as it is with --run ${known.dir}`,
    );
  }
  const missing = all.filter((fold) => !finished.some((each) => each.fold === fold));
  return {
    runs: finished.map(({ folder }) => folder),
    folder: runFolder(join(root, `stage${stage}`)),
    folds: { total, missing },
  };
}

/** @file Selects the runs of an experiment's folder to score: one run, a fold, or all finished folds. */

import { join } from 'node:path';
import { InputError, pathExists } from '../base/index.js';
import { finalPhaseIn, findRun, refuseMissingPhase, seedFolder, seedFolders } from '../inference/index.js';
import { titleOf } from '../systems/index.js';
import { checkFolds } from '../training/index.js';
import {
  phaseFolder,
  type RunFolder,
  type RunMetadata,
  readMetadata,
  runFolder,
  runRecipe,
} from '../training/runs/index.js';

/** Which runs of an experiment. */
export interface RunChoice {
  /** Name of a phase. Default: the last one, or that of a folder that is itself a run. */
  readonly stage?: string;
  readonly fold?: number;
  readonly folds?: number;
  readonly seeds?: readonly number[] | 'all';
}

/** Runs that are scored together. */
export interface SelectedRuns {
  readonly phase: string;
  /** One run, or each finished fold. */
  readonly runs: readonly RunFolder[];
  /** Where predictions and results are: in the single run, or in the folder around the folds. */
  readonly folder: RunFolder;
  /** For a cross-validation: the number of folds, and those missing or unfinished. */
  readonly folds: { readonly total: number; readonly missing: readonly number[] } | undefined;
}

/** The runs of one seed, or of an experiment without seeds. */
export interface SeedRuns extends SelectedRuns {
  readonly seed: number | null;
  /** Folder of the experiment, or of the seed inside it. */
  readonly root: string;
}

/**
 * Finds the runs of an experiment without computing anything.
 * @throws InputError when there are none, they are not of the requested stage or fold, or no fold is finished
 */
export async function selectRuns(
  root: string,
  { stage: asked, fold, folds }: Pick<RunChoice, 'stage' | 'fold' | 'folds'>,
): Promise<SelectedRuns> {
  const own = await readMetadata(runFolder(root));
  if (own !== undefined) checkSingleRun(root, own, { stage: asked, fold });
  const phase = own?.phase ?? asked ?? (await finalPhaseIn(root));
  if (asked !== undefined) await requirePhaseOf(root, asked, fold ?? (folds === undefined ? undefined : 1));
  if (folds === undefined) {
    const run = await findRun(root, phase, own === undefined ? fold : undefined);
    return { phase, runs: [run], folder: run, folds: undefined };
  }
  return { phase, ...(await finishedFolds(root, phase, folds)) };
}

/** The same for each requested seed. Missing runs are reported before anything is computed. */
export async function selectSeeds(root: string, options: RunChoice): Promise<SeedRuns[]> {
  if (options.seeds === undefined) return [{ seed: null, root, ...(await selectRuns(root, options)) }];
  const selected: SeedRuns[] = [];
  for (const { seed, dir } of await seedsOf(root, options.seeds)) {
    selected.push({ seed, root: dir, ...(await selectRuns(dir, options)) });
  }
  return selected;
}

/** The folders of the requested seeds. @throws InputError if there are none */
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

/** Describes a cross-validation with possibly missing folds: `5 folds`, `2 of 5 folds`. */
export function foldsText({ total, missing }: NonNullable<SelectedRuns['folds']>): string {
  return missing.length === 0 ? `${total} folds` : `${total - missing.length} of ${total} folds`;
}

/** A warning listing folds that the figures do not include; undefined if all are included. */
export function missingFoldsWarning({ root, phase, folds }: SeedRuns): string | undefined {
  if (folds === undefined || folds.missing.length === 0) return undefined;
  const [noun, verb] = folds.missing.length === 1 ? ['fold', 'is'] : ['folds', 'are'];
  return `${noun} ${folds.missing.join(', ')} of ${folds.total} ${verb} not fully trained in ${join(root, phase)}: these figures cover the other folds, not the whole cross-validation`;
}

/** @throws InputError if a folder that is itself a run is not what was asked for */
function checkSingleRun(
  dir: string,
  metadata: RunMetadata,
  { stage, fold }: { readonly stage: string | undefined; readonly fold: number | undefined },
): void {
  if (stage !== undefined && stage !== metadata.phase) {
    throw new InputError(
      `${dir} is a run of ${titleOf(metadata.phase)}, and --${titleOf(stage)} asks for another; leave it out, or name the folder around stage1 and stage2`,
    );
  }
  if (fold !== undefined && fold !== metadata.fold) {
    const what = metadata.fold === null ? 'a run without folds' : `fold ${metadata.fold}`;
    throw new InputError(
      `${dir} is ${what}, and --fold ${fold} asks for another; leave it out, or name the folder around stage1 and stage2`,
    );
  }
}

/** @throws InputError if a phase is missing because the experiment's recipe does not have it */
async function requirePhaseOf(root: string, phase: string, fold: number | undefined): Promise<void> {
  if (await pathExists(phaseFolder(root, phase, fold).metadata)) return;
  const last = phaseFolder(root, await finalPhaseIn(root), fold);
  if (await pathExists(last.recipe)) refuseMissingPhase(await runRecipe(last), phase, `the run in ${root}`);
}

/** @throws InputError if the experiment has no folds, another number of folds, or no finished fold */
async function finishedFolds(
  root: string,
  phase: string,
  total: number,
): Promise<Pick<SelectedRuns, 'runs' | 'folder' | 'folds'>> {
  const all = Array.from({ length: total }, (_, index) => index + 1);
  const folders = all.map((fold) => ({ fold, folder: phaseFolder(root, phase, fold) }));
  const metadata = await Promise.all(folders.map(({ folder }) => readMetadata(folder)));
  const begun = metadata.findIndex((each) => each !== undefined);
  const plain = phaseFolder(root, phase, undefined);
  const known =
    begun >= 0
      ? folders[begun]!.folder
      : (await pathExists(plain.metadata))
        ? plain
        : await findRun(root, phase, 1); // reports what there is instead of folds, or how to train them
  await checkFolds(await runRecipe(known), total, 'score');
  const finished = folders.filter((_, index) => metadata[index]?.status === 'finished');
  if (finished.length === 0) {
    throw new InputError(
      `none of the ${total} folds in ${join(root, phase)} is fully trained; run the ${phase} command that started them again, or score a single one with --run ${known.dir}`,
    );
  }
  const missing = all.filter((fold) => !finished.some((each) => each.fold === fold));
  return {
    runs: finished.map(({ folder }) => folder),
    folder: runFolder(join(root, phase)),
    folds: { total, missing },
  };
}

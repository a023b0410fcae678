/** @file Trained runs on disk: finding the one that a folder stands for, and opening its metadata, recipe and weights. */

import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { InputError, pathExists } from '../base/index.js';
import { type Checkpoint, openWeightsFile } from '../checkpoints/index.js';
import { type Recipe, shippedRecipeNames } from '../recipe/index.js';
import { countFolds } from '../train/index.js';
import {
  type RunFacts,
  type RunFolder,
  readFacts,
  runFolder,
  runRecipe,
  stageFolder,
  verifyCheckpoint,
} from '../train/run/index.js';

export interface TrainedRun {
  readonly folder: RunFolder;
  readonly facts: RunFacts;
  readonly recipe: Recipe;
  /** The trained weights by their own keys: `former.*`, `head.*` or `projector.*`, and LoRA's. */
  readonly trained: Checkpoint;
  /** Of the checkpoint's file. */
  readonly checkpointSha256: string;
}

/**
 * Opens a run's files.
 * @throws InputError when it is no run, has no checkpoint yet, or one that is damaged
 */
export async function openTrainedRun(
  folder: RunFolder,
  onWarning?: (text: string) => void,
): Promise<TrainedRun> {
  const facts = await readFacts(folder);
  if (facts === undefined) throw new InputError(`${folder.dir} holds no run (no run.json)`);
  if (!(await pathExists(folder.checkpoint))) {
    throw new InputError(
      `the run in ${folder.dir} has no checkpoint yet; run stage${facts.stage} to its end`,
    );
  }
  const recipe = await runRecipe(folder);
  const { sha256, warning } = await verifyCheckpoint(folder, facts);
  if (warning !== undefined) onWarning?.(warning);
  const trained = await openWeightsFile(folder.checkpoint);
  return { folder, facts, recipe, trained, checkpointSha256: sha256 };
}

/** A warning where the weights are those of a run under way; undefined where it is finished. */
export function unfinishedWarning({ dir }: RunFolder, { status }: RunFacts): string | undefined {
  return status === 'finished'
    ? undefined
    : `the run in ${dir} is not finished; this is its best epoch so far`;
}

/** Folder of one seed's runs, below the experiment's. */
export function seedFolder(root: string, seed: number): string {
  return join(root, `seed-${seed}`);
}

/** The folders that hold the runs of single seeds, in the order of the seeds. */
export async function seedFolders(dir: string): Promise<{ seed: number; dir: string }[]> {
  const found = await numberedFolders(dir, 'seed');
  return found.map(({ number, dir: own }) => ({ seed: number, dir: own }));
}

/** The runs of single folds of a stage that have begun, in the order of the folds. */
export async function foldRuns(root: string, stage: 1 | 2): Promise<{ fold: number; folder: RunFolder }[]> {
  const found = await numberedFolders(stageFolder(root, stage, undefined).dir, 'fold');
  const runs = found.map(({ number, dir }) => ({ fold: number, folder: runFolder(dir) }));
  const begun = await Promise.all(runs.map(({ folder }) => pathExists(folder.facts)));
  return runs.filter((_, index) => begun[index]);
}

/** Folders such as seed-3, by their numbers. */
async function numberedFolders(dir: string, what: string): Promise<{ number: number; dir: string }[]> {
  const names = await readdir(dir).catch((): string[] => []);
  return names
    .flatMap((name) => {
      const number = name.startsWith(`${what}-`) ? name.slice(what.length + 1) : '';
      return /^\d+$/.test(number) ? [{ number: Number(number), dir: join(dir, name) }] : [];
    })
    .sort((a, b) => a.number - b.number);
}

/**
 * Finds the run that a user means by a folder: the run itself, or an experiment's folder with `stage2` or `stage1` in it.
 * @throws InputError when there is no run, or none of the wanted stage and fold
 */
export async function findRun(dir: string, stage?: 1 | 2, fold?: number): Promise<RunFolder> {
  const own = runFolder(dir);
  if (await pathExists(own.facts)) {
    if (fold === undefined) return own;
    throw new InputError(
      `${dir} is a single run; for its folds name the folder around stage1 and stage2 with --run`,
    );
  }
  const wanted = stage === undefined ? ([2, 1] as const) : ([stage] as const);
  for (const number of wanted) {
    const candidate = stageFolder(dir, number, fold);
    if (await pathExists(candidate.facts)) return candidate;
    if (fold === undefined) {
      const [first] = await foldRuns(dir, number);
      if (first === undefined) continue;
      throw new InputError(
        `${candidate.dir} holds the folds of a cross-validation; score all of them with eval --folds ${await foldsOf(first.folder)}, or name one with --run, such as ${first.folder.dir}`,
      );
    }
    if (await pathExists(stageFolder(dir, number, undefined).facts)) {
      throw new InputError(`the run in ${dirname(candidate.dir)} has no folds; leave the fold out`);
    }
  }
  const [seed] = await seedFolders(dir);
  if (seed !== undefined) {
    const withFolds = fold === undefined && (await foldRuns(seed.dir, wanted[0])).length > 0;
    throw new InputError(
      `${dir} holds the runs of several seeds; score them with eval --seeds all${withFolds ? ' and --folds' : ''}, or name one with --run, such as ${seed.dir}`,
    );
  }
  const looked = wanted.map((number) => stageFolder(dir, number, fold).dir).join(' or ');
  const training = `emoq stage${wanted[0]} ${await recipeOption(dir)}${fold === undefined ? '' : ` --fold ${fold}`}`;
  throw new InputError(
    `no run in ${looked}; train first with "${training}", or name another folder with --run`,
  );
}

/** How many folds the cross-validation of a run has, where its corpus can still tell. */
async function foldsOf(folder: RunFolder): Promise<string> {
  try {
    return String(await countFolds(await runRecipe(folder)));
  } catch (error) {
    if (error instanceof InputError) return 'K';
    throw error;
  }
}

/** The option that names the recipe of an experiment's folder, `runs/<name>` unless `--run` says otherwise. */
async function recipeOption(dir: string): Promise<string> {
  const name = basename(dir);
  const run = dir === join('runs', name) ? '' : ` --run ${dir}`;
  return `${(await shippedRecipeNames()).includes(name) ? `--dataset ${name}` : '--recipe FILE'}${run}`;
}

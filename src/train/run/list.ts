/** @file The runs below a folder: how far each is, what it found, and how its recipe differs from the one that ships. */

import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errorMessage, InputError, pathExists, readJson, readTextFile } from '../../base/index.js';
import type { EvaluationResult, ResultFigures } from '../../evaluate/index.js';
import { type ChangedKey, changedKeys, dumpRecipe, loadRecipe } from '../../recipe/index.js';
import { type RunFacts, type RunFolder, readFacts, runFolder } from './folder.js';
import { type RunTimes, readTimes } from './timings.js';
import { type BestEpoch, readPosition } from './training-state.js';

/** One run, as its folder tells. */
export interface ListedRun {
  readonly dir: string;
  readonly name: string;
  readonly stage: 1 | 2;
  readonly fold: number | null;
  readonly seed: number;
  readonly status: 'finished' | 'unfinished';
  /** Steps done and saved. */
  readonly step: number;
  readonly totalSteps: number;
  /** The epoch that is kept so far, with the validation figure that chose it. */
  readonly best: BestEpoch | null;
  /** Figures on the test set, where it has been evaluated: its own, or its part of a cross-validation's. */
  readonly test: Pick<ResultFigures, 'wa' | 'ua' | 'wf1' | 'n'> | null;
  /** When it was made, how long and how fast; null for a run of an earlier emoq. */
  readonly times: RunTimes | null;
  /** Keys that differ from the recipe of that name, the seed aside; null where there is no such recipe. */
  readonly changed: readonly ChangedKey[] | null;
}

/** A folder that looks like a run and cannot be read as one. */
export interface UnreadableRun {
  readonly dir: string;
  readonly problem: string;
}

/**
 * Every run below `root`, in the order of their paths (numbers by value).
 * @throws InputError where there is no such folder
 */
export async function listRuns(root: string): Promise<(ListedRun | UnreadableRun)[]> {
  if (!(await pathExists(root))) {
    throw new InputError(
      `there is no folder ${root}; train first (emoq stage1), or name another with --root`,
    );
  }
  const dirs = (await runsBelow(root)).sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  const shipped = new Map<string, Promise<string | undefined>>();
  const shippedRecipe = (name: string): Promise<string | undefined> => {
    const known = shipped.get(name) ?? resolvedRecipe(name);
    shipped.set(name, known);
    return known;
  };
  return Promise.all(
    dirs.map((dir) =>
      listRun(runFolder(dir), shippedRecipe).catch((error: unknown): UnreadableRun => {
        if (!(error instanceof InputError)) throw error;
        return { dir, problem: errorMessage(error) };
      }),
    ),
  );
}

/** Folders with a run.json; what lies inside of one is its own. */
async function runsBelow(dir: string): Promise<string[]> {
  if (await pathExists(runFolder(dir).facts)) return [dir];
  const entries = await readdir(dir, { withFileTypes: true }).catch((error: unknown) => {
    throw new InputError(`${dir} cannot be read: ${errorMessage(error)}`);
  });
  const inner = entries.filter((entry) => entry.isDirectory()).map(({ name }) => runsBelow(join(dir, name)));
  return (await Promise.all(inner)).flat();
}

async function listRun(
  folder: RunFolder,
  shippedRecipe: (name: string) => Promise<string | undefined>,
): Promise<ListedRun> {
  const facts = (await readFacts(folder))!;
  const finished = facts.status === 'finished';
  const position = finished ? undefined : await readPosition(folder.state);
  const recipe = await readTextFile(folder.recipe, 'recipe');
  const shipped = await shippedRecipe(facts.name);
  return {
    dir: folder.dir,
    name: facts.name,
    stage: facts.stage,
    fold: facts.fold,
    seed: facts.seed,
    status: finished ? 'finished' : 'unfinished',
    // Without `trained` it is a run of an earlier emoq, which knew no early end.
    step: finished ? (facts.trained?.steps ?? facts.steps) : (position?.step ?? 0),
    totalSteps: facts.steps,
    best: finished ? facts.selected : (position?.best ?? null),
    test: await testFigures(folder, facts),
    times: await readTimes(folder),
    changed: shipped === undefined ? null : changedKeys(shipped, recipe).filter(({ key }) => key !== 'seed'),
  };
}

/** The recipe that `--dataset name` gives here, dumped. */
async function resolvedRecipe(name: string): Promise<string | undefined> {
  try {
    return dumpRecipe(await loadRecipe({ dataset: name }));
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

async function testFigures({ results, dir }: RunFolder, { fold }: RunFacts): Promise<ListedRun['test']> {
  if (await pathExists(results)) return figuresOf((await readJson(results, 'results')) as EvaluationResult);
  const around = runFolder(dirname(dir)).results;
  if (fold === null || !(await pathExists(around))) return null;
  const { folds } = (await readJson(around, 'results')) as EvaluationResult;
  const own = folds?.find((part) => part.fold === String(fold));
  return own === undefined ? null : figuresOf(own);
}

function figuresOf({ wa, ua, wf1, n }: ResultFigures): ListedRun['test'] {
  return { wa, ua, wf1, n };
}

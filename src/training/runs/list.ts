/** @file Lists the runs under a folder: progress, scores, and how their recipes differ from the named ones. */

import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { errorMessage, InputError, isTemporaryName, oneLine, pathExists } from '../../base/index.js';
import { readResults } from '../../evaluation/index.js';
import { ofPaperMetrics, type PaperKey } from '../../evaluation/metrics/index.js';
import { type ChangedKey, changedKeys, dumpRecipe, loadRecipe } from '../../recipe/index.js';
import { type RunFolder, runFolder, runRecipeText } from './folder.js';
import { type RunMetadata, readMetadata } from './metadata.js';
import { type RunTimes, readTimes } from './metrics-log.js';
import { type BestEpoch, readPosition } from './run-state.js';
import { type TrialRecord, trialOfRun } from './trial.js';

/** One run, read from its folder. */
export interface ListedRun {
  readonly kind: 'run';
  readonly dir: string;
  readonly name: string;
  readonly system: string;
  readonly phase: string;
  readonly fold: number | null;
  readonly seed: number;
  readonly status: 'finished' | 'unfinished';
  /** Steps completed and saved. */
  readonly step: number;
  readonly totalSteps: number;
  /** The best epoch so far, with the validation figure that selected it. */
  readonly best: BestEpoch | null;
  /** Test set figures, if evaluated: the run's own, or its fold's part of a cross-validation. */
  readonly test: TestFigures | null;
  /** When it was trained, how long and how fast; null for a run of an earlier version. */
  readonly times: RunTimes | null;
  /** The trial of a search that it belongs to; null if none. */
  readonly trial: Pick<TrialRecord, 'trial' | 'status'> | null;
  /** Keys that differ from the recipe of that name, except the seed; null if there is no such recipe. */
  readonly changed: readonly ChangedKey[] | null;
  /** One line on files that cannot be read and are left out above; undefined if there are none. */
  readonly problem?: string;
}

/** A folder that looks like a run but cannot be read as one, or a folder that cannot be searched. */
export interface UnreadableRun {
  readonly kind: 'unreadable';
  readonly dir: string;
  readonly problem: string;
}

/**
 * Every run under `root`, sorted by path (numbers by value). A damaged run does not stop the listing.
 * @throws InputError if there is no such folder
 */
export async function listRuns(root: string): Promise<(ListedRun | UnreadableRun)[]> {
  if (!(await pathExists(root))) {
    throw new InputError(
      `there is no folder ${root}; train first (emoq stage1), or name another with --root`,
    );
  }
  const found = await runsBelow(root);
  const [only] = found;
  if (typeof only === 'object' && only.dir === root) throw new InputError(`${root} ${only.problem}`);
  const shipped = new Map<string, Promise<string | undefined>>();
  const shippedRecipe = (name: string): Promise<string | undefined> => {
    const known = shipped.get(name) ?? resolvedRecipe(name);
    shipped.set(name, known);
    return known;
  };
  const listed = await Promise.all(
    found.map((each) =>
      typeof each === 'object'
        ? each
        : listRun(runFolder(each), shippedRecipe).catch((error: unknown) => unreadable(each, error)),
    ),
  );
  return listed.sort((a, b) => a.dir.localeCompare(b.dir, 'en', { numeric: true }));
}

/** Folders with a run.json, not searched any deeper; and folders that cannot be read. */
async function runsBelow(dir: string): Promise<(string | UnreadableRun)[]> {
  const entries = await readdir(dir, { withFileTypes: true }).catch((error: unknown) =>
    unreadable(dir, error, 'cannot be read: '),
  );
  if (!Array.isArray(entries)) return [entries];
  const metadata = basename(runFolder(dir).metadata);
  if (entries.some(({ name }) => name === metadata)) return [dir];
  const inner = entries
    .filter((entry) => entry.isDirectory() && !isTemporaryName(entry.name)) // a run that is being copied
    .map(({ name }) => runsBelow(join(dir, name)));
  return (await Promise.all(inner)).flat();
}

/** @throws errors that are not about the user's files or the disk */
function unreadable(dir: string, error: unknown, what = ''): UnreadableRun {
  const isFromSystem = error instanceof Error && 'syscall' in error;
  if (!(error instanceof InputError || isFromSystem)) throw error;
  return { kind: 'unreadable', dir, problem: oneLine(what + errorMessage(error)) };
}

async function listRun(
  folder: RunFolder,
  shippedRecipe: (name: string) => Promise<string | undefined>,
): Promise<ListedRun> {
  const metadata = await readMetadata(folder);
  if (metadata === undefined) throw new InputError(`run ${folder.metadata} cannot be read`); // a dangling link
  const finished = metadata.status === 'finished';
  const position = finished ? undefined : await readPosition(folder.state);
  const recipe = await runRecipeText(folder);
  const shipped = await shippedRecipe(metadata.name);
  const tested = await testFigures(folder, metadata).then(
    (test) => ({ test }),
    (error: unknown) => ({ test: null, problem: unreadable(folder.dir, error).problem }),
  );
  return {
    kind: 'run',
    dir: folder.dir,
    name: metadata.name,
    system: metadata.system,
    phase: metadata.phase,
    fold: metadata.fold,
    seed: metadata.seed,
    status: finished ? 'finished' : 'unfinished',
    // A run without `trained` was written by an earlier version, which had no early stopping.
    step: finished ? (metadata.trained?.steps ?? metadata.steps) : (position?.step ?? 0),
    totalSteps: metadata.steps,
    best: finished ? metadata.selected : (position?.best ?? null),
    ...tested,
    times: await readTimes(folder),
    trial: (await trialOfRun(folder.dir)) ?? null,
    changed: shipped === undefined ? null : changedKeys(shipped, recipe).filter(({ key }) => key !== 'seed'),
  };
}

/** The recipe that `--dataset name` resolves to here, dumped. */
async function resolvedRecipe(name: string): Promise<string | undefined> {
  try {
    return dumpRecipe(await loadRecipe({ dataset: name }));
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

async function testFigures({ results, dir }: RunFolder, { fold }: RunMetadata): Promise<TestFigures | null> {
  if (await pathExists(results)) return figuresOf(await readResults(results));
  const around = runFolder(dirname(dir)).results;
  if (fold === null || !(await pathExists(around))) return null;
  const { folds } = await readResults(around);
  const own = folds?.find((part) => part.fold === String(fold));
  return own === undefined ? null : figuresOf(own);
}

type TestFigures = Readonly<Record<PaperKey | 'n', number>>;

function figuresOf(results: TestFigures): TestFigures {
  return { ...ofPaperMetrics((key) => results[key]), n: results.n };
}

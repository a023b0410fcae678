/** @file Compares all experiments on a dataset, whatever their systems, over the same utterances. */

import { basename, dirname, relative, resolve } from 'node:path';
import { errorMessage, InputError, pathExists, sha256OfFile } from '../base/index.js';
import type { DatasetScores, PaperFigures } from '../evaluation/index.js';
import { phasesOfSystems, type Recipe } from '../systems/index.js';
import { type ListedRun, listRuns, readMetadata, runFolder, runRecipe } from '../training/runs/index.js';
import type { ExperimentContext } from './evaluation-target.js';
import { namedRecipe, type RecipeChoice } from './named-experiment.js';
import { ablationScores, type ScoredRow, scoreRow } from './scoring.js';
import { partsIn } from './system-comparison.js';

export interface DatasetChoice extends RecipeChoice {
  /** The folder of the experiments. */
  readonly root: string;
  /** The experiment that others are compared with; by default that of the dataset's own recipe, else the first. */
  readonly against?: string | undefined;
}

/** An experiment on the dataset. */
export type DatasetRow = ScoredRow & DatasetScores;

export interface DatasetComparison {
  readonly recipe: Recipe;
  /** The experiment that others are compared with. */
  readonly chosen: string;
  readonly rows: readonly DatasetRow[];
}

const NO_FIGURES: PaperFigures = { wa: null, ua: null, wf1: null };

/**
 * Scores every finished experiment on a recipe's corpus and labels, unless that is done, and compares each with one of
 * them. What cannot be compared is left out with a note.
 * @throws InputError if there is none, or the one to compare with is not among them
 */
export async function compareDataset(
  choice: DatasetChoice,
  context: ExperimentContext,
): Promise<DatasetComparison> {
  const recipe = await namedRecipe(choice);
  const experiments = await experimentsOn(recipe, choice, context);
  if (experiments.length === 0) {
    throw new InputError(
      `no finished run in ${choice.root} is on ${recipe.manifest} with the labels of ${recipe.name}; train first, or name another folder with --root`,
    );
  }
  const meant = choice.against ?? experiments.find(({ root }) => basename(root) === recipe.name)?.root;
  const chosen = meant === undefined ? experiments[0]! : experiments.find(({ root }) => isSame(root, meant));
  if (chosen === undefined) {
    throw new InputError(
      `--against ${meant} is none of the experiments on ${recipe.name}: ${experiments.map(({ root }) => root).join(', ')}`,
    );
  }
  const scored = async ({ root, system, phase }: Experiment) => ({
    system,
    ...(await scoreRow(
      { label: relative(choice.root, root) || root, paper: NO_FIGURES },
      root,
      await partsIn(root, { stage: phase }),
      context,
    )),
  });
  const full = await scored(chosen);
  const rows: DatasetRow[] = [];
  for (const experiment of experiments) {
    const row = experiment === chosen ? full : await scored(experiment);
    try {
      const [compared] = ablationScores([row], full, context.resampling);
      rows.push({ ...compared!, system: row.system });
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      context.onWarning(`${experiment.root} is left out: ${errorMessage(error)}`);
    }
  }
  return { recipe, chosen: full.label, rows };
}

interface Experiment {
  readonly root: string;
  readonly system: string;
  /** The last one that was trained. */
  readonly phase: string;
}

function isSame(a: string, b: string): boolean {
  return resolve(a) === resolve(b);
}

/** The finished experiments on the corpus and the labels of a recipe, by their folders. */
async function experimentsOn(
  recipe: Recipe,
  { root }: DatasetChoice,
  { onNote, onWarning }: ExperimentContext,
): Promise<Experiment[]> {
  const corpus = (await pathExists(recipe.manifest)) ? await sha256OfFile(recipe.manifest) : undefined;
  const runsOf = new Map<string, ListedRun[]>();
  for (const each of await listRuns(root)) {
    if (each.problem !== undefined) onWarning(`${each.dir}: ${each.problem}`);
    // Trials of a search are not scored: to choose among them by a test set would be to train on it.
    if (each.kind === 'run' && each.trial === null) {
      const experiment = experimentOf(each);
      runsOf.set(experiment, [...(runsOf.get(experiment) ?? []), each]);
    }
  }
  const found: Experiment[] = [];
  for (const [experiment, runs] of runsOf) {
    const order = phasesOfSystems.flat();
    const last = order[Math.max(...runs.map(({ phase }) => order.indexOf(phase)))];
    const final = runs.filter(({ phase }) => phase === last);
    if (last === undefined) {
      onWarning(`${experiment} is left out: this version does not know its phases`);
      continue;
    }
    const isHere = await isOn(recipe, corpus, final[0]!).catch((error: unknown) => {
      if (!(error instanceof InputError)) throw error;
      onWarning(`${experiment} is left out: ${errorMessage(error)}`);
      return false;
    });
    if (!isHere) continue;
    if (final.some(({ status }) => status === 'unfinished'))
      onNote(`${experiment} is not finished, and left out`);
    else found.push({ root: experiment, system: final[0]!.system, phase: last });
  }
  return found;
}

/** The folder around a run's phases. */
function placeOfPhases({ dir, phase, fold }: ListedRun): string {
  const own = fold === null ? dir : dirname(dir);
  return basename(own) === phase ? dirname(own) : dir;
}

/** The folder around the phases, folds and seeds of an experiment. */
function experimentOf(run: ListedRun): string {
  const place = placeOfPhases(run);
  return /^seed-\d+$/.test(basename(place)) ? dirname(place) : place;
}

/** @throws InputError for a run whose recipe cannot be read */
async function isOn(recipe: Recipe, corpus: string | undefined, { dir }: ListedRun): Promise<boolean> {
  const folder = runFolder(dir);
  const own = await runRecipe(folder);
  if (own.labels.join() !== recipe.labels.join()) return false;
  const metadata = await readMetadata(folder);
  return corpus === undefined ? isSame(own.manifest, recipe.manifest) : metadata?.manifest.sha256 === corpus;
}

/**
 * @file Scores an ensemble: the mean of the probabilities of several runs, on a test set that is the same for all of
 * them and that none has seen in training.
 */

import { createHash } from 'node:crypto';
import { join, resolve } from 'node:path';
import { InputError } from '../base/index.js';
import type { Utterance } from '../data/corpora/index.js';
import type { EnsembleMember } from '../evaluation/index.js';
import {
  meanOfTests,
  type NamedRecipe,
  readingOf,
  seenUtterances,
  type TestSetPredictions,
  testUtterances,
} from '../inference/index.js';
import { turnsOf } from '../systems/index.js';
import { type RunFolder, readMetadata, runFolder, runRecipe } from '../training/runs/index.js';
import {
  type EvaluationTarget,
  type ExperimentContext,
  evaluationTarget,
  type NoiseChoice,
  type TargetChoice,
} from './evaluation-target.js';
import { RUNS } from './named-experiment.js';
import { checkNoiseTest, checkpointsOf, type NoiseTest } from './noise-test.js';
import type { RunScores } from './run-scores.js';
import { foldsText, type RunChoice, type SelectedRuns, selectRuns } from './run-selection.js';
import { predictRuns, scoreTests, splitOf } from './scoring.js';

/** Which runs to score together, and on what. */
export interface EnsembleChoice extends Omit<RunChoice, 'seeds'>, Omit<TargetChoice, 'run'>, NoiseChoice {
  /** Runs or experiments, two or more. */
  readonly runs: readonly string[];
}

/** How many ids a message lists. */
const LISTED_IDS = 3;

/**
 * Scores the mean of several runs, or of several cross-validations fold by fold.
 * @throws InputError if one is missing or named twice, if they have other classes, test sets or folds, or if one has
 *   seen what the others are tested on; InterruptedError when stopped
 */
export async function evaluateEnsemble(
  { runs: roots, ...choice }: EnsembleChoice,
  context: ExperimentContext,
): Promise<RunScores> {
  const selected: SelectedRuns[] = [];
  for (const root of roots) selected.push(await selectRuns(root, choice));
  const [first] = selected as [SelectedRuns];
  refuseTwice(selected);
  requireSameFolds(roots, selected);
  const recipes: NamedRecipe[] = [];
  for (const { runs } of selected) recipes.push({ name: runs[0]!.dir, recipe: await runRecipe(runs[0]!) });
  readingOf(recipes);
  checkNoiseTest(
    recipes.map((model, index) => ({ ...model, phase: selected[index]!.phase })),
    choice,
  );
  const target: EvaluationTarget = {
    ...(await evaluationTarget({ ...choice, run: roots[0]! }, selected, {
      ...context,
      onSeen: (text) => {
        throw new InputError(`${text}; an ensemble is not scored on what one of its runs has seen`);
      },
    })),
    noise: choice,
  };
  if (target.other === undefined) await requireSameTests(selected, target.manifest);
  else requireSameTexts(recipes);

  const members: TestSetPredictions[][] = [];
  let noise: NoiseTest | undefined;
  for (const { runs } of selected) {
    const predicted = await predictRuns(runs, context, target);
    members.push(predicted.tested.map(({ test }) => test));
    // One member may read words, and another none.
    if (noise?.noise.words === undefined) noise = predicted.noise;
  }
  const papers = new Set(recipes.map(({ recipe }) => JSON.stringify(recipe.paper)));
  const tests = first.runs.map((_, index) => {
    const mean = meanOfTests(members.map((tests) => tests[index]!));
    return papers.size === 1 ? mean : { ...mean, recipe: { ...mean.recipe, paper: null } };
  });
  const names = [...new Set(recipes.map(({ recipe }) => recipe.name))];
  const { manifest } = tests[0]!.metadata;
  return scoreTests(
    tests,
    {
      folder: ensembleFolder(names, selected),
      folds: first.folds,
      noise,
      checkpoints: checkpointsOf(members.flat().map(({ metadata }) => metadata)),
    },
    context,
    target,
    {
      name: names.join('+'),
      metadata: {
        split: splitOf(first, target),
        manifest_sha256: target.other?.metadata.manifest_sha256 ?? manifest.sha256,
      },
      ensemble: selected.flatMap(({ runs }, member) =>
        runs.map((run, index) => memberOf(run, members[member]![index]!)),
      ),
    },
  );
}

function memberOf({ dir }: RunFolder, { recipe, metadata }: TestSetPredictions): EnsembleMember {
  return {
    run: dir,
    name: recipe.name,
    phase: metadata.phase,
    seed: metadata.seed,
    fold: metadata.fold,
    checkpoint_sha256: metadata.checkpoint?.sha256 ?? null,
  };
}

/** `runs/ensembles/a+b-1f2e3d4c`: the same runs have the same folder. */
function ensembleFolder(names: readonly string[], selected: readonly SelectedRuns[]): RunFolder {
  const dirs = selected.map(({ folder }) => resolve(folder.dir));
  const distinct = createHash('sha256').update(JSON.stringify(dirs)).digest('hex').slice(0, 8);
  return runFolder(join(RUNS, 'ensembles', `${names.join('+')}-${distinct}`));
}

function refuseTwice(selected: readonly SelectedRuns[]): void {
  const dirs = selected.map(({ folder }) => resolve(folder.dir));
  const twice = selected.find((_, index) => dirs.indexOf(dirs[index]!) < index)?.folder.dir;
  if (twice !== undefined)
    throw new InputError(`--run names ${twice} twice; each counts once, so name it once`);
}

function requireSameFolds(roots: readonly string[], selected: readonly SelectedRuns[]): void {
  const [{ folds: first }] = selected as [SelectedRuns];
  const other = selected.findIndex(({ folds }) => String(folds?.missing) !== String(first?.missing));
  if (first === undefined || other < 0) return;
  throw new InputError(
    `${roots[0]} has ${foldsText(first)} and ${roots[other]} ${foldsText(selected[other]!.folds!)} that are trained; an ensemble needs the same ones`,
  );
}

/** On another corpus, all members get the texts of the first. */
function requireSameTexts(recipes: readonly NamedRecipe[]): void {
  const [first] = recipes as [NamedRecipe];
  const readOf = ({ recipe }: NamedRecipe): string =>
    `strip_tags: ${recipe.strip_tags} and ${turnsOf(recipe)} earlier turns`;
  const other = recipes.find((each) => readOf(each) !== readOf(first));
  if (other === undefined) return;
  throw new InputError(
    `${first.name} was trained with ${readOf(first)}, and ${other.name} with ${readOf(other)}; on another corpus, an ensemble needs the same`,
  );
}

/** @throws InputError unless the runs are tested on the same utterances, which none of them has seen */
async function requireSameTests(
  selected: readonly SelectedRuns[],
  manifest: string | undefined,
): Promise<void> {
  const [{ runs }] = selected as [SelectedRuns];
  for (const [index, first] of runs.entries()) {
    const tested = await testUtterances(first, manifest);
    for (const other of selected.slice(1).map((each) => each.runs[index]!)) {
      await refuseSeen(first, tested, other);
      const own = await testUtterances(other, manifest);
      await refuseSeen(other, own, first);
      if (own.map(nameOf).join('\n') === tested.map(nameOf).join('\n')) continue;
      throw new InputError(
        `${first.dir} and ${other.dir} have different test sets (${tested.length} and ${own.length} utterances); an ensemble is scored on one that all its runs have, or on another corpus (--manifest)`,
      );
    }
  }
}

/** What must agree for two utterances to be one. */
function nameOf({ id, label }: Utterance): string {
  return `${id}\t${label}`;
}

/** @throws InputError if a run has seen utterances that another one is tested on, such as another fold */
async function refuseSeen(first: RunFolder, tested: readonly Utterance[], other: RunFolder): Promise<void> {
  const seen = await seenUtterances(await runRecipe(other), (await readMetadata(other))!);
  if (seen === undefined) return; // reported when its test set is read
  const ids = new Set([...seen.train, ...seen.dev].map(({ id }) => id));
  const both = tested.filter(({ id }) => ids.has(id)).map(({ id }) => id);
  if (both.length === 0) return;
  throw new InputError(
    `${other.dir} has seen ${both.length} of the ${tested.length} test utterances of ${first.dir} in training or validation, such as ${both.slice(0, LISTED_IDS).join(', ')}; score such runs together on another corpus (--manifest), and folds one by one or with --folds`,
  );
}

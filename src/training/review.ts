/** @file What training would refuse of a recipe, beside what cannot be sized: found by a dry run, and before hours of training. */

import { errorMessage, InputError } from '../base/index.js';
import type { Recipe } from '../systems/index.js';
import { systemOf, titleOf } from '../systems/index.js';
import { type ExperimentCorpus, loadCorpus } from './corpus.js';
import { checkEarlierRecipe, earlierRun, type PhaseRun } from './earlier-phase.js';
import { readMetadata } from './runs/index.js';
import { selectionRule } from './selection.js';

/** A phase and those that come after it on the way to the recipe's final model. */
export function phasesFrom(recipe: Recipe, phase: string): readonly string[] {
  const phases = systemOf(recipe).phases(recipe);
  return [phase, ...phases.slice(phases.indexOf(phase) + 1).filter((later) => later !== phase)];
}

/**
 * Looks the plan of a phase over, and of the phases behind it, as far as corpus, backbones and earlier runs are here.
 * @returns what is to know of the run that it starts from
 * @throws InputError for what training would refuse
 */
export async function reviewPlan(run: PhaseRun): Promise<string | undefined> {
  const { recipe, phase, fold } = run;
  const system = systemOf(recipe);
  const corpus = await corpusAtHand(recipe, fold);
  const phases = phasesFrom(recipe, phase);
  for (const each of phases) {
    // Without a corpus it is not known whether there will be a validation set.
    selectionRule(system.settings(recipe, each), each, corpus?.dev.length ?? 1);
  }
  for (const each of phases) await system.review(recipe, each, corpus);
  const earlier = earlierRun(run);
  if (earlier === undefined || (await readMetadata(earlier.folder))?.status !== 'finished') return undefined;
  return checkEarlierRecipe(run, earlier, corpus?.manifest.sha256);
}

/**
 * What a phase or one behind it, or the evaluation after them, will refuse or miss: found before anything is trained. A run
 * that has begun goes on all the same: it is not changed by that.
 * @returns what to warn of
 * @throws InputError for what would be refused of a new run
 */
export async function reviewAhead(
  { recipe, phase, fold }: Omit<PhaseRun, 'root'>,
  corpus: ExperimentCorpus,
  isNew: boolean,
): Promise<string | undefined> {
  const system = systemOf(recipe);
  const warnings: string[] = [];
  for (const each of phasesFrom(recipe, phase)) {
    if (each === phase && !isNew) continue;
    try {
      selectionRule(system.settings(recipe, each), each, corpus.dev.length);
      const warning = await system.review(recipe, each, corpus);
      if (warning !== undefined && (fold ?? 1) === 1) warnings.push(warning); // one for all folds
    } catch (error) {
      if (isNew || !(error instanceof InputError)) throw error;
      return `${titleOf(each)} will not start: ${errorMessage(error)}`;
    }
  }
  return warnings[0];
}

async function corpusAtHand(recipe: Recipe, fold: number | undefined): Promise<ExperimentCorpus | undefined> {
  try {
    return await loadCorpus(recipe, fold, []);
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

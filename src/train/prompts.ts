/** @file Which prompt a run has: by its recipe and corpus when it begins, and that of its run.json ever after. */

import { InputError } from '../base/index.js';
import type { Partition } from '../data/corpora/index.js';
import { builtInUserPart, DEFAULT_PROMPT, genderWord } from '../data/text/index.js';
import type { Recipe } from '../recipe/index.js';
import type { Experiment } from './experiment.js';
import type { RunFacts, RunFolder, RunPrompt, SpeakerMention } from './run/index.js';

/**
 * The prompt that a new run of a recipe has: the recipe's own texts, or the built-in ones.
 * @param corpus decides what `prompt.speaker: auto` is; without one it is the name
 */
export function recipePrompt(recipe: Recipe, corpus?: Partition): RunPrompt {
  const { system, user, answer, speaker } = recipe.prompt;
  const builtIn = builtInUserPart(recipe);
  const own = user ?? builtIn.user;
  return {
    system: system ?? DEFAULT_PROMPT.system,
    user: own,
    answer,
    ...(user === null && builtIn.withoutText !== undefined && { user_without_text: builtIn.withoutText }),
    ...(own.includes('{speaker}') && { speaker: speaker === 'auto' ? usefulMention(corpus) : speaker }),
  };
}

/**
 * What of a speaker the model can use: the name where at least half of the test utterances are by speakers that training
 * has heard; else, as names are then new in the test, the gender where half of the training utterances have one.
 */
function usefulMention(corpus: Partition | undefined): SpeakerMention {
  if (corpus === undefined) return 'name';
  const { train, test } = corpus;
  const heard = new Set(train.map(({ speaker }) => speaker).filter((name) => name !== ''));
  const known = test.filter(({ speaker }) => heard.has(speaker));
  if (known.length > 0 && 2 * known.length >= test.length) return 'name';
  const gendered = train.filter(({ gender }) => genderWord(gender) !== '');
  return 2 * gendered.length >= train.length ? 'gender' : 'none';
}

/** The prompt that a run was trained with; undefined in stage 1, which has none. @throws InputError when stage 2 has none */
export function recordedPrompt(
  { facts: path }: RunFolder,
  { stage, prompt }: RunFacts,
): RunPrompt | undefined {
  if (stage === 1) return undefined;
  if (prompt !== null) return prompt;
  throw new InputError(`run ${path} has no prompt; put a good copy in its place, or train again`);
}

/** Whether a prompt names the gender of a speaker. */
export function namesGender({ user, user_without_text = '', speaker }: RunPrompt): boolean {
  const parts = user + user_without_text;
  return parts.includes('{gender}') || (speaker === 'gender' && parts.includes('{speaker}'));
}

/** Whether an experiment's prompt is what a new run of its recipe would have. */
export function hasRecipePrompt({ recipe, corpus, prompt }: Experiment): boolean {
  if (prompt === undefined) return true;
  const [own, now] = [prompt.template, recipePrompt(recipe, corpus)];
  const parts = ({ system, user, answer, user_without_text, speaker = 'name' }: RunPrompt): string =>
    JSON.stringify([system, user, answer, user_without_text, speaker]);
  return parts(own) === parts(now);
}

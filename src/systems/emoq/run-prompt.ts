/** @file The prompt of a run: by its recipe and corpus when it begins; and how long it may be. */

import type { DecoderConfig } from '../../backbones/index.js';
import type { Partition } from '../../data/corpora/index.js';
import { builtInUserPart, DEFAULT_PROMPT, genderWord } from '../../data/text/index.js';
import type { Prompt, SpeakerMention } from '../system.js';
import type { ExamplePrompt } from './examples.js';
import { hasFormer } from './former-settings.js';
import type { EmoqRecipe } from './settings.js';

/**
 * The prompt that a new run of a recipe has: the recipe's own texts, or the built-in ones.
 * @param corpus decides what `prompt.speaker: auto` is; without one it is the name
 */
export function recipePrompt(recipe: EmoqRecipe, corpus?: Partition): Prompt {
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

/** Whether a prompt names the gender of a speaker. */
export function namesGender({ user, user_without_text = '', speaker }: Prompt): boolean {
  const parts = user + user_without_text;
  return parts.includes('{gender}') || (speaker === 'gender' && parts.includes('{speaker}'));
}

/** Whether two prompts say the same. */
export function isSamePrompt(a: Prompt, b: Prompt): boolean {
  const parts = ({ system, user, answer, user_without_text, speaker = 'name' }: Prompt): string =>
    JSON.stringify([system, user, answer, user_without_text, speaker]);
  return parts(a) === parts(b);
}

/** What keeps a language model from reading a prompt with its answer, in words; undefined where nothing does. */
export function promptProblem(
  recipe: EmoqRecipe,
  { maxPositionEmbeddings: most }: Pick<DecoderConfig, 'maxPositionEmbeddings'>,
  { ids, audioPosition, answer }: ExamplePrompt,
): string | undefined {
  // Without a Former each frame has a slot; how many a clip takes is known with its features: the most that it may.
  const slots = audioPosition >= 0 && !hasFormer(recipe) ? recipe.projector.slots : 1;
  const tokens = ids.length - 1 + slots + answer.length;
  if (tokens <= most) return undefined;
  return `its prompt of ${tokens} tokens is longer than the ${most} that ${recipe.backbones.llm} reads (max_position_embeddings); shorten its text`;
}

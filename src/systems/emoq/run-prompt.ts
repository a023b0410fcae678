/**
 * @file The prompt of a run: chosen from its recipe and corpus when the run begins, and checked against the language
 * model's limits before any training.
 */

import { type DecoderConfig, type DecoderText, readDecoder } from '../../backbones/index.js';
import { errorMessage, InputError } from '../../base/index.js';
import type { Partition, Utterance } from '../../data/corpora/index.js';
import { builtInUserPart, DEFAULT_PROMPT, genderWord } from '../../data/text/index.js';
import type { Encoded, ModelUtterance, Prompt, SpeakerMention } from '../system.js';
import {
  type EmoqExample,
  type ExamplePrompt,
  makeExample,
  type PromptSetting,
  promptSetting,
} from './examples.js';
import type { EmoqRecipe } from './settings.js';
import { hasFormer } from './settings.js';

/**
 * The prompt of a new run: the recipe's own texts, or the built-in ones.
 * @param corpus resolves `prompt.speaker: auto`; without a corpus it is the name
 */
export function recipePrompt(recipe: EmoqRecipe, corpus?: Partition): Prompt {
  const { system, user, answer, speaker, history, history_tokens } = recipe.prompt;
  const hasHistory = history > 0;
  const builtIn = builtInUserPart({ ...recipe, hasHistory });
  const own = user ?? builtIn.user;
  return {
    system: system ?? DEFAULT_PROMPT.system,
    user: own,
    answer,
    ...(user === null && builtIn.withoutText !== undefined && { user_without_text: builtIn.withoutText }),
    ...((own.includes('{speaker}') || hasHistory) && {
      speaker: speaker === 'auto' ? usefulMention(corpus) : speaker,
    }),
    ...(hasHistory && { history, history_tokens }),
  };
}

/**
 * What the model can use of a speaker. The name, if at least half of the test utterances are by speakers of the
 * training set. Otherwise names are new in the test set, and it is the gender, if half of the training utterances have
 * one.
 */
function usefulMention(corpus: Partition | undefined): SpeakerMention {
  if (corpus === undefined) return 'name';
  const { train, test } = corpus;
  const trained = new Set(train.map(({ speaker }) => speaker).filter((name) => name !== ''));
  const known = test.filter(({ speaker }) => trained.has(speaker));
  if (known.length > 0 && 2 * known.length >= test.length) return 'name';
  const gendered = train.filter(({ gender }) => genderWord(gender) !== '');
  return 2 * gendered.length >= train.length ? 'gender' : 'none';
}

/** Whether a prompt mentions the speaker's gender. */
export function namesGender({ user, user_without_text = '', speaker }: Prompt): boolean {
  const parts = user + user_without_text;
  return parts.includes('{gender}') || (speaker === 'gender' && /\{(?:speaker|history)\}/.test(parts));
}

/** Whether two prompts are equal. */
export function isSamePrompt(a: Prompt, b: Prompt): boolean {
  const parts = ({ system, user, answer, user_without_text, speaker = 'name', ...rest }: Prompt): string =>
    JSON.stringify([system, user, answer, user_without_text, speaker, rest.history, rest.history_tokens]);
  return parts(a) === parts(b);
}

/** Why a language model cannot read a prompt with its answer; undefined if it can. */
export function promptProblem(
  recipe: EmoqRecipe,
  { maxPositionEmbeddings: most }: Pick<DecoderConfig, 'maxPositionEmbeddings'>,
  { ids, audioPosition, answer }: ExamplePrompt,
): string | undefined {
  // Without a Former each frame takes a slot. Their number is known only from the features, so this assumes the
  // maximum.
  const slots = audioPosition >= 0 && !hasFormer(recipe) ? recipe.projector.slots : 1;
  const tokens = ids.length - 1 + slots + answer.length;
  if (tokens <= most) return undefined;
  return `its prompt of ${tokens} tokens is longer than the ${most} that ${recipe.backbones.llm} reads (max_position_embeddings); shorten its text`;
}

/**
 * An utterance as an example, or why the language model cannot read it. Where its prompt is too long with its history,
 * the oldest turns are left out.
 */
export function fittedExample(
  recipe: EmoqRecipe,
  config: Pick<DecoderConfig, 'maxPositionEmbeddings'> | undefined,
  utterance: ModelUtterance,
  exampleOf: (utterance: ModelUtterance) => EmoqExample,
): Encoded<EmoqExample> {
  for (let history = utterance.history ?? []; ; history = history.slice(1)) {
    const example = exampleOf({ ...utterance, history });
    const problem = example.prompt && promptProblem(recipe, config!, example.prompt);
    if (problem === undefined) return { kind: 'example', example };
    if (history.length === 0) return { kind: 'problem', problem };
  }
}

/**
 * Checks a recipe, and the utterances if known, against the language model, as far as it is present.
 * @returns a warning if the language model is missing or cannot be opened
 * @throws InputError for label words that cannot be told apart, and for an utterance whose prompt is too long
 */
export async function reviewStage2(
  recipe: EmoqRecipe,
  corpus: Partition | undefined,
): Promise<string | undefined> {
  const model = await languageModel(recipe);
  if (typeof model === 'string') return `stage 2 needs its language model: ${model}`;
  const setting = promptSetting(recipe, model, recipePrompt(recipe, corpus));
  if (corpus !== undefined) {
    checkPrompts(recipe, [...corpus.train, ...corpus.dev, ...corpus.test], setting, model.config);
  }
  return undefined;
}

/** Everything but its weights, which may not be downloaded yet; or the reason it is missing. */
async function languageModel({ backbones, lora }: EmoqRecipe): Promise<DecoderText | string> {
  try {
    return await readDecoder(backbones.llm, lora.targets);
  } catch (error) {
    if (error instanceof InputError) return errorMessage(error);
    throw error;
  }
}

/** Only texts that may be too long are tokenized: a token is at least one byte. */
function checkPrompts(
  recipe: EmoqRecipe,
  utterances: readonly Utterance[],
  setting: PromptSetting,
  config: DecoderConfig,
): void {
  const { system, user, user_without_text: withoutText = '', answer } = setting.template;
  const template = [system, user, withoutText, answer]
    .join('\n')
    .replaceAll('{labels}', setting.labels.join(', '));
  const bytes = (text: string): number => Buffer.byteLength(text);
  const timesIn = (slot: string): number => template.split(slot).length - 1;
  const most = config.maxPositionEmbeddings - bytes(template) - recipe.projector.slots - TURN_TOKENS;
  const mentions = timesIn('{speaker}') + timesIn('{gender}');
  const long = utterances.filter(
    ({ text, speaker, gender }) =>
      bytes(text) * timesIn('{transcript}') + bytes(speaker + genderWord(gender)) * mentions > most,
  );
  for (const utterance of long) {
    // Its history would be left out.
    const alone = { ...utterance, history: [] };
    const { id, prompt } = makeExample(alone, recipe.labels, recipe.inputs, undefined, setting);
    const problem = promptProblem(recipe, config, prompt!);
    if (problem !== undefined) throw new InputError(`utterance ${id}: ${problem}`);
  }
}

/** An upper bound for the chat template's turn markers and the answer. */
const TURN_TOKENS = 64;

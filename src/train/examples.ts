/** @file Utterances as the models read them: token ids, prompt ids, label and where the features are. */

import { InputError } from '../base/index.js';
import type { Utterance } from '../data/corpora/index.js';
import {
  answerIds,
  buildPrompt,
  type ChatTemplate,
  genderWord,
  resolveLabelWords,
  type TextTokenizer,
} from '../data/text/index.js';
import type { InputViews } from '../nn/index.js';
import type { Recipe } from '../recipe/index.js';
import type { RunPrompt } from './run/index.js';

/** What a prompt is made of. */
export interface PromptSetting {
  readonly tokenizer: TextTokenizer;
  /** How the language model's chats are written. */
  readonly chat: ChatTemplate;
  readonly template: RunPrompt;
  readonly labels: readonly string[];
  /** Token ids of each label word, in label order. */
  readonly labelWordIds: readonly (readonly number[])[];
}

/** One utterance, tokenized. */
export interface Example {
  readonly id: string;
  readonly path: string;
  /** Index into the labels; -1 where the truth is not known. */
  readonly label: number;
  /** RoBERTa ids with <s> and </s>; none where the stage does not read them. */
  readonly textIds: readonly number[];
  /** Tokens of the transcript that the Former does not get, beyond the most that it is given; absent where there are none. */
  readonly cutTokens?: number;
  /** Stage 2 only. */
  readonly prompt?: ExamplePrompt;
}

export interface ExamplePrompt {
  readonly ids: readonly number[];
  /** Index of the soft prompt's slot, which a batch repeats where each frame has one; -1 without audio. */
  readonly audioPosition: number;
  /** The answer's token ids: label word, then the end of the turn. Empty where the truth is not known. */
  readonly answer: readonly number[];
  /** How many of them belong to the label word. */
  readonly answerWordLength: number;
}

/** The parts of an utterance that a model sees. */
export type Spoken = Pick<Utterance, 'id' | 'path' | 'text' | 'label' | 'speaker' | 'gender'>;

/** Words of each label in the recipe: the label itself unless `label_words` says otherwise. */
export function labelWords(recipe: Recipe): string[] {
  return recipe.labels.map((label) =>
    Object.hasOwn(recipe.label_words, label) ? recipe.label_words[label]! : label,
  );
}

/**
 * The recipe's prompt with the words' token ids.
 * @throws InputError naming the recipe's key when two words begin with one token
 */
export function promptSetting(
  recipe: Recipe,
  { tokenizer, chat }: Pick<PromptSetting, 'tokenizer' | 'chat'>,
  template: RunPrompt,
): PromptSetting {
  const words = labelWords(recipe);
  try {
    return { tokenizer, chat, template, labels: words, labelWordIds: resolveLabelWords(tokenizer, words) };
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new InputError(`label_words: ${error.message} (--set label_words.LABEL=WORD changes one)`);
  }
}

/** How transcripts are tokenized for the Former. */
export interface TextSetting {
  readonly tokenizer: TextTokenizer;
  /** <s> and </s> included. */
  readonly maxTokens: number;
}

/**
 * Tokenizes utterances: for the Former where it reads text, and for stage 2 where a prompt setting is given.
 */
export function makeExamples(
  utterances: readonly Spoken[],
  labels: readonly string[],
  views: InputViews,
  text: TextSetting | undefined,
  prompt?: PromptSetting,
): Example[] {
  return utterances.map((utterance) => {
    const label = labels.indexOf(utterance.label);
    const whole = text?.tokenizer.encode(utterance.text) ?? [];
    const textIds = text === undefined ? [] : cutTokens(whole, text.maxTokens);
    const left = whole.length - textIds.length;
    const base = {
      ...{ id: utterance.id, path: utterance.path, label, textIds },
      ...(left > 0 && { cutTokens: left }),
    };
    return prompt === undefined ? base : { ...base, prompt: makePrompt(utterance, label, views, prompt) };
  });
}

/** At most `limit` tokens, keeping the closing one. */
function cutTokens(ids: readonly number[], limit: number): readonly number[] {
  return ids.length <= limit ? ids : [...ids.slice(0, limit - 1), ids.at(-1)!];
}

function makePrompt(
  utterance: Spoken,
  label: number,
  views: InputViews,
  setting: PromptSetting,
): ExamplePrompt {
  const { user_without_text: withoutText, speaker = 'name', ...template } = setting.template;
  const { gender } = utterance;
  const hasText = views === 'audio' || utterance.text.trim() !== '';
  const user = hasText ? template.user : (withoutText ?? template.user);
  const { ids, audioPosition } = buildPrompt(
    setting.tokenizer,
    setting.chat,
    { ...template, user },
    {
      labels: setting.labels,
      audio: views !== 'text',
      speaker: { name: utterance.speaker, gender: genderWord(gender), none: undefined }[speaker],
      gender,
      transcript: views === 'audio' ? undefined : utterance.text,
    },
  );
  const word = setting.labelWordIds[label] ?? [];
  const answer = word.length === 0 ? [] : answerIds(setting.tokenizer, setting.chat, word);
  return { ids, audioPosition, answer, answerWordLength: word.length };
}

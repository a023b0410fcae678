/** @file Tokenizes utterances for EmoQ: the Former's text, the prompt, and the answer. */

import { InputError } from '../../base/index.js';
import {
  answerIds,
  buildPrompt,
  type ChatTemplate,
  genderWord,
  historyLine,
  latestLines,
  resolveLabelWords,
  type TextTokenizer,
  type TokenizedWord,
  tokenizedWords,
} from '../../data/text/index.js';
import type { InputViews } from '../../nn/index.js';
import type { Example, ModelUtterance, Prompt } from '../system.js';
import type { EmoqRecipe } from './settings.js';

/** Inputs of prompt construction. */
export interface PromptSetting {
  readonly tokenizer: TextTokenizer;
  /** The language model's chat template. */
  readonly chat: ChatTemplate;
  readonly template: Prompt;
  readonly labels: readonly string[];
  /** Token ids of each label word, in label order. */
  readonly labelWordIds: readonly (readonly number[])[];
}

/** One utterance, tokenized. */
export interface EmoqExample extends Example {
  /** RoBERTa ids with <s> and </s>; empty if the stage does not read them. */
  readonly textIds: readonly number[];
  /** Stage 2 only. */
  readonly prompt?: ExamplePrompt;
}

export interface ExamplePrompt {
  readonly ids: readonly number[];
  /** Index of the soft prompt's slot, which a batch repeats if each frame has one; -1 without audio. */
  readonly audioPosition: number;
  /** The answer's token ids: label word, then end of turn. Empty if the reference is unknown. */
  readonly answer: readonly number[];
  /** How many of them belong to the label word. */
  readonly answerWordLength: number;
}

/** Words of each label in the recipe: the label itself unless `label_words` says otherwise. */
export function labelWords(recipe: EmoqRecipe): string[] {
  return recipe.labels.map((label) =>
    Object.hasOwn(recipe.label_words, label) ? recipe.label_words[label]! : label,
  );
}

/**
 * The recipe's prompt with the token ids of its label words.
 * @throws InputError naming the recipe's key when two words begin with the same token
 */
export function promptSetting(
  recipe: EmoqRecipe,
  { tokenizer, chat }: Pick<PromptSetting, 'tokenizer' | 'chat'>,
  template: Prompt,
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
  /** Includes <s> and </s>. */
  readonly maxTokens: number;
}

/** Tokenizes an utterance: for the Former if it reads text, and for stage 2 if a prompt setting is given. */
export function makeExample(
  utterance: ModelUtterance,
  labels: readonly string[],
  views: InputViews,
  text: TextSetting | undefined,
  setting?: PromptSetting,
): EmoqExample {
  const label = labels.indexOf(utterance.label);
  const whole = text?.tokenizer.encode(utterance.text) ?? [];
  const textIds = text === undefined ? [] : cutToLimit(whole, text.maxTokens);
  const left = whole.length - textIds.length;
  const prompt = setting && makePrompt(utterance, label, views, setting);
  return {
    ...{ id: utterance.id, path: utterance.path, label, textIds },
    ...(left > 0 && { cutTokens: left }),
    ...(prompt && { prompt }),
    lengths: {
      inputs: { text: textIds.length, ...(prompt && { prompt: prompt.ids.length }) },
      targets: prompt ? { answers: prompt.answer.length } : {},
    },
  };
}

/** The words of a transcript with their places in an example's `textIds`; what is cut has none. */
export function keptWords(text: string, { tokenizer, maxTokens }: TextSetting): TokenizedWord[] {
  const isCut = tokenizer.encode(text).length > maxTokens;
  const kept = isCut ? maxTokens - 1 : maxTokens;
  return tokenizedWords(tokenizer, text).map(({ word, tokens }) => ({
    word,
    tokens: tokens.filter((place) => place < kept),
  }));
}

/** At most `limit` tokens, keeping the closing one. */
function cutToLimit(ids: readonly number[], limit: number): readonly number[] {
  return ids.length <= limit ? ids : [...ids.slice(0, limit - 1), ids.at(-1)!];
}

function makePrompt(
  utterance: ModelUtterance,
  label: number,
  views: InputViews,
  setting: PromptSetting,
): ExamplePrompt {
  const {
    user_without_text: withoutText,
    speaker = 'name',
    history: mostTurns = 0,
    history_tokens: mostTokens = 0,
    ...template
  } = setting.template;
  const { gender } = utterance;
  const mentionOf = (who: Pick<ModelUtterance, 'speaker' | 'gender'>): string | undefined =>
    ({ name: who.speaker, gender: genderWord(who.gender), none: undefined })[speaker];
  const hasText = views === 'audio' || utterance.text.trim() !== '';
  const turns = (mostTurns === 0 ? [] : (utterance.history ?? []).slice(-mostTurns)).map((turn) =>
    historyLine({ speaker: mentionOf(turn), text: turn.text }),
  );
  const user = hasText ? template.user : (withoutText ?? template.user);
  const { ids, audioPosition } = buildPrompt(
    setting.tokenizer,
    setting.chat,
    { ...template, user },
    {
      labels: setting.labels,
      audio: views !== 'text',
      speaker: mentionOf(utterance),
      gender,
      transcript: views === 'audio' ? undefined : utterance.text,
      history: latestLines(setting.tokenizer, turns, mostTokens),
    },
  );
  const word = setting.labelWordIds[label] ?? [];
  const answer = word.length === 0 ? [] : answerIds(setting.tokenizer, setting.chat, word);
  return { ids, audioPosition, answer, answerWordLength: word.length };
}

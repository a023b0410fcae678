/** @file What stage 2 would refuse of a recipe, told before hours of training: label words, prompts that are too long. */

import { type DecoderConfig, type DecoderText, readDecoder } from '../../backbones/index.js';
import { errorMessage, InputError } from '../../base/index.js';
import type { Partition, Utterance } from '../../data/corpora/index.js';
import { genderWord } from '../../data/text/index.js';
import { makeExample, type PromptSetting, promptSetting } from './examples.js';
import { promptProblem, recipePrompt } from './run-prompt.js';
import type { EmoqRecipe } from './settings.js';

/**
 * Holds a recipe, and the utterances where they are known, to the language model, as far as that is here.
 * @returns what there is to say of a language model that is not, or cannot be opened
 * @throws InputError for label words that it cannot tell apart, and for an utterance whose prompt is too long
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

/** All but its weights, which may be still on their way; or why there is none. */
async function languageModel({ backbones, lora }: EmoqRecipe): Promise<DecoderText | string> {
  try {
    return await readDecoder(backbones.llm, lora.targets);
  } catch (error) {
    if (error instanceof InputError) return errorMessage(error);
    throw error;
  }
}

/** Only texts that may be too long are tokenized: a token is at least a byte. */
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
    const { id, prompt } = makeExample(utterance, recipe.labels, recipe.inputs, undefined, setting);
    const problem = promptProblem(recipe, config, prompt!);
    if (problem !== undefined) throw new InputError(`utterance ${id}: ${problem}`);
  }
}

/** More than the marks of a chat's turns and the answer take. */
const TURN_TOKENS = 64;

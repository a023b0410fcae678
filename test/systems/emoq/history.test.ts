/**
 * @file Earlier turns in the prompts of EmoQ: what a recipe may say of them, who is mentioned, what fits, and what is
 * estimated.
 */

import { describe, expect, it } from 'vitest';
import { chatMl } from '../../../src/backbones/decoders/chat-kinds.js';
import { buildByteLevelTokenizer } from '../../../src/data/text/index.js';
import { createTokenizer } from '../../../src/data/text/tokenizer.js';
import { averageLengths, estimatedLengths } from '../../../src/systems/emoq/collation.js';
import { type EmoqExample, makeExample, type PromptSetting } from '../../../src/systems/emoq/examples.js';
import { promptStarts } from '../../../src/systems/emoq/prompt-start.js';
import {
  fittedExample,
  isSamePrompt,
  namesGender,
  recipePrompt,
} from '../../../src/systems/emoq/run-prompt.js';
import type { EmoqRecipe } from '../../../src/systems/emoq/settings.js';
import type { ModelUtterance, Prompt } from '../../../src/systems/system.js';
import { loadEmoq } from '../../recipe/emoq-recipe.js';

const recipeOf = (...overrides: string[]): Promise<EmoqRecipe> =>
  loadEmoq({ dataset: 'meld7-history', overrides });

const { tokenizerJson, tokenizerConfig } = buildByteLevelTokenizer({
  words: ['joy', 'sad', 'What', 'was', 'said', 'before', 'Speaker', 'Transcript', 'oldest', 'first', 'male'],
  kind: 'qwen2',
});
const tokenizer = createTokenizer(tokenizerJson, tokenizerConfig, 'tokenizer.json');
const settingOf = (template: Prompt): PromptSetting => ({
  ...{ tokenizer, chat: chatMl, template, labels: ['joy', 'sad'], labelWordIds: [[1], [2]] },
});

const turn = (speaker: string, gender: string, text: string) => ({ speaker, gender, text });
const UTTERANCE: ModelUtterance = {
  ...{ id: 'u', path: '', label: 'joy', speaker: 'Ross', gender: 'M', text: 'fine' },
  history: [turn('Joey', 'M', 'Hey.'), turn('Monica', 'F', 'Is  he?'), turn('', '', 'No')],
};
const exampleOf = (template: Prompt, utterance: ModelUtterance, views: 'both' | 'text' = 'both') =>
  makeExample(utterance, ['joy', 'sad'], views, undefined, settingOf(template));
/** The lines of the user part after the question and the slot. */
const linesOf = (template: Prompt, utterance = UTTERANCE): string[] =>
  tokenizer
    .decode(exampleOf(template, utterance).prompt!.ids)
    .split('user\n')[1]!
    .split('<|im_end|>')[0]!
    .split('\n')
    .slice(2);

describe('a recipe with a history', () => {
  it('records how many turns and tokens its prompt has', async () => {
    expect(recipePrompt(await recipeOf())).toMatchObject({
      history: 12,
      history_tokens: 512,
      speaker: 'name',
    });
    const without = recipePrompt(await recipeOf('prompt.history=0'));
    expect(without).not.toHaveProperty('history');
    expect(without.user).not.toContain('{history}');
    const [a, b] = [recipePrompt(await recipeOf()), recipePrompt(await recipeOf('prompt.history_tokens=64'))];
    expect([isSamePrompt(a, a), isSamePrompt(a, b), isSamePrompt(a, without)]).toEqual([true, false, false]);
  });

  it('and a prompt of its own needs the slot in it, and the slot a history', async () => {
    const user = (text: string): string => `prompt.user="${text}\\n<AUDIO>"`;
    await recipeOf(user('Before:{history}'));
    await expect(recipeOf(user('{transcript}'))).rejects.toThrow(
      'prompt.history: needs the placeholder {history} in prompt.user, where the turns go',
    );
    await expect(recipeOf('prompt.history=0', user('{history}'))).rejects.toThrow(
      'has {history}, but prompt.history is 0; say how many turns, or take it out',
    );
    await expect(recipeOf('inputs=audio')).rejects.toThrow(
      'prompt.history: is of words said before, but with inputs: audio the model reads no words',
    );
    await expect(recipeOf('prompt.history=-1')).rejects.toThrow('prompt.history');
  });
});

describe('the prompt of an utterance in a dialogue', () => {
  it('mentions those who spoke before as it mentions the speaker', async () => {
    const of = async (speaker: string) => linesOf(recipePrompt(await recipeOf(`prompt.speaker=${speaker}`)));
    const [heading, words] = ['What was said before, oldest first:', 'Transcript: fine'];
    expect(await of('name')).toEqual([
      ...[heading, 'Joey: "Hey."', 'Monica: "Is he?"', '"No"', 'Speaker: Ross', words],
    ]);
    expect(await of('gender')).toEqual([
      ...[heading, 'male: "Hey."', 'female: "Is he?"', '"No"', 'Speaker: male', words],
    ]);
    expect(await of('none')).toEqual([heading, '"Hey."', '"Is he?"', '"No"', words]);
  });

  it('has no more turns and tokens than the recipe says, and none at its beginning', async () => {
    const told = async (...overrides: string[]) =>
      linesOf(recipePrompt(await recipeOf(...overrides))).slice(1, -2);
    expect(await told('prompt.history=2')).toEqual(['Monica: "Is he?"', '"No"']);
    const tokens = (line: string): number => tokenizer.encode(`\n${line}`, { specialTokens: false }).length;
    const [b, c] = [tokens('Monica: "Is he?"'), tokens('"No"')];
    expect(await told(`prompt.history_tokens=${b + c}`)).toEqual(['Monica: "Is he?"', '"No"']);
    expect(await told(`prompt.history_tokens=${b + c - 1}`)).toEqual(['"No"']);
    const template = recipePrompt(await recipeOf());
    expect(linesOf(template, { ...UTTERANCE, history: [] })).toEqual(['Speaker: Ross', 'Transcript: fine']);
    expect(linesOf(recipePrompt(await recipeOf('prompt.history=0')))).toEqual([
      'Speaker: Ross',
      'Transcript: fine',
    ]);
  });

  it('tells the Former nothing of what was said before', async () => {
    const text = { tokenizer, maxTokens: 64 };
    const of = (utterance: ModelUtterance) => makeExample(utterance, ['joy'], 'both', text).textIds;
    expect(of(UTTERANCE)).toEqual(of({ ...UTTERANCE, history: [] }));
  });

  it('that is longer than the language model reads loses its oldest turns, and is refused without any', async () => {
    const recipe = await recipeOf();
    const template = recipePrompt(recipe);
    const lengthOf = (utterance: ModelUtterance): number => exampleOf(template, utterance).prompt!.ids.length;
    const fitted = (maxPositionEmbeddings: number) =>
      fittedExample(recipe, { maxPositionEmbeddings }, UTTERANCE, (utterance) =>
        exampleOf(template, utterance),
      );
    const answer = exampleOf(template, UTTERANCE).prompt!.answer.length;
    const two = lengthOf({ ...UTTERANCE, history: UTTERANCE.history!.slice(1) });
    const none = lengthOf({ ...UTTERANCE, history: [] });
    const lengths = (encoded: ReturnType<typeof fitted>): number | string =>
      encoded.kind === 'example' ? encoded.example.prompt!.ids.length : encoded.problem;
    expect(lengths(fitted(1000))).toBe(lengthOf(UTTERANCE));
    expect(lengths(fitted(two + answer))).toBe(two);
    expect(lengths(fitted(none + answer))).toBe(none);
    expect(lengths(fitted(none + answer - 1))).toContain(`its prompt of ${none + answer} tokens is longer`);
  });

  it('is predicted with the genders of others where the prompt has them', async () => {
    const user = 'prompt.user="Before:{history}\\n<AUDIO>"';
    expect(namesGender(recipePrompt(await recipeOf(user, 'prompt.speaker=gender')))).toBe(true);
    expect(namesGender(recipePrompt(await recipeOf(user)))).toBe(false);
  });
});

describe('the constant beginning of prompts with a history', () => {
  it.each(['both', 'text'] as const)('with inputs: %s is that of every prompt', async (inputs) => {
    const template = recipePrompt(await recipeOf(`inputs=${inputs}`));
    const starts = promptStarts(settingOf(template), inputs, async () => ({ tensors: {}, sizes: {} }));
    const plain = promptStarts(
      settingOf(recipePrompt(await recipeOf(`inputs=${inputs}`, 'prompt.history=0'))),
      inputs,
      async () => ({ tensors: {}, sizes: {} }),
    );
    expect(starts.length).toBeGreaterThan(0);
    const beginning = (of: typeof starts, template: Prompt, history: ModelUtterance['history']) => {
      const example: EmoqExample = exampleOf(template, { ...UTTERANCE, history }, inputs);
      const start = of.find((each) => each.after(example) !== undefined)!;
      return example.prompt!.ids.length - start.after(example)!.prompt!.ids.length;
    };
    const whole = recipePrompt(await recipeOf(`inputs=${inputs}`, 'prompt.history=0'));
    const length = beginning(plain, whole, []);
    for (const history of [[], UTTERANCE.history!, UTTERANCE.history!.slice(2)]) {
      // With audio, it ends at the slot as without a history; else where the line of the speaker or the history begins.
      const own = beginning(starts, template, history);
      expect(own).toBeGreaterThanOrEqual(inputs === 'both' ? length : length - 8);
    }
  });
});

describe('estimates', () => {
  const reads = { text: true, llm: true };

  it('count the turns before an utterance, up to their limit', async () => {
    const recipe = await recipeOf();
    const long = Array.from({ length: 12 }, () => turn('Joey', '', 'x'.repeat(45)));
    const tokens = (history: typeof long, of = recipe): number =>
      estimatedLengths(of, reads, { text: 'fine', history }).inputs.prompt!;
    const alone = tokens([]);
    expect(tokens(long.slice(0, 2)) - alone).toBe(2 * (10 + 5)); // 45 characters are 10 tokens
    expect(tokens(long) - alone).toBe(12 * 15);
    expect(tokens(long, await recipeOf('prompt.history_tokens=100')) - alone).toBe(100);
    expect(estimatedLengths(recipe, reads, { text: 'fine', history: long }).inputs.text).toBe(
      estimatedLengths(recipe, reads, { text: 'fine' }).inputs.text,
    );
  });

  it('of an average utterance have an average dialogue before it', async () => {
    const [own, none] = [await recipeOf(), await recipeOf('prompt.history=0')].map(
      (recipe) => averageLengths(recipe, reads).inputs.prompt!,
    ) as [number, number];
    const heading = 10; // "What was said before, oldest first:", estimated
    expect(own - none).toBeGreaterThan(12 * 16);
    expect(own - none).toBeLessThanOrEqual(12 * 16 + heading);
  });
});

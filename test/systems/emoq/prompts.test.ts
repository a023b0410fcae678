/**
 * @file The prompt of a run: consistent with the model's inputs and the recipe's speaker setting, and stored in
 * run.json.
 */

import { describe, expect, it } from 'vitest';
import { chatMl } from '../../../src/backbones/decoders/chat-kinds.js';
import { InputError } from '../../../src/base/index.js';
import type { Partition, Utterance } from '../../../src/data/corpora/index.js';
import { buildByteLevelTokenizer, DEFAULT_PROMPT } from '../../../src/data/text/index.js';
import { createTokenizer } from '../../../src/data/text/tokenizer.js';
import type { PromptSetting } from '../../../src/systems/emoq/examples.js';
import { makeExample } from '../../../src/systems/emoq/examples.js';
import { namesGender, recipePrompt } from '../../../src/systems/emoq/run-prompt.js';
import type { EmoqRecipe } from '../../../src/systems/emoq/settings.js';
import type { Prompt } from '../../../src/systems/system.js';
import { recordedPrompt } from '../../../src/training/run-metadata.js';
import { runFolder } from '../../../src/training/runs/folder.js';
import type { RunMetadata } from '../../../src/training/runs/metadata.js';
import { loadEmoq } from '../../recipe/emoq-recipe.js';

const recipeOf = (dataset: string, ...overrides: string[]): Promise<EmoqRecipe> =>
  loadEmoq({ dataset, overrides });

const spoken = (speaker: string, gender = '', text = 'fine'): Utterance => ({
  ...{ id: speaker + text, path: '/a.wav', text, label: 'joy', speaker, gender, session: '', split: '' },
  durationSec: 1,
});
const corpus = (train: Utterance[], test: Utterance[]): Partition => ({ train, dev: [], test });

describe('the prompt of a recipe', () => {
  it('of the paper has the words that it always had, and others for utterances without any', async () => {
    const { user_without_text, speaker, ...template } = recipePrompt(await recipeOf('meld7'));
    expect(template).toEqual(DEFAULT_PROMPT);
    expect(speaker).toBe('name');
    expect(user_without_text).not.toMatch(/words|\{transcript\}/);
  });

  it.each([
    ['audio', /voice/, /words|[Tt]ranscript/],
    ['text', /\{transcript\}/, /voice|AUDIO/],
  ])('with %s alone speaks of nothing else', async (inputs, has, lacks) => {
    for (const fusion of ['former', 'none']) {
      const { user } = recipePrompt(await recipeOf('meld7', `inputs=${inputs}`, `fusion=${fusion}`));
      expect(user).toMatch(has);
      expect(user).not.toMatch(lacks);
    }
  });

  it('of its own is left as it is', async () => {
    const own = recipePrompt(await recipeOf('meld7', 'prompt.user="{gender}: {transcript}\\n<AUDIO>"'));
    expect(own.user).toBe('{gender}: {transcript}\n<AUDIO>');
    expect('user_without_text' in own).toBe(false);
    await recipeOf('meld7', 'inputs=text', 'prompt.user="They said {transcript}"');
    await expect(recipeOf('meld7', 'prompt.user="They said {transcript}"')).rejects.toThrow(
      '<AUDIO> 0 times',
    );
  });

  it('names speakers of MELD, the gender of those of IEMOCAP, and what helps of others', async () => {
    for (const name of ['meld4', 'meld7', 'meld7-text'])
      expect(recipePrompt(await recipeOf(name)).speaker).toBe('name');
    for (const name of ['', '-improvised', '-lastepoch']
      .map((end) => `iemocap4${end}`)
      .concat('iemocap5', 'iemocap6'))
      expect(recipePrompt(await recipeOf(name)).speaker).toBe('gender');
    const auto = await recipeOf('meld7', 'prompt.speaker=auto');
    const mention = (...parts: Parameters<typeof corpus>) => recipePrompt(auto, corpus(...parts)).speaker;
    const [ann, bob] = [spoken('Ann', 'F'), spoken('Bob', 'M')];
    expect(mention([ann, bob], [ann])).toBe('name');
    expect(mention([ann, bob], [ann, spoken('Cleo', 'F')])).toBe('name');
    expect(mention([ann, bob], [ann, spoken('Cleo', 'F'), spoken('Dan', 'M')])).toBe('gender');
    expect(mention([spoken('Ann'), spoken('Bob')], [spoken('Cleo')])).toBe('none');
    expect(mention([spoken(''), spoken('')], [spoken('')])).toBe('none');
    await expect(recipeOf('meld7', 'prompt.speaker=names')).rejects.toThrow(
      'must be one of auto, name, gender, none',
    );
  });
});

describe('the prompt of an utterance', () => {
  const words = ['joy', 'sad'];
  const qwen2 = buildByteLevelTokenizer({ words, kind: 'qwen2' });
  const tokenizer = createTokenizer(qwen2.tokenizerJson, qwen2.tokenizerConfig, 'qwen2/tokenizer.json');
  const roberta = buildByteLevelTokenizer({ words, kind: 'roberta' });
  const text = {
    tokenizer: createTokenizer(roberta.tokenizerJson, roberta.tokenizerConfig, 'roberta/tokenizer.json'),
    maxTokens: 9,
  };
  const linesOf = (template: Prompt, utterance: Utterance): string[] => {
    const setting: PromptSetting = {
      tokenizer,
      chat: chatMl,
      template,
      labels: words,
      labelWordIds: [[7], [8]],
    };
    const { ids } = makeExample(utterance, words, 'both', text, setting).prompt!;
    return tokenizer.decode(ids).split('user\n')[1]!.split('<|im_end|>')[0]!.split('\n');
  };

  it('says of the speaker what the run says', async () => {
    const of = async (speaker: string, utterance: Utterance) =>
      linesOf(recipePrompt(await recipeOf('meld7', `prompt.speaker=${speaker}`)), utterance).slice(2);
    const words = 'Transcript: fine';
    expect(await of('name', spoken('Ses05F', 'F'))).toEqual(['Speaker: Ses05F', words]);
    expect(await of('gender', spoken('Ses05F', 'F'))).toEqual(['Speaker: female', words]);
    expect(await of('gender', spoken('Ses05F'))).toEqual([words]);
    expect(await of('none', spoken('Ses05F', 'F'))).toEqual([words]);
  });

  it('without a transcript says that there is none, and nothing of words', async () => {
    for (const blank of ['', ' \t']) {
      const lines = linesOf(recipePrompt(await recipeOf('meld7')), spoken('Ann', '', blank));
      expect(lines[1]).toMatch(/^A learned representation of the speaker's voice: /);
      expect(lines.slice(2)).toEqual(['Speaker: Ann', 'Transcript: (none)']);
    }
  });

  it('of a run of an earlier version is unchanged: its order, the name, and no line for absent values', () => {
    const user = 'Speaker: {speaker}\nTranscript: {transcript}\nBoth: <AUDIO>\nWhich emotion?';
    const lines = (text: string) => linesOf({ ...DEFAULT_PROMPT, user }, spoken('Ses05F', 'F', text));
    const [speaker, both, question] = ['Speaker: Ses05F', expect.stringMatching(/^Both: /), 'Which emotion?'];
    expect(lines('fine')).toEqual([speaker, 'Transcript: fine', both, question]);
    expect(lines('')).toEqual([speaker, both, question]);
  });
});

describe("a run's record of its prompt", () => {
  const of = (prompt: unknown, phase = 'stage2'): Prompt | undefined =>
    recordedPrompt(runFolder('runs/a/stage2'), { system: 'emoq', phase, prompt } as RunMetadata);

  it('is taken as it is, and refused where there is none', () => {
    const old = { ...DEFAULT_PROMPT };
    expect(of(old)).toBe(old);
    expect(of(null, 'stage1')).toBeUndefined();
    expect(() => of(null)).toThrow(InputError);
    expect(() => of(null)).toThrow(/run\.json has no prompt; restore a good copy, or train again$/);
  });

  it('shows whether predictions need a gender', () => {
    expect(namesGender({ ...DEFAULT_PROMPT, speaker: 'gender' })).toBe(true);
    expect(namesGender({ ...DEFAULT_PROMPT, user: '{gender}\n<AUDIO>' })).toBe(true);
    for (const own of [DEFAULT_PROMPT, { ...DEFAULT_PROMPT, user: '<AUDIO>', speaker: 'gender' as const }])
      expect(namesGender(own)).toBe(false);
  });
});

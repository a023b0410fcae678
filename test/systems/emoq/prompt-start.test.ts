/** @file The constant beginning of a run's prompts, and the prompts after it. */

import { describe, expect, it } from 'vitest';
import { chatMl } from '../../../src/backbones/decoders/chat-kinds.js';
import { buildByteLevelTokenizer } from '../../../src/data/text/index.js';
import { createTokenizer } from '../../../src/data/text/tokenizer.js';
import type { Batch } from '../../../src/engine/training/index.js';
import { type EmoqExample, makeExample, type PromptSetting } from '../../../src/systems/emoq/examples.js';
import { promptStarts } from '../../../src/systems/emoq/prompt-start.js';

const { tokenizerJson, tokenizerConfig } = buildByteLevelTokenizer({
  words: ['happy', 'sad', 'we', 'won', 'Speaker', 'Transcript', 'Which'],
  kind: 'qwen2',
});
const tokenizer = createTokenizer(tokenizerJson, tokenizerConfig, 'tokenizer.json');
const TRANSCRIPT_FIRST = 'Transcript: {transcript}\nThe voice: <AUDIO>';

function settingOf(user: string, more: Partial<PromptSetting['template']> = {}): PromptSetting {
  return {
    ...{ tokenizer, chat: chatMl, labels: ['happy', 'sad'] },
    template: { system: 'One of {labels}.', user, answer: 'Emotion:', ...more },
    labelWordIds: [[1], [2]],
  };
}

const collated: EmoqExample[] = [];
const collate = async (examples: readonly EmoqExample[]): Promise<Batch> => {
  collated.splice(0, collated.length, ...examples);
  return { tensors: {}, sizes: {} };
};
const exampleOf = (
  setting: PromptSetting,
  values: { text?: string; speaker?: string },
  views = 'both' as const,
) =>
  makeExample(
    { id: '1', path: '', label: '', gender: '', text: '', speaker: '', ...values },
    setting.labels,
    views,
    undefined,
    setting,
  );
/** The texts of the beginnings. */
async function textsOf(setting: PromptSetting, views: 'both' | 'audio' | 'text' = 'both'): Promise<string[]> {
  const texts: string[] = [];
  for (const start of promptStarts(setting, views, collate)) {
    await start.batch();
    texts.push(tokenizer.decode(collated[0]!.prompt!.ids));
  }
  return texts;
}

describe('the beginning of all prompts', () => {
  it('ends at the first slot', async () => {
    const system = '<|im_start|>system\nOne of happy, sad.<|im_end|>\n<|im_start|>user\n';
    const start = (text: string): string => `${system}${text}`;
    const withoutText = { user_without_text: 'Transcript: (none)\nThe voice: <AUDIO>' };
    // This tokenizer has the space before a word as a token of its own.
    expect(await textsOf(settingOf(TRANSCRIPT_FIRST, withoutText))).toEqual(
      ['Transcript: (none)\nThe voice: ', 'Transcript: '].map(start),
    );
    expect(await textsOf(settingOf(`Speaker: {speaker}\n${TRANSCRIPT_FIRST}`))).toEqual([system]);
    expect(await textsOf(settingOf('Which?\nThe voice: <AUDIO>\nTranscript: {transcript}'))).toEqual([
      start('Which?\nThe voice: '),
    ]);
  });

  it('is one for prompts with a transcript, and one for prompts without, whose line is left out', async () => {
    const [longer, shorter, ...others] = await textsOf(settingOf(TRANSCRIPT_FIRST));
    expect(longer).toMatch(/user\nThe voice: $/);
    expect(shorter).toMatch(/user\nTranscript: $/);
    expect(others).toEqual([]);
  });

  it('has neither the slot of the audio nor what is behind it', async () => {
    const setting = settingOf('The voice: <AUDIO>\nWhich?');
    expect(await textsOf(setting, 'audio')).toEqual([expect.stringMatching(/The voice: $/)]);
    const start = promptStarts(setting, 'audio', collate)[0]!;
    const example = exampleOf(setting, {}, 'audio' as never);
    const rest = start.after(example)!;
    expect(rest.prompt!.audioPosition).toBe(0);
    expect(tokenizer.decode(rest.prompt!.ids.slice(1))).toMatch(/^\nWhich\?/);
  });

  it('leaves at least the last token', async () => {
    const setting = settingOf('Which?');
    const start = promptStarts(setting, 'text', collate)[0]!;
    expect(start.after(exampleOf(setting, { text: 'we won' }, 'text' as never))!.prompt!.ids).toHaveLength(1);
  });

  it('is missing where prompts begin with a slot', () => {
    const bare = { ...chatMl, user: { ...chatMl.user, before: [] } };
    const setting = { ...settingOf('{transcript}\n<AUDIO>', { system: '' }), chat: bare };
    expect(promptStarts(setting, 'both', collate).map(({ batch }) => batch)).toEqual([]);
  });
});

describe('a prompt after it', () => {
  const setting = settingOf(`Speaker: {speaker}\n${TRANSCRIPT_FIRST}`);
  const start = promptStarts(setting, 'both', collate)[0]!;

  it('has the other tokens, its slot and its length', async () => {
    await start.batch();
    const beginning = collated[0]!.prompt!.ids;
    for (const values of [{ text: 'we won', speaker: 'Ana' }, { text: 'a b 9 8' }, { speaker: 'a b' }, {}]) {
      const example = exampleOf(setting, values);
      const rest = start.after(example)!;
      expect([...beginning, ...rest.prompt!.ids]).toEqual(example.prompt!.ids);
      expect(rest.prompt!.audioPosition + beginning.length).toBe(example.prompt!.audioPosition);
      expect(rest.lengths.inputs.prompt).toBe(rest.prompt!.ids.length);
      expect(rest.id).toBe(example.id);
    }
  });

  it('is refused where the prompt begins otherwise', () => {
    const other = { ...setting, template: { ...setting.template, system: 'Another' } };
    expect(start.after(exampleOf(other, { text: 'we won' }))).toBeUndefined();
    const short = exampleOf(setting, {});
    expect(
      start.after({ ...short, prompt: { ...short.prompt!, ids: short.prompt!.ids.slice(0, 3) } }),
    ).toBeUndefined();
  });
});

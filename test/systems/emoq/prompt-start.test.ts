/** @file The constant beginning of a run's prompts, and the prompts after it. */

import { describe, expect, it } from 'vitest';
import { chatMl } from '../../../src/backbones/decoders/chat-kinds.js';
import { buildByteLevelTokenizer } from '../../../src/data/text/index.js';
import { createTokenizer } from '../../../src/data/text/tokenizer.js';
import type { Batch } from '../../../src/engine/training/index.js';
import { type EmoqExample, makeExample, type PromptSetting } from '../../../src/systems/emoq/examples.js';
import { promptStart } from '../../../src/systems/emoq/prompt-start.js';

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
/** The text of the beginning. */
async function textOf(setting: PromptSetting, views: 'both' | 'audio' | 'text' = 'both'): Promise<string> {
  await promptStart(setting, views, collate)!.batch();
  return tokenizer.decode(collated[0]!.prompt!.ids);
}

describe('the beginning of all prompts', () => {
  it('ends at the first slot', async () => {
    const system = '<|im_start|>system\nOne of happy, sad.<|im_end|>\n<|im_start|>user\n';
    // The transcript is tokenized with the space before it, and its line is left out where it is absent.
    expect(await textOf(settingOf(TRANSCRIPT_FIRST))).toBe(system);
    const withoutText = { user_without_text: 'Transcript: (none)\nThe voice: <AUDIO>' };
    expect(await textOf(settingOf(TRANSCRIPT_FIRST, withoutText))).toBe(`${system}Transcript: `);
    expect(await textOf(settingOf(`Speaker: {speaker}\n${TRANSCRIPT_FIRST}`))).toBe(system);
    expect(await textOf(settingOf('Which?\nThe voice: <AUDIO>\nTranscript: {transcript}'))).toBe(
      `${system}Which?\nThe voice: `,
    );
  });

  it('has neither the slot of the audio nor what is behind it', async () => {
    const setting = settingOf('The voice: <AUDIO>\nWhich?');
    expect(await textOf(setting, 'audio')).toMatch(/The voice: $/);
    const start = promptStart(setting, 'audio', collate)!;
    const example = exampleOf(setting, {}, 'audio' as never);
    const rest = start.after(example)!;
    expect(rest.prompt!.audioPosition).toBe(0);
    expect(tokenizer.decode(rest.prompt!.ids.slice(1))).toMatch(/^\nWhich\?/);
  });

  it('leaves at least the last token', async () => {
    const setting = settingOf('Which?');
    const start = promptStart(setting, 'text', collate)!;
    expect(start.after(exampleOf(setting, { text: 'we won' }, 'text' as never))!.prompt!.ids).toHaveLength(1);
  });

  it('is missing where prompts begin with a slot', () => {
    const bare = { ...chatMl, user: { ...chatMl.user, before: [] } };
    const setting = { ...settingOf('{transcript}\n<AUDIO>', { system: '' }), chat: bare };
    expect(promptStart(setting, 'both', collate)).toBeUndefined();
  });
});

describe('a prompt after it', () => {
  const setting = settingOf(`Speaker: {speaker}\n${TRANSCRIPT_FIRST}`);
  const start = promptStart(setting, 'both', collate)!;

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

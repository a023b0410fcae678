/** @file Utterances as token ids, and their batches: padding, cutting, masking and targets. */

import { describe, expect, it } from 'vitest';
import { chatMl } from '../../../src/backbones/decoders/chat-kinds.js';
import type { StoredFeatures } from '../../../src/data/features/feature-cache.js';
import { buildByteLevelTokenizer, type TextTokenizer } from '../../../src/data/text/index.js';
import { createTokenizer } from '../../../src/data/text/tokenizer.js';
import { decodeHalf, encodeHalf, float32, int64, tensor } from '../../../src/engine/tensor/index.js';
import { type Collation, collate } from '../../../src/systems/emoq/collation.js';
import type { PromptSetting } from '../../../src/systems/emoq/examples.js';
import { type EmoqExample, makeExample } from '../../../src/systems/emoq/examples.js';
import { pooledFeatures } from '../../../src/systems/speech-features.js';
import type { FeatureSource } from '../../../src/systems/system.js';

const words = ['happy', 'sad', 'we', 'won', 'nothing', 'today'];
function tokenizerOf(kind: 'qwen2' | 'roberta'): TextTokenizer {
  const { tokenizerJson, tokenizerConfig } = buildByteLevelTokenizer({ words, kind });
  return createTokenizer(tokenizerJson, tokenizerConfig, `${kind}/tokenizer.json`);
}
const roberta = tokenizerOf('roberta');
const qwen = tokenizerOf('qwen2');
const labels = ['joy', 'sadness'];
const utterance = {
  id: 'u1',
  path: '/u1.wav',
  text: 'we won today',
  label: 'sadness',
  speaker: 'Ana',
  gender: '',
};
const text = { tokenizer: roberta, maxTokens: 64 };
const setting: PromptSetting = {
  tokenizer: qwen,
  chat: chatMl,
  template: { system: '', user: '{speaker}: {transcript}\n<AUDIO>', answer: 'Emotion:' },
  labels: ['happy', 'sad'],
  labelWordIds: [
    [7, 8],
    [9, 10],
  ],
};
const turnEnd = qwen.tokenId('<|im_end|>')!;

describe('an example', () => {
  it("has RoBERTa's ids with <s> and </s>, and the index of its label", () => {
    const example = makeExample(utterance, labels, 'both', text);
    const textIds = roberta.encode('we won today');
    const lengths = { inputs: { text: textIds.length }, targets: {} };
    expect(example).toEqual({ id: 'u1', path: '/u1.wav', label: 1, textIds, lengths });
    expect(example.textIds[0]).toBe(roberta.tokenId('<s>'));
    expect(example.textIds.at(-1)).toBe(roberta.tokenId('</s>'));
  });

  it('of an empty transcript is <s> </s>', () => {
    const example = makeExample({ ...utterance, text: '' }, labels, 'both', text);
    expect(example.textIds).toEqual([roberta.tokenId('<s>'), roberta.tokenId('</s>')]);
  });

  it('is cut to the limit of tokens and keeps its </s>', () => {
    const long = { ...utterance, text: Array(20).fill('we won').join(' ') };
    const whole = makeExample(long, labels, 'both', text);
    const cut = makeExample(long, labels, 'both', { ...text, maxTokens: 7 });
    expect(cut.textIds).toEqual([...whole.textIds.slice(0, 6), roberta.tokenId('</s>')]);
    const exact = whole.textIds.length;
    expect([whole.cutTokens, cut.cutTokens]).toEqual([undefined, exact - 7]);
    // Without a Former that reads it nothing is lost: the prompt contains all of it.
    const unread = makeExample(long, labels, 'both', undefined);
    expect([unread.textIds, unread.cutTokens]).toEqual([[], undefined]);
    const same = makeExample(long, labels, 'both', { ...text, maxTokens: exact });
    expect(same.textIds).toEqual(whole.textIds);
  });

  it('has a prompt with the answer that training asks for: the word, then the end of the turn', () => {
    const example = makeExample(utterance, labels, 'both', text, setting);
    const { ids, audioPosition, answer, answerWordLength } = example.prompt!;
    expect(answer).toEqual([9, 10, turnEnd]);
    expect(answerWordLength).toBe(2);
    expect(qwen.decode(ids.slice(0, audioPosition))).toBe('<|im_start|>user\nAna: we won today\n');
    expect(qwen.decode(ids.slice(audioPosition + 1))).toBe('<|im_end|>\n<|im_start|>assistant\nEmotion:');
  });

  it('has no answer where its truth is not known', () => {
    const example = makeExample({ ...utterance, label: '' }, labels, 'both', text, setting);
    expect(example.label).toBe(-1);
    expect(example.prompt).toMatchObject({ answer: [], answerWordLength: 0 });
  });

  it('shows the language model only the views that it is given', () => {
    const prompts = (['audio', 'text'] as const).map(
      (views) =>
        makeExample(utterance, labels, views, text, {
          ...setting,
          template: { ...setting.template, user: '{speaker}\n{transcript}\n<AUDIO>' },
        }).prompt!,
    );
    const [audio, onlyText] = prompts.map(({ ids }) => qwen.decode(ids));
    expect(audio).not.toContain('won');
    expect(prompts[0]!.audioPosition).toBeGreaterThan(0);
    expect(onlyText).toContain('we won today');
    expect(prompts[1]!.audioPosition).toBe(-1);
  });
});

const stored: Record<string, StoredFeatures> = {
  a: { frames: 2, width: 2, words: encodeHalf(Float32Array.of(1, 2, 3, 4)) },
  b: { frames: 1, width: 2, words: encodeHalf(Float32Array.of(5, 6)) },
};
const unused = { lengths: { inputs: {}, targets: {} } };
const examples: EmoqExample[] = [
  {
    ...{ id: 'a', path: '/a.wav', label: 1, textIds: [0, 5, 2], ...unused },
    prompt: { ids: [21, 22, 23], audioPosition: 1, answer: [31, 32, 39], answerWordLength: 2 },
  },
  {
    ...{ id: 'b', path: '/b.wav', label: 0, textIds: [0, 2], ...unused },
    prompt: { ids: [24, 25, 26, 27], audioPosition: 2, answer: [33, 39], answerWordLength: 1 },
  },
];
const collation = (...wanted: string[]): Collation => ({
  wanted: new Set(wanted),
  audioWidth: 2,
  textPadId: 1,
  promptPadId: 50,
  emotionTokenWeight: 5,
  slotPerFrame: false,
  features: { read: async ({ id }) => stored[id]!, frames: (id) => stored[id]!.frames },
});

describe('a batch', () => {
  it('pads features with zeros and ids with the padding token, behind, under masks', async () => {
    const wanted = ['audio_features', 'frame_mask', 'input_ids', 'attention_mask', 'labels'];
    expect(await collate(examples, collation(...wanted))).toEqual({
      tensors: {
        audio_features: tensor('float16', [2, 2, 2], encodeHalf(Float32Array.of(1, 2, 3, 4, 5, 6, 0, 0))),
        frame_mask: int64([2, 2], [1, 1, 1, 0]),
        input_ids: int64([2, 3], [0, 5, 2, 0, 2, 1]),
        attention_mask: int64([2, 3], [1, 1, 1, 1, 1, 0]),
        labels: int64([2], [1, 0]),
      },
      sizes: { batch: 2, frames: 2, text: 3 },
    });
  });

  it('for training has the answers behind the prompts, each token predicted by the position before it', async () => {
    const wanted = ['prompt_ids', 'prompt_mask', 'audio_position', 'answer_positions', 'answer_tokens'];
    const { tensors, sizes } = await collate(examples, collation(...wanted, 'answer_weights'));
    expect(tensors).toEqual({
      prompt_ids: int64([2, 6], [21, 22, 23, 31, 32, 39, 24, 25, 26, 27, 33, 39]),
      prompt_mask: int64([2, 6], Array(12).fill(1)),
      audio_position: int64([2], [1, 2]),
      answer_positions: int64([5], [2, 3, 4, 6 + 3, 6 + 4]),
      answer_tokens: int64([5], [31, 32, 39, 33, 39]),
      answer_weights: float32([5], [5, 5, 1, 5, 1]),
    });
    expect(sizes).toEqual({ batch: 2, prompt: 6, answers: 5 });
    // Each position's target is the next token.
    const flat = tensors.prompt_ids!.data;
    for (const [i, position] of Array.from(tensors.answer_positions!.data, Number).entries()) {
      expect(flat[position + 1]).toBe(tensors.answer_tokens!.data[i]);
    }
  });

  it('for prediction has the prompts alone', async () => {
    expect(await collate(examples, collation('prompt_ids', 'prompt_mask', 'audio_position'))).toEqual({
      tensors: {
        prompt_ids: int64([2, 4], [21, 22, 23, 50, 24, 25, 26, 27]),
        prompt_mask: int64([2, 4], [1, 1, 1, 0, 1, 1, 1, 1]),
        audio_position: int64([2], [1, 2]),
      },
      sizes: { batch: 2, prompt: 4 },
    });
  });

  it('without a Former has a slot in the prompt for each frame, and the answers behind them', async () => {
    const wanted = ['audio_features', 'frame_mask', 'prompt_ids', 'prompt_mask', 'audio_position'];
    const unfused = {
      ...collation(...wanted, 'answer_positions', 'answer_tokens', 'answer_weights'),
      slotPerFrame: true,
    };
    const { tensors, sizes } = await collate(examples, unfused);
    expect(tensors).toMatchObject({
      // Of two frames and of one: [21, slot, slot, 23] and [24, 25, slot, 27].
      prompt_ids: int64([2, 7], [21, 22, 22, 23, 31, 32, 39, 24, 25, 26, 27, 33, 39, 50]),
      prompt_mask: int64([2, 7], [...Array(13).fill(1), 0]),
      audio_position: int64([2], [1, 2]),
      frame_mask: int64([2, 2], [1, 1, 1, 0]),
      answer_positions: int64([5], [3, 4, 5, 7 + 3, 7 + 4]),
      answer_tokens: int64([5], [31, 32, 39, 33, 39]),
    });
    expect(sizes).toEqual({ batch: 2, frames: 2, prompt: 7, answers: 5 });
  });

  it('without audio reads no features and has no slot', async () => {
    const silent = {
      ...collation('prompt_ids', 'prompt_mask'),
      features: { frames: () => 0, read: () => Promise.reject(new Error('features were read')) },
    };
    const { tensors } = await collate(examples, silent);
    expect(Object.keys(tensors).sort()).toEqual(['prompt_ids', 'prompt_mask']);
  });

  it('fails with what reading its features failed with', async () => {
    const broken = {
      ...collation('audio_features'),
      features: {
        frames: () => 2,
        read: ({ id }: { readonly id: string }) =>
          id === 'b' ? Promise.reject(new Error('no features of b')) : Promise.resolve(stored.a!),
      },
    };
    await expect(collate(examples, broken)).rejects.toThrow('no features of b');
  });
});

describe('features at a bounded number of frames', () => {
  const source = (frames: number, values: readonly number[]): FeatureSource => ({
    frames: () => frames,
    read: async () => ({ frames, width: 2, words: encodeHalf(Float32Array.from(values)) }),
  });

  it('are means of neighbouring frames, channel by channel', async () => {
    const five = source(5, [1, 10, 3, 30, 5, 50, 7, 70, 9, 90]);
    const pooled = pooledFeatures(five, 2);
    expect(pooled.frames('a')).toBe(2);
    const { frames, words } = await pooled.read({ id: 'a' });
    expect(frames).toBe(2);
    // Frames 1 and 2, then 3, 4 and 5.
    expect([...decodeHalf(words)]).toEqual([2, 20, 7, 70]);
  });

  it('are as they were where the clip has no more than that', async () => {
    const three = source(3, [1, 2, 3, 4, 5, 6]);
    for (const most of [3, 64]) {
      const pooled = pooledFeatures(three, most);
      expect(pooled.frames('a')).toBe(3);
      expect(await pooled.read({ id: 'a' })).toEqual(await three.read({ id: 'a' }));
    }
  });
});

/**
 * @file The constant beginnings of a run's prompts: the tokens before the first slot that is filled differently for each
 * utterance. Their keys and values depend on no utterance, so that an opened model computes them once.
 */

import type { Batch } from '../../engine/training/index.js';
import type { InputViews } from '../../nn/index.js';
import type { ModelUtterance, PromptStart } from '../system.js';
import { type EmoqExample, type ExamplePrompt, makeExample, type PromptSetting } from './examples.js';

/**
 * Utterances that share nothing, also with and without earlier turns: with a transcript, and without one, whose prompts
 * have other lines.
 */
const DIFFERENT: readonly (readonly Pick<ModelUtterance, 'text' | 'speaker' | 'gender' | 'history'>[])[] = [
  [
    { text: 'a b', speaker: 'a b', gender: 'a b', history: [{ text: 'b a', speaker: 'b a', gender: 'b a' }] },
    { text: '9 8', speaker: '9 8', gender: '9 8' },
    { text: '- a', speaker: '', gender: '' },
  ],
  [
    { text: '', speaker: 'a b', gender: 'a b', history: [{ text: 'b a', speaker: 'b a', gender: 'b a' }] },
    { text: '', speaker: '9 8', gender: '9 8' },
    { text: '', speaker: '', gender: '' },
  ],
];

/**
 * The beginnings of the prompts of a setting, the longest first. A text and what precedes it are tokenized together, so
 * that a beginning is found by comparing the tokens of whole prompts.
 * @param collate with features of one frame
 */
export function promptStarts(
  setting: PromptSetting,
  views: InputViews,
  collate: (examples: readonly EmoqExample[]) => Promise<Batch>,
): PromptStart<EmoqExample>[] {
  const starts = DIFFERENT.map((utterances) =>
    commonStart(
      utterances.map(
        (values) =>
          makeExample({ ...values, id: '', path: '', label: '' }, setting.labels, views, undefined, setting)
            .prompt!,
      ),
    ),
  );
  const different = new Map(starts.map((start) => [start.join(), start]));
  return [...different.values()]
    .filter(({ length }) => length > 0)
    .sort((a, b) => b.length - a.length)
    .map((start) => startingWith(start, views, collate));
}

/** The tokens with which all prompts begin, without the slot of the soft prompt; each has at least one token more. */
function commonStart(prompts: readonly ExamplePrompt[]): readonly number[] {
  const [first, ...others] = prompts;
  // The soft prompt's slot has a token of its own, which is the same everywhere.
  const ends = prompts.map(({ ids, audioPosition }) => (audioPosition < 0 ? ids.length - 1 : audioPosition));
  const limit = Math.min(...ends);
  const differs = first!.ids.findIndex((id, index) => others.some(({ ids }) => ids[index] !== id));
  return first!.ids.slice(0, differs < 0 ? limit : Math.min(differs, limit));
}

function startingWith(
  start: readonly number[],
  views: InputViews,
  collate: (examples: readonly EmoqExample[]) => Promise<Batch>,
): PromptStart<EmoqExample> {
  const { length } = start;
  const alone: EmoqExample = {
    ...{ id: '', path: '', label: -1, textIds: views === 'audio' ? [] : [0] },
    prompt: { ids: [...start], audioPosition: -1, answer: [], answerWordLength: 0 },
    lengths: { inputs: { text: 1, prompt: length }, targets: {} },
  };
  return {
    batch: () => collate([alone]),
    after(example) {
      const { prompt, lengths } = example;
      const { ids, audioPosition } = prompt!;
      const isAfter = audioPosition < 0 ? ids.length > length : audioPosition >= length;
      if (!isAfter || start.some((id, index) => ids[index] !== id)) return undefined;
      return {
        ...example,
        prompt: {
          ...prompt!,
          ids: ids.slice(length),
          audioPosition: audioPosition < 0 ? -1 : audioPosition - length,
        },
        lengths: { ...lengths, inputs: { ...lengths.inputs, prompt: ids.length - length } },
      };
    },
  };
}

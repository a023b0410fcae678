/**
 * @file The constant beginning of a run's prompts: the tokens before the first slot that is filled differently for each
 * utterance. Their keys and values depend on no utterance, so that an opened model computes them once.
 */

import type { Batch } from '../../engine/training/index.js';
import type { InputViews } from '../../nn/index.js';
import type { ModelUtterance, PromptStart } from '../system.js';
import { type EmoqExample, makeExample, type PromptSetting } from './examples.js';

/** Utterances that share nothing, with every optional value and without any. */
const DIFFERENT: readonly Pick<ModelUtterance, 'text' | 'speaker' | 'gender'>[] = [
  { text: 'a b', speaker: 'a b', gender: 'a b' },
  { text: '9 8', speaker: '9 8', gender: '9 8' },
  { text: '', speaker: '', gender: '' },
];

/**
 * The beginning of the prompts of a setting; undefined if they have none in common. A text and what precedes it are
 * tokenized together, so that the beginning is found by comparing the tokens of whole prompts.
 * @param collate with features of one frame
 */
export function promptStart(
  setting: PromptSetting,
  views: InputViews,
  collate: (examples: readonly EmoqExample[]) => Promise<Batch>,
): PromptStart<EmoqExample> | undefined {
  const [first, ...others] = DIFFERENT.map(
    (values) =>
      makeExample({ ...values, id: '', path: '', label: '' }, setting.labels, views, undefined, setting)
        .prompt!,
  );
  // The soft prompt's slot has a token of its own, which is the same everywhere.
  const ends = [first!, ...others].map(({ ids, audioPosition }) =>
    audioPosition < 0 ? ids.length - 1 : audioPosition,
  );
  const limit = Math.min(...ends);
  const differs = first!.ids.findIndex((id, index) => others.some(({ ids }) => ids[index] !== id));
  const length = differs < 0 ? limit : Math.min(differs, limit);
  if (length === 0) return undefined;
  const start = first!.ids.slice(0, length);
  const alone: EmoqExample = {
    ...{ id: '', path: '', label: -1, textIds: views === 'audio' ? [] : [0] },
    prompt: { ids: start, audioPosition: -1, answer: [], answerWordLength: 0 },
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

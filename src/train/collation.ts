/** @file Examples to batches: padded tensors under the names that the graphs read. */

import type { StoredFeatures } from '../data/features/index.js';
import { type Tensor, tensor } from '../engine/tensor/index.js';
import type { Batch } from '../engine/training/index.js';
import type { Example, ExamplePrompt } from './examples.js';

/** How a stage's batches are put together. */
export interface Collation {
  /** Names of the inputs that the graph has; others are not made. */
  readonly wanted: ReadonlySet<string>;
  readonly audioWidth: number;
  readonly textPadId: number;
  readonly promptPadId: number;
  /** Weight of emotion-word tokens in the answer (eq. 7); the others weigh 1. */
  readonly emotionTokenWeight: number;
  /** The prompt has a slot for each frame of an utterance, as without a Former; else one for all. */
  readonly slotPerFrame: boolean;
  readonly features: (example: Example) => Promise<StoredFeatures>;
  /** Frames of an utterance without reading them; 0 without audio. */
  readonly frames: (id: string) => number;
}

/** The prompt's token ids, with a slot for each frame where the model reads frames there. */
export function promptIds(
  { id, prompt }: Example,
  { slotPerFrame, frames }: Pick<Collation, 'slotPerFrame' | 'frames'>,
): readonly number[] {
  const { ids, audioPosition } = prompt!;
  if (!slotPerFrame || audioPosition < 0) return ids;
  return ids.toSpliced(audioPosition, 1, ...Array<number>(frames(id)).fill(ids[audioPosition]!));
}

/** Pads one batch. Sequences are padded on the right; answers follow their prompts where answers are wanted. */
export async function collate(examples: readonly Example[], collation: Collation): Promise<Batch> {
  const { wanted } = collation;
  const parts: Batch[] = [{ tensors: {}, sizes: { batch: examples.length } }];
  if (wanted.has('audio_features'))
    parts.push(audioPart(await Promise.all(examples.map(collation.features)), collation));
  if (wanted.has('input_ids')) {
    const ids = examples.map(({ textIds }) => textIds);
    parts.push(sequencePart(ids, 'text', 'input_ids', 'attention_mask', collation.textPadId));
  }
  if (wanted.has('prompt_ids')) parts.push(promptPart(examples, collation));
  if (wanted.has('labels')) {
    parts.push({
      tensors: {
        labels: ids(
          [examples.length],
          examples.map(({ label }) => label),
        ),
      },
      sizes: {},
    });
  }
  return {
    tensors: Object.assign({}, ...parts.map(({ tensors }) => tensors)),
    sizes: Object.assign({}, ...parts.map(({ sizes }) => sizes)),
  };
}

function audioPart(features: readonly StoredFeatures[], { audioWidth }: Collation): Batch {
  const frames = Math.max(...features.map((each) => each.frames));
  const values = tensor('float16', [features.length, frames, audioWidth]);
  const mask = tensor('int64', [features.length, frames]);
  features.forEach((each, row) => {
    values.data.set(each.words, row * frames * audioWidth);
    mask.data.fill(1n, row * frames, row * frames + each.frames);
  });
  return { tensors: { audio_features: values, frame_mask: mask }, sizes: { frames } };
}

function sequencePart(
  sequences: readonly (readonly number[])[],
  symbol: string,
  idsName: string,
  maskName: string,
  padId: number,
): Batch {
  const length = Math.max(...sequences.map((sequence) => sequence.length));
  const values = tensor('int64', [sequences.length, length]);
  const mask = tensor('int64', [sequences.length, length]);
  values.data.fill(BigInt(padId));
  sequences.forEach((sequence, row) => {
    sequence.forEach((id, position) => {
      values.data[row * length + position] = BigInt(id);
    });
    mask.data.fill(1n, row * length, row * length + sequence.length);
  });
  return { tensors: { [idsName]: values, [maskName]: mask }, sizes: { [symbol]: length } };
}

function promptPart(examples: readonly Example[], collation: Collation): Batch {
  const withAnswers = collation.wanted.has('answer_tokens');
  const prompts = examples.map((example) => example.prompt!);
  const unanswered = examples.map((example) => promptIds(example, collation));
  const sequences = withAnswers
    ? unanswered.map((prompt, row) => [...prompt, ...prompts[row]!.answer])
    : unanswered;
  const { tensors, sizes } = sequencePart(
    sequences,
    'prompt',
    'prompt_ids',
    'prompt_mask',
    collation.promptPadId,
  );
  const slots = ids(
    [examples.length],
    prompts.map(({ audioPosition }) => audioPosition),
  );
  const positions = collation.wanted.has('audio_position') ? { audio_position: slots } : {};
  if (!withAnswers) return { tensors: { ...tensors, ...positions }, sizes };
  const lengths = unanswered.map((prompt) => prompt.length);
  const targets = answerTargets(prompts, lengths, sizes.prompt!, collation.emotionTokenWeight);
  return {
    tensors: { ...tensors, ...positions, ...targets },
    sizes: { ...sizes, answers: targets.answer_tokens.data.length },
  };
}

/** The token behind hidden state p is the one at p + 1: the first answer token is predicted by the prompt's last. */
function answerTargets(
  prompts: readonly ExamplePrompt[],
  promptLengths: readonly number[],
  paddedLength: number,
  emotionTokenWeight: number,
) {
  const rows = prompts.flatMap(({ answer, answerWordLength }, row) =>
    answer.map((token, index) => ({
      position: row * paddedLength + promptLengths[row]! - 1 + index,
      token,
      weight: index < answerWordLength ? emotionTokenWeight : 1,
    })),
  );
  return {
    answer_positions: ids(
      [rows.length],
      rows.map(({ position }) => position),
    ),
    answer_tokens: ids(
      [rows.length],
      rows.map(({ token }) => token),
    ),
    answer_weights: tensor(
      'float32',
      [rows.length],
      Float32Array.from(rows, ({ weight }) => weight),
    ),
  };
}

function ids(shape: readonly number[], values: readonly number[]): Tensor<'int64'> {
  return tensor(
    'int64',
    shape,
    BigInt64Array.from(values, (value) => BigInt(value)),
  );
}

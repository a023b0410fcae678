/**
 * @file Collates examples into batches of padded tensors, under the names the graphs read, and estimates token counts
 * when no tokenizer is available.
 */

import type { Utterance } from '../../data/corpora/index.js';
import { DEFAULT_PROMPT, type PromptTemplate } from '../../data/text/index.js';
import { tensor } from '../../engine/tensor/index.js';
import type { Batch } from '../../engine/training/index.js';
import { audioPart, idVector, joined, labelPart, sequencePart } from '../phase-graphs.js';
import type { ExampleLengths, FeatureSource } from '../system.js';
import { type EmoqExample, type ExamplePrompt, labelWords } from './examples.js';
import { recipePrompt } from './run-prompt.js';
import type { EmoqRecipe } from './settings.js';

const [CHARACTERS_PER_TOKEN, TEXT_ENDS, ANSWER_TOKENS] = [
  4.5, // English, spaces included
  2, // <s> and </s>
  2, // a label word and the end of the turn
];
/** Tokens of the default prompt, and of an average transcript in it. */
const [PROMPT_TOKENS, TRANSCRIPT_TOKENS] = [128, 32];
/** Tokens of an average earlier turn in MELD, and those that are no words: name, colon, quotation marks, line break. */
const [TURN_TOKENS, TURN_ENDS] = [16, 5];

/** Which parts of an utterance a stage reads. */
interface Reads {
  readonly text: boolean;
  readonly llm: boolean;
}

/** Token counts estimated from the number of characters. */
export function estimatedLengths(
  recipe: EmoqRecipe,
  reads: Reads,
  { text, history = [] }: Pick<Utterance, 'text' | 'history'>,
): ExampleLengths {
  const tokens = Math.round(text.length / CHARACTERS_PER_TOKEN);
  const before = history.reduce((sum, turn) => sum + turn.text.length / CHARACTERS_PER_TOKEN + TURN_ENDS, 0);
  return {
    inputs: {
      text: reads.text ? Math.min(tokens + TEXT_ENDS, recipe.max_text_tokens) : 0,
      ...(reads.llm && {
        prompt: promptTokens(recipe, recipe.inputs === 'audio' ? 0 : tokens, Math.round(before)),
      }),
    },
    targets: reads.llm ? { answers: ANSWER_TOKENS } : {},
  };
}

/** Token counts of an utterance of 30 words with all its earlier turns, and the recipe's prompt around them. */
export function averageLengths(recipe: EmoqRecipe, reads: Reads): ExampleLengths {
  const before = recipe.prompt.history * TURN_TOKENS;
  return {
    inputs: {
      text: reads.text ? Math.min(TRANSCRIPT_TOKENS, recipe.max_text_tokens) : 0,
      ...(reads.llm && { prompt: promptTokens(recipe, TRANSCRIPT_TOKENS, before) - ANSWER_TOKENS }),
    },
    targets: reads.llm ? { answers: ANSWER_TOKENS } : {},
  };
}

/**
 * Tokens of the recipe's prompt with transcript and earlier turns. What is around them is estimated from its length
 * relative to the default prompt's.
 */
function promptTokens(recipe: EmoqRecipe, transcriptTokens: number, historyTokens: number): number {
  const labels = labelWords(recipe).join(', ');
  const lengthOf = ({ system, user, answer }: PromptTemplate): number =>
    [system, user, answer].join('\n').replaceAll('{labels}', labels).length;
  // The built-in texts for a single input are a few tokens shorter than those for both.
  const share = lengthOf(recipePrompt({ ...recipe, inputs: 'both' })) / lengthOf(DEFAULT_PROMPT);
  const before = Math.min(historyTokens, recipe.prompt.history_tokens);
  return Math.round(transcriptTokens + before + (PROMPT_TOKENS - TRANSCRIPT_TOKENS) * share);
}

/** How a stage's batches are collated. */
export interface Collation {
  /** Names of the graph's inputs; others are not created. */
  readonly wanted: ReadonlySet<string>;
  readonly audioWidth: number;
  readonly textPadId: number;
  readonly promptPadId: number;
  /** Weight of emotion-word tokens in the answer (eq. 7); the others weigh 1. */
  readonly emotionTokenWeight: number;
  /** The prompt has one slot per audio frame (without a Former) instead of a single one. */
  readonly slotPerFrame: boolean;
  /** In the form the stage reads. */
  readonly features: FeatureSource;
}

/** The prompt's token ids, with one slot per frame if the model reads frames there. */
export function promptIds(
  { id, prompt }: EmoqExample,
  { slotPerFrame, features }: Pick<Collation, 'slotPerFrame' | 'features'>,
): readonly number[] {
  const { ids, audioPosition } = prompt!;
  if (!slotPerFrame || audioPosition < 0) return ids;
  return ids.toSpliced(audioPosition, 1, ...Array<number>(features.frames(id)).fill(ids[audioPosition]!));
}

/** Pads one batch. Sequences are padded on the right; answers follow their prompts if answers are wanted. */
export async function collate(examples: readonly EmoqExample[], collation: Collation): Promise<Batch> {
  const { wanted } = collation;
  const parts: Batch[] = [{ tensors: {}, sizes: { batch: examples.length } }];
  if (wanted.has('audio_features'))
    parts.push(await audioPart(examples, collation.features, collation.audioWidth));
  if (wanted.has('input_ids')) {
    const ids = examples.map(({ textIds }) => textIds);
    parts.push(sequencePart(ids, 'text', 'input_ids', 'attention_mask', collation.textPadId));
  }
  if (wanted.has('prompt_ids')) parts.push(promptPart(examples, collation));
  if (wanted.has('labels')) parts.push(labelPart(examples));
  return joined(parts);
}

function promptPart(examples: readonly EmoqExample[], collation: Collation): Batch {
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
  const slots = idVector(
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

/** Hidden state p predicts the token at p + 1, so the prompt's last token predicts the first answer token. */
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
    answer_positions: idVector(
      [rows.length],
      rows.map(({ position }) => position),
    ),
    answer_tokens: idVector(
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

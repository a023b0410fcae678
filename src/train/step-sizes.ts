/** @file How large the steps of a run are: the padded sizes of its batches by the corpus, or middling ones without it. */

import { readDecoder } from '../backbones/index.js';
import { InputError } from '../base/index.js';
import { findCheckpointFolder } from '../checkpoints/index.js';
import type { Utterance } from '../data/corpora/index.js';
import { DEFAULT_PROMPT, loadTokenizer, type PromptTemplate } from '../data/text/index.js';
import type { Recipe } from '../recipe/index.js';
import { hasFormer } from '../systems/index.js';
import type { ExperimentCorpus } from './corpus.js';
import { type Example, labelWords, makeExamples, promptSetting } from './examples.js';
import { type ExampleLengths, FRAMES_PER_SEC, FRAMES_PER_TOKEN, trainingBatches } from './experiment.js';
import { recipePrompt } from './prompts.js';
import { type StageNeeds, stageNeeds } from './stage-needs.js';
import { batchSplit, microBatchSize, stageSettings } from './stage-settings.js';

/** What a batch is padded to. */
export interface BatchSize {
  readonly batch: number;
  /** 0 where nothing is heard. */
  readonly frames: number;
  /** 0 where the Former reads no text. */
  readonly text: number;
  /** Prompt and answer; 0 in stage 1, which has none. */
  readonly prompt: number;
  /** Answer tokens of all utterances together. */
  readonly answers: number;
}

/** A step as it goes through the models. */
export interface StepSize {
  /** Of the whole batch, or of the largest of its micro-batches. */
  readonly batch: BatchSize;
  /** How many micro-batches a step's batch is cut into; 1 where it goes through whole. */
  readonly microBatches: number;
}

/** Tokens and audio frames that are read of one utterance, before frames are averaged to fit the slots of a prompt. */
export interface UtteranceLengths extends ExampleLengths {
  readonly frames: number;
}

const [CHARACTERS_PER_TOKEN, TEXT_ENDS, ANSWER_TOKENS] = [
  4.5, // English, spaces included
  2, // <s> and </s>
  2, // a label word and the end of the turn
];
/** Tokens of the default prompt, and of a middling transcript in it. */
const [PROMPT_TOKENS, TRANSCRIPT_TOKENS] = [128, 32];
const MIDDLING_SEC = 5;

/** Tokens of an utterance as far as its characters tell, for want of a tokenizer. */
export function estimatedTokens(
  recipe: Recipe,
  stage: 1 | 2,
  { text }: Pick<Utterance, 'text'>,
  needs = needsOf(recipe, stage),
): ExampleLengths {
  const tokens = Math.round(text.length / CHARACTERS_PER_TOKEN);
  const textIds = { length: needs.text ? Math.min(tokens + TEXT_ENDS, recipe.max_text_tokens) : 0 };
  if (stage === 1) return { textIds };
  const ids = { length: promptTokens(recipe, recipe.inputs === 'audio' ? 0 : tokens) };
  return { textIds, prompt: { ids, answer: { length: ANSWER_TOKENS } } };
}

function needsOf(recipe: Recipe, stage: 1 | 2): StageNeeds {
  return stageNeeds(recipe, stage, 'checkpoint');
}

/** What a batch of these utterances is padded to. */
export function batchSize(recipe: Recipe, utterances: readonly UtteranceLengths[]): BatchSize {
  const most = (of: (utterance: UtteranceLengths) => number): number => Math.max(...utterances.map(of));
  const slots = (frames: number): number => Math.min(frames, recipe.projector.slots);
  const slotPerFrame = hasSlotPerFrame(recipe);
  const isPrompted = utterances[0]?.prompt !== undefined;
  return {
    batch: utterances.length,
    frames: most(({ frames }) => (slotPerFrame && isPrompted ? slots(frames) : frames)),
    text: most(({ textIds }) => textIds.length),
    prompt: most(({ prompt, frames }) => {
      if (prompt === undefined) return 0;
      return prompt.ids.length + prompt.answer.length + (slotPerFrame ? slots(frames) - 1 : 0);
    }),
    answers: utterances.reduce((total, { prompt }) => total + (prompt?.answer.length ?? 0), 0),
  };
}

/** In stage 2 each frame has a slot of its own in the prompt. */
function hasSlotPerFrame(recipe: Recipe): boolean {
  return !hasFormer(recipe) && recipe.inputs !== 'text';
}

/**
 * The largest of some batches: for each of frames, text, prompt and all of them together the `keep` that have the most.
 * Which of them takes the most memory is for the model to say. `members` are all of a step, whatever it is cut into.
 * @param batches training utterances, by index
 */
export function largestSteps(
  recipe: Recipe,
  stage: 1 | 2,
  batches: Iterable<readonly number[]>,
  lengthsOf: (index: number) => UtteranceLengths,
  keep = 1,
): (StepSize & { readonly members: readonly number[] })[] {
  const split = batchSplit(stageSettings(recipe, stage));
  const steps = [...batches].flatMap((members) => {
    const parts = split?.(members) ?? [members];
    return parts.map((part) => ({
      members,
      batch: batchSize(recipe, part.map(lengthsOf)),
      microBatches: parts.length,
    }));
  });
  const measures: ((size: BatchSize) => number)[] = [
    ({ batch, frames }) => batch * frames,
    ({ batch, text }) => batch * text,
    ({ batch, prompt }) => batch * prompt,
    ({ batch, frames, text, prompt }) => batch * (frames / FRAMES_PER_TOKEN + text + prompt),
  ];
  const leaders = measures.flatMap((measure) =>
    steps.toSorted((a, b) => measure(b.batch) - measure(a.batch)).slice(0, keep),
  );
  return [...new Set(leaders)];
}

/** Of the batches that lead by their characters, so many are tokenized. */
const TOKENIZED_BATCHES = 3;

/**
 * The largest steps of the first epochs, as the trainer will make them. Frames are reckoned from durations; tokens from
 * characters, and those of the leading batches from the tokenizers where they are there.
 * @throws InputError for label words that the language model's tokenizer cannot tell apart
 */
export async function corpusSteps(
  recipe: Recipe,
  number: 1 | 2,
  corpus: ExperimentCorpus,
  epochs: number,
): Promise<StepSize[]> {
  const { train } = corpus;
  const needs = needsOf(recipe, number);
  const framesOf = ({ durationSec }: Utterance): number =>
    needs.audio ? Math.floor(FRAMES_PER_SEC * Math.min(durationSec, recipe.max_audio_sec)) : 0;
  const estimated = train.map((utterance) => ({
    ...estimatedTokens(recipe, number, utterance, needs),
    frames: framesOf(utterance),
  }));
  const setting = { recipe, stage: { number }, corpus, needsAudio: needs.audio };
  const batchesOf = trainingBatches(setting, estimated);
  const batches = [...Array(epochs).keys()].flatMap((epoch) => batchesOf(epoch));
  const leading = largestSteps(recipe, number, batches, (index) => estimated[index]!, TOKENIZED_BATCHES);
  const examples = await tokenizing(recipe, needs, corpus);
  if (examples === undefined) return leading;
  const indices = [...new Set(leading.flatMap(({ members }) => members))];
  const tokenized = new Map(
    examples(indices.map((index) => train[index]!)).map((example, at) => {
      const index = indices[at]!;
      return [index, { ...example, frames: estimated[index]!.frames }] as const;
    }),
  );
  return largestSteps(
    recipe,
    number,
    leading.map(({ members }) => members),
    (index) => tokenized.get(index)!,
  );
}

/** How utterances become examples, where the tokenizers are there. */
async function tokenizing(
  recipe: Recipe,
  needs: StageNeeds,
  corpus: ExperimentCorpus,
): Promise<((utterances: readonly Utterance[]) => Example[]) | undefined> {
  const { former, llm } = recipe.backbones;
  const load = async (name: string) => loadTokenizer(await findCheckpointFolder(name));
  const tokenizers = await Promise.all([
    needs.text ? load(former) : undefined,
    needs.llm ? readDecoder(llm, recipe.lora.targets) : undefined,
  ]).catch((error: unknown) => {
    if (error instanceof InputError) return undefined;
    throw error;
  });
  if (tokenizers === undefined) return undefined;
  const [tokenizer, language] = tokenizers;
  const prompt = language && promptSetting(recipe, language, recipePrompt(recipe, corpus));
  const text = tokenizer && { tokenizer, maxTokens: recipe.max_text_tokens };
  return (utterances) => makeExamples(utterances, recipe.labels, recipe.inputs, text, prompt);
}

/** A step of middling clips: 5 s of audio, 30 words' tokens, and the recipe's prompt around them. */
export function middlingStep(recipe: Recipe, stage: 1 | 2): StepSize {
  const settings = stageSettings(recipe, stage);
  const needs = needsOf(recipe, stage);
  const utterances = [...Array(settings.batch_size).keys()];
  const seconds = needs.audio ? Math.min(MIDDLING_SEC, recipe.max_audio_sec) : 0;
  const frames = Math.round(seconds * FRAMES_PER_SEC);
  const tokens = needs.text ? Math.min(TRANSCRIPT_TOKENS, recipe.max_text_tokens) : 0;
  const prompt = promptTokens(recipe, TRANSCRIPT_TOKENS) - ANSWER_TOKENS;
  const middling: UtteranceLengths = {
    frames,
    textIds: { length: tokens },
    ...(stage === 2 && { prompt: { ids: { length: prompt }, answer: { length: ANSWER_TOKENS } } }),
  };
  return {
    batch: batchSize(recipe, Array<UtteranceLengths>(microBatchSize(settings)).fill(middling)),
    microBatches: batchSplit(settings)?.(utterances).length ?? 1,
  };
}

/** Tokens of the recipe's prompt: what it adds to the transcript goes by its length beside the default one's. */
function promptTokens(recipe: Recipe, transcriptTokens: number): number {
  const labels = labelWords(recipe).join(', ');
  const lengthOf = ({ system, user, answer }: PromptTemplate): number =>
    [system, user, answer].join('\n').replaceAll('{labels}', labels).length;
  // The built-in texts of one input alone are a few tokens shorter than those of both.
  const share = lengthOf(recipePrompt({ ...recipe, inputs: 'both' })) / lengthOf(DEFAULT_PROMPT);
  return Math.round(transcriptTokens + (PROMPT_TOKENS - TRANSCRIPT_TOKENS) * share);
}

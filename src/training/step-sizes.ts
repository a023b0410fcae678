/** @file How large the steps of a run are: the padded sizes of its batches by the corpus, or middling ones without it. */

import type { Utterance } from '../data/corpora/index.js';
import type { Recipe } from '../systems/index.js';
import {
  type ExampleLengths,
  microBatchSize,
  type Phase,
  type PhaseSettings,
  type Sizes,
} from '../systems/index.js';
import type { ExperimentCorpus } from './corpus.js';
import { batchSplit, FRAMES_PER_SEC, FRAMES_PER_TOKEN, sumOf, trainingBatches } from './phase-batches.js';

/** A step as it goes through the models. */
export interface StepSize {
  /** What the whole batch, or the largest of its micro-batches, is padded to, by symbol; `batch` is its utterances. */
  readonly batch: Sizes & { readonly batch: number };
  /** How many micro-batches a step's batch is cut into; 1 where it goes through whole. */
  readonly microBatches: number;
}

/** Tokens and audio frames that are read of one utterance. */
export interface UtteranceLengths {
  readonly lengths: ExampleLengths;
  readonly frames: number;
}

/** How a phase lays its batches out. */
type BatchLayout = Pick<Phase, 'sizesOf' | 'summedSizes'>;

const MIDDLING_SEC = 5;

/** What a batch of these utterances is padded to. */
export function batchSize(
  { sizesOf, summedSizes }: BatchLayout,
  utterances: readonly UtteranceLengths[],
): StepSize['batch'] {
  const sizes: Record<string, number> = {};
  for (const { lengths, frames } of utterances) {
    for (const [symbol, size] of Object.entries(sizesOf(lengths, frames))) {
      const before = sizes[symbol] ?? 0;
      sizes[symbol] = summedSizes.includes(symbol) ? before + size : Math.max(before, size);
    }
  }
  return { batch: utterances.length, ...sizes };
}

/**
 * The largest of some batches: for each of the axes and all of them together the `keep` that have the most. Which of them
 * takes the most memory is for the model to say. `members` are all of a step, whatever it is cut into.
 * @param batches training utterances, by index
 */
export function largestSteps(
  layout: BatchLayout,
  settings: PhaseSettings,
  batches: Iterable<readonly number[]>,
  lengthsOf: (index: number) => UtteranceLengths,
  keep = 1,
): (StepSize & { readonly members: readonly number[] })[] {
  const split = batchSplit(settings);
  const steps = [...batches].flatMap((members) => {
    const parts = split?.(members) ?? [members];
    return parts.map((part) => ({
      members,
      batch: batchSize(layout, part.map(lengthsOf)),
      microBatches: parts.length,
    }));
  });
  const padded = (size: StepSize['batch']): Sizes => {
    const { batch: _batch, ...axes } = size;
    return Object.fromEntries(Object.entries(axes).filter(([axis]) => !layout.summedSizes.includes(axis)));
  };
  const axes = Object.keys(steps[0] === undefined ? {} : padded(steps[0].batch));
  const measures: ((size: StepSize['batch']) => number)[] = [
    ...axes.map((axis) => (size: StepSize['batch']) => size.batch * size[axis]!),
    (size) => {
      const { frames = 0, ...tokens } = padded(size);
      return size.batch * (frames / FRAMES_PER_TOKEN + sumOf(tokens));
    },
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
 */
export function corpusSteps(
  recipe: Recipe,
  settings: PhaseSettings,
  phase: Phase,
  { train }: Pick<ExperimentCorpus, 'train'>,
  epochs: number,
): StepSize[] {
  const readsAudio = phase.needs.audio;
  const framesOf = ({ durationSec }: Utterance): number =>
    readsAudio ? Math.floor(FRAMES_PER_SEC * Math.min(durationSec, recipe.max_audio_sec)) : 0;
  const estimated = train.map((utterance) => ({
    lengths: phase.estimate(utterance),
    frames: framesOf(utterance),
  }));
  const batchesOf = trainingBatches(
    { recipe, settings, train, readsAudio },
    estimated.map(({ lengths }) => lengths),
  );
  const batches = [...Array(epochs).keys()].flatMap((epoch) => batchesOf(epoch));
  const leading = largestSteps(phase, settings, batches, (index) => estimated[index]!, TOKENIZED_BATCHES);
  const { encode } = phase;
  if (encode === undefined) return leading;
  const indices = [...new Set(leading.flatMap(({ members }) => members))];
  const tokenized = new Map(
    indices.map((index) => {
      const encoded = encode(train[index]!);
      const { frames, lengths } = estimated[index]!;
      return [index, { frames, lengths: encoded.kind === 'example' ? encoded.example.lengths : lengths }];
    }),
  );
  return largestSteps(
    phase,
    settings,
    leading.map(({ members }) => members),
    (index) => tokenized.get(index)!,
  );
}

/** A step of middling clips: 5 s of audio, 30 words' tokens, and the recipe's prompt around them. */
export function middlingStep(recipe: Recipe, settings: PhaseSettings, phase: Phase): StepSize {
  const utterances = [...Array(settings.batch_size).keys()];
  const seconds = phase.needs.audio ? Math.min(MIDDLING_SEC, recipe.max_audio_sec) : 0;
  const middling = { frames: Math.round(seconds * FRAMES_PER_SEC), lengths: phase.estimate() };
  return {
    batch: batchSize(phase, Array<UtteranceLengths>(microBatchSize(settings)).fill(middling)),
    microBatches: batchSplit(settings)?.(utterances).length ?? 1,
  };
}

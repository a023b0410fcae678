/**
 * @file Plans the toy corpus (who says what, how aroused, in which order), renders its utterances and writes its clips.
 */

import { readFile } from 'node:fs/promises';
import {
  defaultJobs,
  InputError,
  InterruptedError,
  mapConcurrently,
  writeFileAtomic,
} from '../../../base/index.js';
import { seededRandom } from '../../../engine/tensor/index.js';
import type { PreparationControls } from '../clips/index.js';
import type { CorpusCounts } from '../manifest-info.js';
import { millisecond, type WordTime } from '../word-times.js';
import { spokenWords } from './pronunciation.js';
import { drawSpeakers, sentenceSource, type ToySpeaker, type Valence } from './sentences.js';
import {
  type Arousal,
  layOutUtterance,
  SAMPLE_RATE_HZ,
  sampleCount,
  synthesize,
  type VoicedUtterance,
} from './voice.js';

/**
 * The emotion of each corner: the voice alone distinguishes high from low arousal, the words alone positive from
 * negative valence.
 */
export const TOY_CLASSES = [
  { label: 'neutral', arousal: 'low', valence: 'positive' },
  { label: 'happy', arousal: 'high', valence: 'positive' },
  { label: 'sad', arousal: 'low', valence: 'negative' },
  { label: 'angry', arousal: 'high', valence: 'negative' },
] as const satisfies readonly { label: string; arousal: Arousal; valence: Valence }[];

export type ToyLabel = (typeof TOY_CLASSES)[number]['label'];

export interface ToyOptions {
  readonly seed: number;
  /** At least 5. */
  readonly speakers: number;
  /** A multiple of 4: every speaker has the same number of utterances of each class. */
  readonly utterancesPerSpeaker: number;
  /** The voice speaks the transcript instead of meaningless syllables. */
  readonly spoken: boolean;
}

export interface ToyUtterance {
  /** Numbers utterances in a random order and reveals nothing else. */
  readonly id: string;
  readonly speaker: ToySpeaker;
  readonly label: ToyLabel;
  readonly arousal: Arousal;
  readonly text: string;
  /**
   * Position of the clip's length in the range of lengths, in [0, 1). A speaker's classes share their values, so that
   * clip lengths have the same distribution in every class.
   */
  readonly stretch: number;
  /** Of a corpus of dialogues. */
  readonly dialogue?: string;
  readonly turn?: number;
}

export interface ToyPlan {
  readonly options: ToyOptions;
  readonly speakers: readonly ToySpeaker[];
  /** In corpus order, which is random. */
  readonly utterances: readonly ToyUtterance[];
}

/** Far below the number of distinct sentences, so that an unused one is quickly found. */
const MAX_UTTERANCES = 20_000;

/**
 * Plans a corpus from its seed. Writes nothing and renders no audio.
 * @throws InputError for an invalid seed, speaker count or utterance count
 */
export function planToyCorpus(options: ToyOptions): ToyPlan {
  const { seed, utterancesPerSpeaker } = options;
  if (!Number.isSafeInteger(seed)) throw new InputError(`--seed ${seed}: give a whole number`);
  const speakers = drawSpeakers(seed, options.speakers);
  const classes = TOY_CLASSES.length;
  if (
    !Number.isSafeInteger(utterancesPerSpeaker) ||
    utterancesPerSpeaker < classes ||
    utterancesPerSpeaker % classes
  ) {
    throw new InputError(
      `--utterances ${utterancesPerSpeaker}: each speaker says as many of each of the ${classes} classes; give a multiple of ${classes}`,
    );
  }
  const total = speakers.length * utterancesPerSpeaker;
  if (total > MAX_UTTERANCES) {
    throw new InputError(
      `${speakers.length} speakers x ${utterancesPerSpeaker} utterances are ${total}; the toy corpus holds at most ${MAX_UTTERANCES}: give fewer --speakers or --utterances`,
    );
  }

  const random = seededRandom(seed, 'toy corpus');
  const sentence = sentenceSource(random);
  const said = speakers.flatMap((speaker) =>
    Array.from({ length: utterancesPerSpeaker / classes }, () => random.uniform()).flatMap((stretch) =>
      TOY_CLASSES.map(({ label, arousal, valence }) => ({
        speaker,
        label,
        arousal,
        text: sentence(valence),
        stretch,
      })),
    ),
  );
  const utterances = random
    .shuffle(said)
    .map((utterance, index) => ({ id: `toy_${String(index + 1).padStart(5, '0')}`, ...utterance }));
  return { options, speakers, utterances };
}

/**
 * The audio of one utterance: mono samples at 16 kHz. Depends on the corpus seed, the utterance's id, speaker, arousal
 * and stretch, and on the transcript only if the corpus is spoken.
 */
export function renderUtterance(plan: ToyPlan, utterance: ToyUtterance): Float32Array {
  const random = seededRandom(plan.options.seed, 'toy voice', utterance.id);
  return synthesize(random, utterance.speaker.voice, layOut(plan, utterance));
}

/** Length of an utterance in seconds, known without rendering it. */
export function utteranceSec(plan: ToyPlan, utterance: ToyUtterance): number {
  return sampleCount(layOut(plan, utterance)) / SAMPLE_RATE_HZ;
}

/** When each word of a spoken utterance is said, to the millisecond; undefined where the voice says other syllables. */
export function wordTimes(plan: ToyPlan, utterance: ToyUtterance): WordTime[] | undefined {
  if (!plan.options.spoken) return undefined;
  const { syllables } = layOut(plan, utterance);
  let next = 0;
  return spokenWords(utterance.text).map(({ word, syllables: { length } }) => {
    const first = syllables[next]!;
    next += length;
    const last = syllables[next - 1]!;
    return {
      word,
      start: millisecond(first.startSec),
      end: millisecond(last.startSec + last.durationSec),
    };
  });
}

function layOut(
  { options }: ToyPlan,
  { id, speaker, arousal, text, stretch }: ToyUtterance,
): VoicedUtterance {
  const random = seededRandom(options.seed, 'toy prosody', id);
  const spoken = options.spoken ? spokenWords(text) : undefined;
  return layOutUtterance(random, speaker.voice, arousal, stretch, spoken);
}

/** Output form of a toy corpus: prepared, or as one of the raw releases. */
export type ToyForm = 'corpus' | 'meld' | 'iemocap';

export interface ToyCorpusOptions extends PreparationControls {
  /** Output folder; a raw tree goes into a subfolder. */
  readonly out: string;
  readonly seed?: number | undefined;
  /** At least 5; 20 by default. An IEMOCAP tree has 10, two per session. */
  readonly speakers?: number | undefined;
  /** A multiple of 4; 32 by default. */
  readonly utterancesPerSpeaker?: number | undefined;
  readonly raw?: 'meld' | 'iemocap' | undefined;
  /** The voice speaks the transcript. */
  readonly spoken?: boolean | undefined;
  /** Dialogues, in which the emotion answers the turn before; only prepared. */
  readonly dialogues?: boolean | undefined;
}

export interface ToyCorpusSummary {
  readonly form: ToyForm;
  /** The manifest, or the root of the raw tree. */
  readonly path: string;
  readonly utterances: number;
  readonly speakers: number;
  readonly durationSec: number;
  readonly counts: CorpusCounts;
}

/** Writes one clip for each item. */
export type ClipWriter = <T>(items: readonly T[], write: (item: T) => Promise<void>) => Promise<void>;

/** @throws InterruptedError naming `out` when `signal` is aborted; finished clips are kept */
export function clipWriter(out: string, { jobs, onProgress, signal }: PreparationControls): ClipWriter {
  return async (items, write) => {
    let done = 0;
    const writeOne = async (item: (typeof items)[number]): Promise<void> => {
      await write(item);
      done += 1;
      onProgress?.(done, items.length);
    };
    try {
      await mapConcurrently(items, jobs ?? defaultJobs(), writeOne, signal);
    } catch (error) {
      if (!signal?.aborted) throw error;
      throw new InterruptedError(
        `stopped with ${done} of ${items.length} clips written to ${out}; run the same command again to go on`,
      );
    }
  };
}

/** Writes a file unless it already has these bytes. */
export async function writeIfChanged(path: string, bytes: Buffer): Promise<void> {
  const before = await readFile(path).catch(() => undefined);
  if (!before?.equals(bytes)) await writeFileAtomic(path, bytes);
}

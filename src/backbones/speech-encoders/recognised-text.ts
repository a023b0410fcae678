/** @file A speech recogniser, whatever its kind: what it is asked for, and what it gives. */

import type { EncoderSource } from './encoder-source.js';
import type { ClipFeatures } from './speech-encoder.js';

/** How a user wants texts to be recognised. */
export interface RecognitionWishes {
  /** Prefixes of a beam search; 1 is greedy. */
  readonly beam: number;
  /** The language that is spoken, `de` or `german`; absent: the recogniser finds out, or has one. */
  readonly language?: string | undefined;
  /** Whether words are wanted with their times. */
  readonly words?: boolean;
}

/** A word, its place in the clip, and how likely it is. */
export interface HeardWord {
  readonly word: string;
  readonly startSec: number;
  readonly endSec: number;
  readonly confidence: number;
}

/** What was said in a clip. */
export interface RecognisedText {
  readonly text: string;
  /** In order; none from a recogniser that does not know their times. */
  readonly words: readonly HeardWord[];
  /** How likely the text is, on average over its symbols; undefined without a text. */
  readonly confidence: number | undefined;
  /** How many symbols that is the mean of. */
  readonly symbols: number;
  /** Whether the text had not ended where the recogniser stops, so that what follows is missing. */
  readonly isCut: boolean;
}

/** A recogniser that was found and checked, but is not loaded yet. */
export interface RecogniserSource {
  /** Gives, as the features of a clip, what the text is read from. */
  readonly encoder: EncoderSource;
  /** What tells recognisers of the same weights from each other, as JSON: their symbols and how these become a text. */
  readonly vocabulary: unknown;
  /** The language that it was told; undefined if it finds out, or has one. */
  readonly language: string | undefined;
  /** The text of a clip. @param features finite numbers */
  textOf(features: ClipFeatures): RecognisedText;
}

/** Finds a recogniser of one kind. @throws InputError when it is broken, or cannot do what is wished */
export type FindRecogniser = (nameOrPath: string, wishes: RecognitionWishes) => Promise<RecogniserSource>;

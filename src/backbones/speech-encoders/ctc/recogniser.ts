/** @file An encoder with a CTC head as a speech recogniser, and how its logits become texts. */

import { join } from 'node:path';
import { InputError } from '../../../base/index.js';
import { findCheckpointFolder, readConfig } from '../../../checkpoints/index.js';
import { type EncoderSource, findSpeechEncoder } from '../encoder-source.js';
import { CTC_LOGITS } from '../layer-selection.js';
import type { FindRecogniser } from '../recognised-text.js';
import type { ClipFeatures } from '../speech-encoder.js';
import { alignedPath } from './alignment.js';
import { prefixBeamSearch } from './beam-search.js';
import { bestPath, type CtcText, logProbabilities, textOfPath } from './decoding.js';
import { ctcVocabularySize } from './head.js';
import { type CtcVocabulary, readCtcVocabulary } from './vocabulary.js';

/** An encoder with a CTC head that was found and checked, but is not loaded yet. */
export interface CtcRecogniserSource {
  /** Gives the logits [frames, symbols] of clips as their features. */
  readonly encoder: EncoderSource;
  readonly vocabulary: CtcVocabulary;
  /** Seconds from one frame to the next. */
  readonly frameSec: number;
}

/**
 * Finds a checkpoint with a CTC head over a supported encoder, as a folder or a model id in the Hugging Face cache.
 * @throws InputError when it is missing, broken, no recogniser, or its vocabulary is not of characters
 */
export async function findCtcRecogniser(nameOrPath: string): Promise<CtcRecogniserSource> {
  const encoder = await findSpeechEncoder(nameOrPath, null, CTC_LOGITS);
  const dir = await findCheckpointFolder(nameOrPath);
  const size = ctcVocabularySize(await readConfig(dir), join(dir, 'config.json'));
  return { encoder, vocabulary: await readCtcVocabulary(dir, size), frameSec: encoder.frameSec! };
}

/** {@link findCtcRecogniser} as one of several kinds. @throws InputError also for a language, which it does not take */
export const findCharacterRecogniser: FindRecogniser = async (nameOrPath, { beam, language }) => {
  const { encoder, vocabulary, frameSec } = await findCtcRecogniser(nameOrPath);
  if (language !== undefined) {
    throw new InputError(
      `--language ${language}: ${nameOrPath} has a CTC head and hears the language that it was trained on; leave --language out, or name a multilingual Whisper`,
    );
  }
  return {
    ...{ encoder, vocabulary, language: undefined },
    textOf(logits) {
      const { text, words, confidence, symbolFrames } = recognisedText(logits, vocabulary, beam);
      const timed = words.map(({ word, first, end, confidence }) => ({
        ...{ word, confidence, startSec: first * frameSec, endSec: end * frameSec },
      }));
      return { text, words: timed, confidence, symbols: symbolFrames, isCut: false };
    },
  };
};

/**
 * The text of a clip.
 * @param logits [frames, symbols]
 * @param beam prefixes of the beam search; 1 is the best path (greedy). The words of a beam search have the times of the
 *   likeliest path that says them
 */
export function recognisedText(
  { frames, width: size, data }: ClipFeatures,
  vocabulary: CtcVocabulary,
  beam: number,
): CtcText {
  const logs = logProbabilities({ frames, size, data });
  if (beam === 1) return textOfPath(bestPath(logs, size), vocabulary);
  const isBlank = (id: number): boolean => vocabulary.symbols[id] === vocabulary.blank;
  const { labels } = prefixBeamSearch(logs, size, isBlank, beam);
  const blank = vocabulary.symbols.indexOf(vocabulary.blank);
  return textOfPath(alignedPath(labels, logs, size, blank), vocabulary);
}

/** @file A speech recogniser: an encoder with a CTC head, and how its logits become texts. */

import { join } from 'node:path';
import { findCheckpointFolder, readConfig } from '../../../checkpoints/index.js';
import { type EncoderSource, findSpeechEncoder } from '../encoder-source.js';
import { CTC_LOGITS } from '../layer-selection.js';
import type { ClipFeatures } from '../speech-encoder.js';
import { alignedPath } from './alignment.js';
import { prefixBeamSearch } from './beam-search.js';
import { bestPath, type CtcText, logProbabilities, textOfPath } from './decoding.js';
import { ctcVocabularySize } from './head.js';
import { type CtcVocabulary, readCtcVocabulary } from './vocabulary.js';

/** A recogniser that was found and checked, but is not loaded yet. */
export interface RecogniserSource {
  /** Its folder. */
  readonly dir: string;
  /** Gives the logits [frames, symbols] of clips as their features. */
  readonly encoder: EncoderSource;
  readonly vocabulary: CtcVocabulary;
  /** Seconds from one frame to the next. */
  readonly frameSec: number;
}

/**
 * Finds a recogniser: a checkpoint with a CTC head over a supported encoder, as a folder or a model id in the Hugging
 * Face cache.
 * @throws InputError when it is missing, broken, no recogniser, or its vocabulary is not of characters
 */
export async function findRecogniser(nameOrPath: string): Promise<RecogniserSource> {
  const encoder = await findSpeechEncoder(nameOrPath, null, CTC_LOGITS);
  const dir = await findCheckpointFolder(nameOrPath);
  const size = ctcVocabularySize(await readConfig(dir), join(dir, 'config.json'));
  return { dir, encoder, vocabulary: await readCtcVocabulary(dir, size), frameSec: encoder.frameSec! };
}

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

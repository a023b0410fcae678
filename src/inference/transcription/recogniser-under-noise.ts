/** @file The words of test clips under noise, from the recogniser that heard them without. */

import { join } from 'node:path';
import { InputError, sha256Of } from '../../base/index.js';
import type { RecogniserInfo } from '../../data/corpora/index.js';
import type { ComputeOptions } from '../../training/index.js';
import { namedRecogniser, type RecogniserIdentity } from '../speech-recogniser.js';
import { type ClipToRecognise, type RecognitionListener, recogniseClips } from './clip-recognition.js';

/** A recogniser for clips under noise. */
export interface RecogniserUnderNoise {
  readonly identity: RecogniserIdentity;
  /** The texts of clips, in order. They are kept in the folder of the cache, and recognised once. */
  readonly recognise: (
    clips: readonly ClipToRecognise[],
    onProgress: RecognitionListener['onProgress'],
  ) => Promise<readonly string[]>;
}

/**
 * @param model its name or folder
 * @param corpus the recogniser of the corpus, whose beam and language count here too
 * @throws InputError if that was another one: figures would differ by more than noise
 */
export async function recogniserUnderNoise(
  model: string,
  corpus: RecogniserInfo,
  compute: ComputeOptions,
  { onWarning }: Pick<RecognitionListener, 'onWarning'>,
): Promise<RecogniserUnderNoise> {
  const { beam = 1, language } = corpus;
  const named = await namedRecogniser(model, { beam, language });
  const { identity } = named;
  if (corpus.weights_sha256 === undefined) {
    onWarning(
      `whether the texts without noise are of ${model} too is not known, because they come from ${corpus.name}`,
    );
  } else if (
    corpus.weights_sha256 !== identity.weights_sha256 ||
    corpus.vocabulary_sha256 !== identity.vocabulary_sha256
  ) {
    throw new InputError(
      `--transcribe ${model} is not the recogniser of the corpus, ${corpus.name} (other weights or another vocabulary); name that one, so that results differ by the noise alone`,
    );
  }
  const { name: _, ...settings } = identity;
  const file = `${sha256Of(JSON.stringify(settings)).slice(0, 16)}.jsonl`;
  const journal = { path: join(compute.cacheDir, 'recognition', file), identity: settings };
  return {
    identity,
    recognise: (clips, onProgress) =>
      recogniseClips(named, clips, journal, compute, { onProgress, onWarning }),
  };
}

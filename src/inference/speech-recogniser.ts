/** @file A speech recogniser at work: its encoder on one device or several, and the texts of what that gives. */

import { basename, resolve } from 'node:path';
import {
  type ClipFeatures,
  findRecogniser,
  type RecognisedText,
  type RecogniserSource,
  type RecognitionWishes,
} from '../backbones/index.js';
import { InputError, pathExists, sha256Of } from '../base/index.js';
import { checkpointIdentity } from '../checkpoints/index.js';
import { type ComputeOptions, type EncoderPool, encoderPool } from '../training/index.js';

/** Tells one recogniser from another. */
export interface RecogniserIdentity {
  /** The name or folder that was given; of a folder, its last part. */
  readonly name: string;
  /** SHA-256 of its weights, of a sample of them where they are large. */
  readonly weights_sha256: string;
  /** SHA-256 of its symbols and of how they become text. */
  readonly vocabulary_sha256: string;
  /** Prefixes of the beam search; 1 is greedy. */
  readonly beam: number;
  /** The language that it was told; absent if it finds out, or has one. */
  readonly language?: string;
}

/** A recogniser that is named, but not loaded yet. */
export interface NamedRecogniser {
  readonly source: RecogniserSource;
  readonly identity: RecogniserIdentity;
}

/** @throws InputError as {@link findRecogniser} */
export async function namedRecogniser(
  nameOrPath: string,
  wishes: RecognitionWishes,
): Promise<NamedRecogniser> {
  const source = await findRecogniser(nameOrPath, wishes);
  const { checkpoint, config } = source.encoder;
  const { weights } = await checkpointIdentity(checkpoint!, config);
  const isFolder = await pathExists(nameOrPath); // whose place is of this machine
  return {
    source,
    identity: {
      name: isFolder ? basename(resolve(nameOrPath)) : nameOrPath,
      weights_sha256: weights!,
      vocabulary_sha256: sha256Of(JSON.stringify(source.vocabulary)),
      beam: wishes.beam,
      ...(source.language !== undefined && { language: source.language }),
    },
  };
}

export interface SpeechRecogniser {
  readonly encoder: EncoderPool;
  /**
   * The text of a clip from what the encoder gave.
   * @throws InputError for values that are not finite numbers
   */
  textOf(features: ClipFeatures): RecognisedText;
}

/** Loads a recogniser on its devices when they get their first clips. Close its encoder. */
export function openRecogniser({ source }: NamedRecogniser, compute: ComputeOptions): SpeechRecogniser {
  return {
    encoder: encoderPool(source.encoder, compute),
    textOf(features) {
      if (features.data.every(Number.isFinite)) return source.textOf(features);
      throw new InputError('the recogniser gave values that are not numbers; are its weights intact?');
    },
  };
}

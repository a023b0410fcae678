/** @file Finds a speech recogniser of any kind. */

import { findCheckpointFolder, readConfig } from '../../checkpoints/index.js';
import { findCharacterRecogniser } from './ctc/recogniser.js';
import type { FindRecogniser, RecogniserSource, RecognitionWishes } from './recognised-text.js';
import { findWhisperRecogniser } from './whisper/recogniser.js';

/** By model_type; the others are encoders with a CTC head. */
const kinds: ReadonlyMap<unknown, FindRecogniser> = new Map([['whisper', findWhisperRecogniser]]);

/**
 * Finds a recogniser: a checkpoint with a CTC head over a supported encoder, or a whole Whisper, as a folder or a model
 * id in the Hugging Face cache.
 * @throws InputError when it is missing, broken or no recogniser, or cannot do what is wished
 */
export async function findRecogniser(
  nameOrPath: string,
  wishes: RecognitionWishes,
): Promise<RecogniserSource> {
  const { model_type } = await readConfig(await findCheckpointFolder(nameOrPath));
  return (kinds.get(model_type) ?? findCharacterRecogniser)(nameOrPath, wishes);
}

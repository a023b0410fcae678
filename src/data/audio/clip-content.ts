/** @file What an audio file is known by. */

import { errorMessage, InputError, sha256OfFile } from '../../base/index.js';

/** SHA-256 of the file of an utterance. @throws InputError if it cannot be read */
export async function clipContent({
  id,
  path,
}: {
  readonly id: string;
  readonly path: string;
}): Promise<string> {
  return sha256OfFile(path).catch((error: unknown) => {
    throw new InputError(`audio file ${path} of utterance "${id}" cannot be read: ${errorMessage(error)}`);
  });
}

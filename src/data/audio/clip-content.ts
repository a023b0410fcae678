/** @file What an audio file is known by. */

import { errorMessage, InputError, sha256OfFile } from '../../base/index.js';

/**
 * Hashes the files of utterances, each once, however many utterances or variants it has.
 * @returns a function that gives the SHA-256 of an utterance's file, and throws an InputError if it cannot be read
 */
export function clipContents(): (clip: { readonly id: string; readonly path: string }) => Promise<string> {
  const hashes = new Map<string, Promise<string>>();
  return ({ id, path }) => {
    const hash = hashes.get(path) ?? sha256OfFile(path);
    hashes.set(path, hash);
    return hash.catch((error: unknown) => {
      throw new InputError(`audio file ${path} of utterance "${id}" cannot be read: ${errorMessage(error)}`);
    });
  };
}

/**
 * @file What two parts of a corpus have in common, and which audio files hold the same bytes. Files of a size that no other has
 * are never opened.
 */

import { open, stat } from 'node:fs/promises';
import { errorMessage, InputError, mapConcurrently, sha256Of, sha256OfFile } from '../../base/index.js';
import type { Utterance } from './manifest.js';

/** How far audio could be compared. */
export interface AudioCheck {
  compared: number;
  missing: number;
}

/** Bytes from the middle of a file that are compared before the whole is; clips rarely agree in them by chance. */
const SAMPLE_BYTES = 4096;
const FILES_AT_ONCE = 32;

/**
 * Compares the audio of utterances.
 * @returns for each path whose content another path has too, its SHA-256; and how much could be compared.
 * @throws InputError for a file that is there and cannot be read.
 */
export async function sharedAudio(
  utterances: readonly Utterance[],
): Promise<AudioCheck & { contentOf: ReadonlyMap<string, string> }> {
  const paths = [...new Set(utterances.map(({ path }) => path))].filter((path) => path !== '');
  const sizes = await mapConcurrently(paths, FILES_AT_ONCE, (path) =>
    stat(path).then(
      (file) => (file.isFile() ? file.size : undefined),
      () => undefined,
    ),
  );
  const sizeOf = new Map(
    paths.flatMap((path, i) => (sizes[i] === undefined ? [] : [[path, String(sizes[i])]])),
  );
  const sampled = await keyed(
    repeated(sizeOf),
    async (path, size) => `${size} ${await sampleOf(path, Number(size))}`,
  );
  const contentOf = await keyed(repeated(sampled), sha256OfFile);
  return {
    compared: sizeOf.size,
    missing: paths.length - sizeOf.size,
    contentOf: new Map(repeated(contentOf)),
  };
}

/** The entries whose value another entry has too. */
function repeated(values: ReadonlyMap<string, string>): [string, string][] {
  const counts = new Map<string, number>();
  for (const value of values.values()) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...values].filter(([, value]) => counts.get(value)! > 1);
}

async function keyed(
  entries: readonly [string, string][],
  keyOf: (path: string, value: string) => Promise<string>,
): Promise<Map<string, string>> {
  const keys = await mapConcurrently(entries, FILES_AT_ONCE, ([path, value]) =>
    keyOf(path, value).catch((error: unknown) => {
      throw new InputError(`audio file ${path} cannot be read: ${errorMessage(error)}`);
    }),
  );
  return new Map(entries.map(([path], i) => [path, keys[i]!]));
}

async function sampleOf(path: string, byteLength: number): Promise<string> {
  const handle = await open(path, 'r');
  try {
    const start = Math.max(0, Math.floor((byteLength - SAMPLE_BYTES) / 2));
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(SAMPLE_BYTES), 0, SAMPLE_BYTES, start);
    return sha256Of(buffer.subarray(0, bytesRead));
  } finally {
    await handle.close();
  }
}

/** The utterances of both parts that have one thing in common. */
export interface SharedItem {
  /** A speaker's name, the words, a recording's SHA-256 or path. */
  what: string;
  /** Ids in the part that is seen before, and in the one that is held out, in the order of the corpus. */
  seen: string[];
  heldOut: string[];
}

/** Everything of one kind that two parts have in common. */
export interface SharedItems {
  /** How many different things both parts have. */
  count: number;
  /** Utterances of the held-out part that are concerned. */
  utterances: number;
  /** The most telling ones first. */
  examples: SharedItem[];
}

/** How many examples of a kind are kept, and how many ids of each. */
export const EXAMPLES = 5;

/**
 * What both parts have by a key of their utterances; '' is not known and never in common.
 * @param weight how telling a key is; by default those of most utterances are.
 */
export function itemsInCommon(
  seen: readonly Utterance[],
  heldOut: readonly Utterance[],
  keyOf: (utterance: Utterance) => string,
  weight: (key: string) => number = () => 0,
): SharedItems {
  const seenIds = idsByKey(seen, keyOf);
  const shared = [...idsByKey(heldOut, keyOf)].filter(([key]) => seenIds.has(key));
  const telling = [...shared].sort(
    ([a, idsA], [b, idsB]) => weight(b) - weight(a) || idsB.length - idsA.length,
  );
  return {
    count: shared.length,
    utterances: shared.reduce((sum, [, ids]) => sum + ids.length, 0),
    examples: telling.slice(0, EXAMPLES).map(([what, ids]) => ({
      what,
      seen: seenIds.get(what)!.slice(0, EXAMPLES),
      heldOut: ids.slice(0, EXAMPLES),
    })),
  };
}

function idsByKey(
  utterances: readonly Utterance[],
  keyOf: (utterance: Utterance) => string,
): Map<string, string[]> {
  const ids = new Map<string, string[]>();
  for (const utterance of utterances) {
    const key = keyOf(utterance);
    if (key === '') continue;
    const group = ids.get(key);
    if (group) group.push(utterance.id);
    else ids.set(key, [utterance.id]);
  }
  return ids;
}

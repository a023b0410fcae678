/**
 * @file Finds audio files with identical bytes, and items that two parts of a corpus have in common. Files of unique
 * size are never opened.
 */

import { open, stat } from 'node:fs/promises';
import { errorMessage, InputError, mapConcurrently, sha256Of, sha256OfFile } from '../../base/index.js';
import type { Utterance } from './manifest.js';

/** How much audio could be compared. */
export interface AudioCheck {
  compared: number;
  missing: number;
}

/** Bytes from the middle of a file that are compared first; clips rarely agree in them by chance. */
const SAMPLE_BYTES = 4096;
const FILES_AT_ONCE = 32;

/**
 * Compares the audio of utterances.
 * @returns the SHA-256 of each path whose content also occurs under another path; and how much could be compared
 * @throws InputError for an existing file that cannot be read
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

/** The entries whose value occurs more than once. */
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

/** The utterances of both parts that share one item. */
export interface SharedItem {
  /** A speaker's name, words, or a recording's SHA-256 or path. */
  what: string;
  /** Ids in the part seen before and in the held-out part, in corpus order. */
  seen: string[];
  heldOut: string[];
}

/** All items of one kind that two parts share. */
export interface SharedItems {
  /** Number of distinct shared items. */
  count: number;
  /** Affected utterances of the held-out part. */
  utterances: number;
  /** The most telling first. */
  examples: SharedItem[];
}

/** Maximum number of examples per kind, and of ids per example. */
export const EXAMPLES = 5;

/**
 * Items that both parts share, by a key of their utterances; '' means unknown and never matches.
 * @param weight how telling a key is; by default, the number of its utterances
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

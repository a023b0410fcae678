/** @file What distinguishes two resolved recipes, key by key. */

import { parse } from 'yaml';
import { recipeSchema } from './schema.js';

/** A key whose value differs between two recipes; values as JSON, undefined where a recipe lacks the key. */
export interface ChangedKey {
  readonly key: string;
  readonly before: string | undefined;
  readonly after: string | undefined;
}

/** "stage1.epochs was 10, is 3" for every key whose value differs between two dumped recipes. */
export function recipeDifferences(before: string, after: string): string[] {
  return changedKeys(before, after).map(
    ({ key, before: was = 'absent', after: is = 'absent' }) => `${key} was ${was}, is ${is}`,
  );
}

/** The keys that differ between two dumped recipes. */
export function changedKeys(before: string, after: string): ChangedKey[] {
  const [old, now] = [leaves(resolved(before)), leaves(resolved(after))];
  const keys = [...new Set([...old.keys(), ...now.keys()])];
  return keys
    .filter((key) => old.get(key) !== now.get(key))
    .map((key) => ({ key, before: old.get(key), after: now.get(key) }));
}

/** Whether a dumped recipe has a key itself; one of an earlier emoq lacks those that were added since. */
export function hasKey(dump: string, path: readonly string[]): boolean {
  return (
    path.reduce<unknown>((at, key) => (at as Record<string, unknown> | null)?.[key], parse(dump)) !==
    undefined
  );
}

/** The recipe with every key: a run of an earlier emoq lacks those that were added since, and ran with their defaults. */
function resolved(dump: string): unknown {
  const written: unknown = parse(dump);
  return recipeSchema.safeParse(written).data ?? written;
}

function leaves(value: unknown, path = ''): Map<string, string> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return new Map([[path, JSON.stringify(value)]]);
  return new Map(
    Object.entries(value).flatMap(([key, inner]) => [...leaves(inner, path === '' ? key : `${path}.${key}`)]),
  );
}

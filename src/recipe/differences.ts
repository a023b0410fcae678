/** @file What distinguishes two resolved recipes, key by key. */

import { parse } from 'yaml';
import { recipeSchema } from './schema.js';

/** "stage1.epochs was 10, is 3" for every key whose value differs between two dumped recipes. */
export function recipeDifferences(before: string, after: string): string[] {
  const [old, now] = [leaves(resolved(before)), leaves(resolved(after))];
  const keys = [...new Set([...old.keys(), ...now.keys()])];
  return keys
    .filter((key) => old.get(key) !== now.get(key))
    .map((key) => `${key} was ${old.get(key) ?? 'absent'}, is ${now.get(key) ?? 'absent'}`);
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

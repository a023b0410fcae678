/** @file What distinguishes two resolved recipes, key by key. */

import { parseDumped } from './dump.js';
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

/**
 * Keys that changed nothing in a run that lacks them, whatever its recipe says of them since: such a run has its prompt
 * in run.json, and does not average figures.
 */
const LATER_KEYS = ['prompt.speaker', 'stage1.select_figure', 'stage2.select_figure'];

/** The keys that differ between two dumped recipes. */
export function changedKeys(before: string, after: string): ChangedKey[] {
  const lacking = LATER_KEYS.filter((key) => !hasKey(before, key) || !hasKey(after, key));
  const [old, now] = [leaves(resolved(before)), leaves(resolved(after))];
  const keys = [...new Set([...old.keys(), ...now.keys()])];
  return keys
    .filter((key) => old.get(key) !== now.get(key) && !lacking.includes(key))
    .map((key) => ({ key, before: old.get(key), after: now.get(key) }));
}

/** Whether a dumped recipe has a key itself; one of an earlier emoq lacks those that were added since. */
function hasKey(dump: string, key: string): boolean {
  const inner = (at: unknown, name: string): unknown => (at as Record<string, unknown> | null)?.[name];
  return key.split('.').reduce(inner, parseDumped(dump) as unknown) !== undefined;
}

/** The recipe with every key: a run of an earlier emoq lacks those that were added since, and ran with their defaults. */
function resolved(dump: string): unknown {
  const written = parseDumped(dump);
  return recipeSchema.safeParse(written).data ?? written;
}

function leaves(value: unknown, path = ''): Map<string, string> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return new Map([[path, JSON.stringify(value)]]);
  return new Map(
    Object.entries(value).flatMap(([key, inner]) => [...leaves(inner, path === '' ? key : `${path}.${key}`)]),
  );
}

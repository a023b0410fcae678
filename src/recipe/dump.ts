/** @file A resolved recipe as YAML text: every key, in schema order, marked where the paper does not give it. */

import {
  Document,
  isCollection,
  isMap,
  isNode,
  isScalar,
  type LineCounter,
  type Node,
  parseDocument,
  visit,
  type YAMLMap,
  YAMLParseError,
} from 'yaml';
import { InputError, plainValueOf } from '../base/index.js';
import type { Recipe } from '../systems/index.js';
import { DEFAULT_SYSTEM } from '../systems/index.js';
import { recipeKeys, schemaOf } from './schema.js';

/** How recipes mark a key that is our own choice. */
export const notInPaperMark = 'not in the paper';

/** YAML text that `loadRecipe` reads back to the same recipe. The same recipe gives the same bytes. */
export function dumpRecipe(recipe: Recipe): string {
  const origins = new Map<string, string>(
    recipeKeys(recipe.system).map(({ path, origin }) => [path, origin]),
  );
  const { system, ...others } = recipe;
  // Named where it is not the default: recipes of EmoQ are the same bytes as before there were other systems.
  const document = new Document(system === DEFAULT_SYSTEM ? others : recipe);
  const visit = (section: YAMLMap, prefix: string): void => {
    for (const { key, value } of section.items) {
      const path = prefix + String(key);
      const origin = origins.get(path);
      if (origin === undefined) {
        if (isMap(value)) visit(value, `${path}.`);
        continue;
      }
      if (isCollection(value)) value.flow = true;
      if (origin === notInPaperMark && isNode(value)) value.comment = ` ${notInPaperMark}`;
    }
  };
  if (isMap(document.contents)) visit(document.contents as YAMLMap, '');
  return document.toString({ lineWidth: 0, flowCollectionPadding: false });
}

/** The last key of every dump, of this version and all before it. */
const LAST_KEY = 'paper';

/**
 * The values of a dumped recipe.
 * @throws InputError, one line without the file's name, when it is no recipe, or not all of one
 */
export function parseDumped(text: string): Record<string, unknown> {
  const parsed = plainValueOf(text, () => {
    const document = recipeDocument(text);
    if (document.errors.length > 0) throw document.errors[0];
    return document.toJS();
  });
  if (parsed.kind === 'problem') throw new InputError(`is not valid YAML: ${parsed.problem}`);
  const { value } = parsed;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InputError(text.trim() === '' ? 'is empty' : 'holds no keys with values');
  }
  // A file that was cut at the end of a line still reads well, and keys that it lacks would get their defaults.
  const isBlock = !text.trimStart().startsWith('{');
  if (isBlock && !Object.hasOwn(value, LAST_KEY)) {
    throw new InputError(`is cut off: its last key "${LAST_KEY}" is missing`);
  }
  return value as Record<string, unknown>;
}

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
  return schemaOf(written.system).safeParse(written).data ?? { system: DEFAULT_SYSTEM, ...written };
}

function leaves(value: unknown, path = ''): Map<string, string> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return new Map([[path, JSON.stringify(value)]]);
  return new Map(
    Object.entries(value).flatMap(([key, inner]) => [...leaves(inner, path === '' ? key : `${path}.${key}`)]),
  );
}

/** The document of a text, with what is wrong with it in `errors`. */
export function recipeDocument(text: string, lineCounter?: LineCounter): Document.Parsed {
  const document = parseDocument(text, {
    prettyErrors: false,
    logLevel: 'error', // else what it thinks odd would go to stderr beside what we say of it
    ...(lineCounter !== undefined && { lineCounter }),
  });
  // A list for a key would become a text: of aliases of aliases one without end.
  visit(document, {
    Pair(_, { key }) {
      if (isScalar(key) && (typeof key.value !== 'object' || key.value === null)) return undefined;
      const [start, end = start] = (key as Node | null)?.range ?? [0];
      document.errors.push(
        new YAMLParseError([start, end], 'BAD_COLLECTION_TYPE', 'a key must be a text, not a list or a map'),
      );
      return visit.BREAK;
    },
  });
  return document;
}

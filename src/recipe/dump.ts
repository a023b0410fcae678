/**
 * @file Writes a resolved recipe as YAML: every key in schema order, marked if the paper does not give it. Also parses
 * and compares such dumps.
 */

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

/** The mark of keys that are our own choice. */
export const notInPaperMark = 'not in the paper';

/** YAML text that `loadRecipe` reads back to the same recipe. The same recipe gives the same bytes. */
export function dumpRecipe(recipe: Recipe): string {
  const origins = new Map<string, string>(
    recipeKeys(recipe.system).map(({ path, origin }) => [path, origin]),
  );
  const { system, ...others } = recipe;
  // Written only if it is not the default, so that recipes of EmoQ keep the bytes they had before there were other
  // systems.
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

/** A value as in a recipe; a text without quotes. */
export function valueText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** The last key of every dump, in all versions. */
const LAST_KEY = 'paper';

/**
 * The values of a dumped recipe.
 * @throws InputError, one line without the file's name, when it is not a recipe or is incomplete
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
  // A file cut off at the end of a line is still valid YAML, and the missing keys would get their defaults.
  const isBlock = !text.trimStart().startsWith('{');
  if (isBlock && !Object.hasOwn(value, LAST_KEY)) {
    throw new InputError(`is cut off: its last key "${LAST_KEY}" is missing`);
  }
  return value as Record<string, unknown>;
}

/** A key whose value differs between two recipes. Values are JSON; undefined if a recipe lacks the key. */
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
 * Keys without effect in a run that lacks them, whatever its recipe says now: such a run stores its prompt in run.json
 * and does not average figures.
 */
const LATER_KEYS = ['prompt.speaker', 'stage1.select_figure', 'stage2.select_figure'];

/** What a dumped recipe says, unchecked. */
type DumpedKeys = ReturnType<typeof parseDumped>;

/** The keys that differ between two dumped recipes. */
export function changedKeys(before: string, after: string): ChangedKey[] {
  const dumps = [parseDumped(before), parseDumped(after)] as const;
  const missing = LATER_KEYS.filter((key) => !dumps.every((dump) => hasKey(dump, key)));
  const [old, now] = [leaves(resolved(dumps[0])), leaves(resolved(dumps[1]))];
  const keys = [...new Set([...old.keys(), ...now.keys()])];
  return keys
    .filter((key) => old.get(key) !== now.get(key) && !missing.includes(key))
    .map((key) => ({ key, before: old.get(key), after: now.get(key) }));
}

/** Whether a dumped recipe has a key itself; dumps of older versions lack keys added since. */
function hasKey(dump: DumpedKeys, key: string): boolean {
  const inner = (at: unknown, name: string): unknown => (at as Record<string, unknown> | null)?.[name];
  return key.split('.').reduce(inner, dump as unknown) !== undefined;
}

/** The recipe with every key. A run of an older version lacks keys added since, and was trained with their defaults. */
function resolved(dump: DumpedKeys): unknown {
  return schemaOf(dump.system).safeParse(dump).data ?? { system: DEFAULT_SYSTEM, ...dump };
}

function leaves(value: unknown, path = ''): Map<string, string> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return new Map([[path, JSON.stringify(value)]]);
  return new Map(
    Object.entries(value).flatMap(([key, inner]) => [...leaves(inner, path === '' ? key : `${path}.${key}`)]),
  );
}

/** Parses a text as a YAML document, with problems in `errors`. */
export function recipeDocument(text: string, lineCounter?: LineCounter): Document.Parsed {
  const document = parseDocument(text, {
    prettyErrors: false,
    logLevel: 'error', // otherwise the parser prints warnings to stderr, next to our messages
    ...(lineCounter !== undefined && { lineCounter }),
  });
  // A list as a key would be converted to text, which can be infinite with nested aliases.
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

/** @file One recipe file as it was written: its values, the recipe that it builds on, and the place of every key. */

import { type Document, isCollection, isMap, isPair, isScalar, LineCounter, type Node } from 'yaml';
import { plainValueOf, readTextFile } from '../base/index.js';
import { recipeDocument } from './yaml-text.js';

/** A bracket that is not closed makes an error of everything behind it. */
const MOST_ERRORS = 5;

export type KeyPath = readonly PropertyKey[];

/** Values of one file, before any check. */
export interface RecipeLayer {
  readonly values: Record<string, unknown>;
  /** What its `base` says, where it has one; taken out of `values`. */
  readonly base: { readonly value: unknown; readonly place: string } | undefined;
  /** Offset of the key at `path` in the file (of the entry, inside a list); undefined where the file has none. */
  offsetOf(path: KeyPath): number | undefined;
  /** `file:line:column` of an offset. */
  at(offset: number): string;
}

/**
 * Reads a recipe file. What cannot be parsed goes to `report`, one line each.
 * @throws InputError when the file cannot be read
 */
export async function readLayer(file: string, report: (problem: string) => void): Promise<RecipeLayer> {
  const lines = new LineCounter();
  const text = (await readTextFile(file, 'recipe')).replace(/^\uFEFF/, '');
  let document: Document.Parsed | undefined;
  const whole = plainValueOf(text, () => {
    document = recipeDocument(text, lines);
    return document.errors.length > 0 ? undefined : document.toJS();
  });
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${Math.max(1, line)}:${Math.max(1, col)}`; // without a line where nothing was parsed
  };
  for (const error of document?.errors.slice(0, MOST_ERRORS) ?? []) {
    report(`${at(error.pos[0])}: not valid YAML: ${firstLine(error.message)}`);
  }
  if ('problem' in whole) report(`${at(0)}: not valid YAML: ${whole.problem}`);
  const contents = document?.contents ?? null;
  const value = 'value' in whole ? whole.value : undefined;
  if (value !== undefined && contents !== null && !isMap(contents)) {
    report(`${at(contents.range?.[0] ?? 0)}: a recipe must be keys with values, such as "seed: 1"`);
  }
  const { base, ...values } = isMap(contents) ? ((value ?? {}) as Record<string, unknown>) : {};
  const offset = (path: KeyPath): number | undefined => offsetIn(contents, path);
  return {
    values,
    base: base === undefined ? undefined : { value: base, place: at(offset(['base']) ?? 0) },
    offsetOf: offset,
    at,
  };
}

function firstLine(text: string): string {
  return text.split('\n')[0]!;
}

function offsetIn(root: Node | null, path: KeyPath): number | undefined {
  let node: unknown = root;
  let offset: number | undefined;
  for (const key of path) {
    if (!isCollection(node)) return undefined;
    if (isMap(node)) {
      // What is no scalar is no key; as a text it could be one without end.
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key));
      if (!pair) return undefined;
      offset = (pair.key as Node).range?.[0];
      node = pair.value;
    } else {
      const item: unknown = node.items[Number(key)];
      if (item === undefined || isPair(item)) return undefined;
      offset = (item as Node).range?.[0];
      node = item;
    }
  }
  return offset;
}

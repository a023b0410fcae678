/** @file One recipe file as it was written: its values, the recipe that it builds on, and the place of every key. */

import { isCollection, isMap, isPair, LineCounter, type Node, parseDocument } from 'yaml';
import { errorMessage, readTextFile } from '../base/index.js';

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
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  for (const error of document.errors) report(`${at(error.pos[0])}: not valid YAML: ${error.message}`);
  const { base, ...values } = documentValues(document, at, report);
  const offset = (path: KeyPath): number | undefined => offsetIn(document.contents, path);
  return {
    values,
    base: base === undefined ? undefined : { value: base, place: at(offset(['base']) ?? 0) },
    offsetOf: offset,
    at,
  };
}

function documentValues(
  document: ReturnType<typeof parseDocument>,
  at: (offset: number) => string,
  report: (problem: string) => void,
): Record<string, unknown> {
  if (document.errors.length > 0 || document.contents === null) return {};
  if (!isMap(document.contents)) {
    report(`${at(document.contents.range?.[0] ?? 0)}: a recipe must be keys with values, such as "seed: 1"`);
    return {};
  }
  try {
    return document.toJS() as Record<string, unknown>;
  } catch (error) {
    report(`${at(0)}: not valid YAML: ${errorMessage(error)}`);
    return {};
  }
}

function offsetIn(root: Node | null, path: KeyPath): number | undefined {
  let node: unknown = root;
  let offset: number | undefined;
  for (const key of path) {
    if (!isCollection(node)) return undefined;
    if (isMap(node)) {
      const pair = node.items.find((item) => String(item.key) === String(key));
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

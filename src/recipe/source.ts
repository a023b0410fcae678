/** @file What a recipe is read from: a YAML file, `--set` overrides on top, and the place of every key. */

import { isCollection, isMap, isPair, LineCounter, type Node, parseDocument } from 'yaml';
import { errorMessage, readTextFile } from '../base/index.js';

export type KeyPath = readonly PropertyKey[];

/** Where a key was given. */
export interface Place {
  /** `file:line:column`, or `--set key=value` as on the command line. */
  readonly text: string;
  readonly isOverride: boolean;
  /** Sorts places as the user wrote them: the file from its top, then the overrides. */
  readonly order: number;
}

/** Values as given, before any check, with the place that each came from. */
export interface RecipeSource {
  readonly values: Record<string, unknown>;
  /** The place of a key; of its nearest parent where the key is not there. */
  placeOf(path: KeyPath): Place;
}

interface Override {
  readonly path: readonly string[];
  /** As on the command line, for messages. */
  readonly flag: string;
}

/**
 * Reads `file` (or starts from nothing) and lays the overrides on top. What cannot be parsed goes to `report`,
 * one line each, and reading goes on, so that one run shows every mistake.
 * @throws InputError when the file cannot be read.
 */
export async function readRecipeSource(
  file: string | undefined,
  overrides: readonly string[],
  report: (problem: string) => void,
): Promise<RecipeSource> {
  const lines = new LineCounter();
  const text = file === undefined ? '' : (await readTextFile(file, 'recipe')).replace(/^\uFEFF/, '');
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  for (const error of document.errors) report(`${at(error.pos[0])}: not valid YAML: ${error.message}`);
  const values = documentValues(document, at, report);
  const applied = overrides.flatMap((text) => applyOverride(values, text, report));

  const inFile = (offset: number): Place => ({ text: at(offset), isOverride: false, order: offset });
  const setBy = (gave: (override: Override) => boolean): Place | undefined => {
    const index = applied.findLastIndex(gave);
    return index < 0
      ? undefined
      : { text: applied[index]!.flag, isOverride: true, order: text.length + 1 + index };
  };
  return {
    values,
    placeOf(path) {
      const whole = setBy((override) => startsWith(path, override.path));
      if (whole) return whole;
      const here = offsetOf(document.contents, path);
      if (here !== undefined) return inFile(here);
      const inside = setBy((override) => startsWith(override.path, path));
      if (inside) return inside;
      for (let length = path.length - 1; length > 0; length--) {
        const parent = offsetOf(document.contents, path.slice(0, length));
        if (parent !== undefined) return inFile(parent);
      }
      return { text: file ?? 'recipe', isOverride: false, order: -1 };
    },
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

/** Sets one `key.path=value` in place; the value is YAML. */
function applyOverride(
  values: Record<string, unknown>,
  text: string,
  report: (problem: string) => void,
): Override[] {
  const flag = `--set ${text}`;
  const equals = text.indexOf('=');
  const path = text.slice(0, Math.max(equals, 0)).trim().split('.');
  if (equals < 1 || path.some((key) => key === '')) {
    report(`${flag}: must be key=value, such as --set stage1.epochs=3`);
    return [];
  }
  const value = parseDocument(text.slice(equals + 1), { prettyErrors: false });
  if (value.errors.length > 0) {
    report(`${flag}: the value is not valid YAML: ${value.errors[0]!.message}`);
    return [];
  }
  let section = values;
  for (const [depth, key] of path.slice(0, -1).entries()) {
    const inner = ownValue(section, key) ?? {};
    if (typeof inner !== 'object' || Array.isArray(inner)) {
      report(`${flag}: ${path.slice(0, depth + 1).join('.')} has no keys inside; set it as a whole`);
      return [];
    }
    setOwn(section, key, inner);
    section = inner as Record<string, unknown>;
  }
  setOwn(section, path.at(-1)!, value.toJS());
  return [{ path, flag }];
}

/** Offset of the key at `path` (of the entry, inside a list); undefined where the document has none. */
function offsetOf(root: Node | null, path: KeyPath): number | undefined {
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

function startsWith(path: KeyPath, prefix: KeyPath): boolean {
  return prefix.length <= path.length && prefix.every((key, i) => String(key) === String(path[i]));
}

function ownValue(section: Record<string, unknown>, key: string): unknown {
  return Object.hasOwn(section, key) ? section[key] : undefined;
}

/** Defines the key itself, so that `__proto__` is an unknown key like any other. */
function setOwn(section: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(section, key, { value, enumerable: true, configurable: true, writable: true });
}

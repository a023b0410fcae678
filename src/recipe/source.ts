/**
 * @file Finds a recipe by dataset name (shipped with emoq, in the working directory, or derived from a corpus) or by
 * file, and reads its YAML and overrides with the source position of every key.
 */

import { readdir } from 'node:fs/promises';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Document, isCollection, isMap, isPair, isScalar, LineCounter, type Node } from 'yaml';
import { didYouMean, InputError, oneLine, pathExists, plainValueOf, readTextFile } from '../base/index.js';
import { recipeDocument } from './dump.js';

/** The source of a recipe: a YAML file, or a prepared corpus. */
export type RecipeOrigin =
  | { readonly kind: 'file'; readonly file: string }
  | { readonly kind: 'manifest'; readonly name: string; readonly manifest: string };

/** Folders of the recipes shipped with emoq, and of those that modify another recipe. */
export const shippedRecipes = fileURLToPath(new URL('../../recipes/', import.meta.url));
export const shippedAblations = join(shippedRecipes, 'ablations');

/** Where the preparation commands write a corpus by default. */
export function defaultManifest(name: string): string {
  return `data/${name}/manifest.csv`;
}

/**
 * Looks up a dataset name: the shipped recipe NAME.yaml (or ablations/NAME.yaml), then ./NAME.yaml, then the prepared
 * corpus data/NAME/manifest.csv, which gets a recipe of defaults.
 * @throws InputError listing the existing names if there is none, and if a shipped recipe would hide ./NAME.yaml
 */
export async function findDataset(name: string): Promise<RecipeOrigin> {
  if (isFileName(name)) {
    throw new InputError(`--dataset ${name}: is a file name; pass it with --recipe ${name}`);
  }
  const file = await findRecipeFile(name, '.');
  const own = `${name}.yaml`;
  // One of emoq's would be used in place of the user's.
  if (file !== undefined && resolve(file) !== resolve(own) && (await pathExists(own))) {
    throw new InputError(
      `--dataset ${name}: is a recipe that comes with emoq, and there is ${own} here; give --recipe ${own} for this one, or rename it`,
    );
  }
  if (file !== undefined) return { kind: 'file', file };
  const manifest = defaultManifest(name);
  if (await pathExists(manifest)) return { kind: 'manifest', name, manifest };
  const known = await shippedRecipeNames();
  throw new InputError(
    `--dataset ${name}: there is no recipe of this name (${known.join(', ')} come with emoq), no ${name}.yaml here ` +
      `and no ${manifest}${didYouMean(name, [...known, ...(await namesIn(shippedAblations))])}`,
  );
}

/**
 * The file of a base recipe, given by name (as in `findDataset`, or in the same folder) or by file; an error text if
 * there is none.
 * @param from the recipe file that names the base; relative file names start from its folder
 */
export async function findBaseFile(base: string, from: string): Promise<string | { problem: string }> {
  if (isFileName(base)) {
    const file = resolve(dirname(from), base);
    return (await pathExists(file)) ? file : { problem: `there is no file ${base} next to this one` };
  }
  const file = await findRecipeFile(base, dirname(from));
  const hint = didYouMean(base, await namesIn(shippedRecipes));
  return file ?? { problem: `there is no recipe ${base} next to this one or among those of emoq${hint}` };
}

/** The file of a recipe by name: first among the shipped ones, then in `folder`. */
async function findRecipeFile(name: string, folder: string): Promise<string | undefined> {
  for (const folderPath of [shippedRecipes, shippedAblations, folder]) {
    const file = join(folderPath, `${name}.yaml`);
    if (await pathExists(file)) return file;
  }
  return undefined;
}

/** Names of the recipes shipped with emoq. */
export function shippedRecipeNames(): Promise<string[]> {
  return namesIn(shippedRecipes);
}

async function namesIn(folder: string): Promise<string[]> {
  const files = await readdir(folder);
  return files.filter((file) => file.endsWith('.yaml')).map(recipeNameOf);
}

function isFileName(text: string): boolean {
  return /[/\\]|\.ya?ml$/.test(text);
}

/** The default name of a recipe: that of its file. */
export function recipeNameOf(file: string): string {
  return basename(file, extname(file));
}

/** The name of a corpus without a recipe: the folder of its manifest. */
export function nameOfManifest(manifest: string): string {
  return basename(dirname(resolve(manifest))).replace(/[^\w.-]+/g, '-') || 'corpus';
}

/** Where a key was set. */
export interface SourcePosition {
  /** `file:line:column`, or `--set key=value` as on the command line. */
  readonly text: string;
  readonly isOverride: boolean;
  /** Sorts positions by source: the file from its top, then its base, then the overrides. */
  readonly order: number;
}

/** Unchecked values, with the position where each was set. */
export interface RecipeSource {
  readonly values: Record<string, unknown>;
  /** The position of a key, or of its nearest parent if the key is not set. */
  positionOf(path: KeyPath): SourcePosition;
}

interface Override {
  readonly path: readonly string[];
  /** As on the command line, for messages. */
  readonly flag: string;
}

/** The longest part of a `--set` shown in messages. */
const MOST_SHOWN = 200;
/** Offset between files in the sort order, in characters. */
const LAYER_ORDER = 2 ** 32;

/**
 * Reads `file` (or starts empty) on top of its bases, and applies the overrides. Syntax errors go to `report`, one line
 * each, and reading continues, so that one run shows every mistake.
 * @param base replaces the `base` of the file
 * @throws InputError when a file cannot be read.
 */
export async function readRecipeSource(
  file: string | undefined,
  overrides: readonly string[],
  report: (problem: string) => void,
  base?: string,
): Promise<RecipeSource> {
  const layers = file === undefined ? [] : await readLayers(file, base, report);
  const values = layers.reduceRight<Record<string, unknown>>(
    (below, { values: own }) => merged(below, own),
    {},
  );
  const applied = overrides.flatMap((text) => applyOverride(values, text, report));

  const inFile = (path: KeyPath): SourcePosition | undefined => {
    for (const [depth, { offsetOf, at }] of layers.entries()) {
      const offset = offsetOf(path);
      if (offset === undefined) continue;
      return { text: at(offset), isOverride: false, order: depth * LAYER_ORDER + offset };
    }
    return undefined;
  };
  const setBy = (gave: (override: Override) => boolean): SourcePosition | undefined => {
    const index = applied.findLastIndex(gave);
    if (index < 0) return undefined;
    return { text: applied[index]!.flag, isOverride: true, order: layers.length * LAYER_ORDER + index };
  };
  return {
    values,
    positionOf(path) {
      const position =
        setBy((override) => startsWith(path, override.path)) ??
        inFile(path) ??
        setBy((override) => startsWith(override.path, path));
      if (position) return position;
      for (let length = path.length - 1; length > 0; length--) {
        const parent = inFile(path.slice(0, length));
        if (parent !== undefined) return parent;
      }
      return { text: file ?? 'recipe', isOverride: false, order: -1 };
    },
  };
}

/** The file, followed by its bases. */
async function readLayers(
  file: string,
  base: string | undefined,
  report: (problem: string) => void,
): Promise<RecipeLayer[]> {
  const layers = [await readLayer(file, report)];
  const read = [file];
  let given = base === undefined ? layers[0]!.base : { value: base, position: file };
  while (given !== undefined) {
    const below = await findBase(given, read, report);
    if (below === undefined) break;
    const layer = await readLayer(below, report);
    // A name refers to exactly one recipe. The corpus is inherited from the base, even if the base only implies it by
    // its name.
    const { name = recipeNameOf(below), ...values } = layer.values;
    if (layer.base === undefined) values.manifest ??= defaultManifest(String(name));
    layers.push({ ...layer, values });
    read.push(below);
    given = layer.base;
  }
  return layers;
}

/** The file of a `base`; undefined, with a report, if it does not exist or is circular. */
async function findBase(
  { value, position }: NonNullable<RecipeLayer['base']>,
  read: readonly string[],
  report: (problem: string) => void,
): Promise<string | undefined> {
  const problem = (what: string): undefined => void report(`${position}: base: ${what}`);
  if (typeof value !== 'string' || value === '') {
    return problem(`must be the name or the file of a recipe, not ${JSON.stringify(value)}`);
  }
  const found = await findBaseFile(value, read.at(-1)!);
  if (typeof found !== 'string') return problem(found.problem);
  if (read.some((file) => resolve(file) === resolve(found))) return problem(`${value} builds on itself`);
  return found;
}

/** Merges `own` over `below`: sections key by key, anything else as a whole. */
function merged(below: Record<string, unknown>, own: Record<string, unknown>): Record<string, unknown> {
  const values = { ...below };
  for (const [key, value] of Object.entries(own)) {
    const under = ownValue(below, key);
    setOwn(values, key, isSection(under) && isSection(value) ? merged(under, value) : value);
  }
  return values;
}

/** Sets one `key.path=value` in place; the value is YAML. */
function applyOverride(
  values: Record<string, unknown>,
  text: string,
  report: (problem: string) => void,
): Override[] {
  const flag = `--set ${oneLine(text, MOST_SHOWN)}`;
  const equals = text.indexOf('=');
  const path = text.slice(0, Math.max(equals, 0)).trim().split('.');
  if (equals < 1 || path.some((key) => key === '')) {
    report(`${flag}: must be key=value, such as --set stage1.epochs=3`);
    return [];
  }
  const given = text.slice(equals + 1);
  const parsed = plainValueOf(given, () => {
    const document = recipeDocument(given);
    if (document.errors.length > 0) throw document.errors[0];
    return document.toJS();
  });
  if (parsed.kind === 'problem') {
    report(`${flag}: the value is not valid YAML: ${parsed.problem}`);
    return [];
  }
  let section = values;
  for (const [depth, key] of path.slice(0, -1).entries()) {
    const inner = ownValue(section, key) ?? {};
    if (!isSection(inner)) {
      report(`${flag}: ${path.slice(0, depth + 1).join('.')} has no keys inside; set it as a whole`);
      return [];
    }
    setOwn(section, key, inner);
    section = inner;
  }
  setOwn(section, path.at(-1)!, parsed.value);
  return [{ path, flag }];
}

function startsWith(path: KeyPath, prefix: KeyPath): boolean {
  return prefix.length <= path.length && prefix.every((key, i) => String(key) === String(path[i]));
}

function isSection(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function ownValue(section: Record<string, unknown>, key: string): unknown {
  return Object.hasOwn(section, key) ? section[key] : undefined;
}

/** Defines an own property, so that `__proto__` is just an unknown key. */
function setOwn(section: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(section, key, { value, enumerable: true, configurable: true, writable: true });
}

/** An unclosed bracket turns everything after it into errors. */
const MOST_ERRORS = 5;

export type KeyPath = readonly PropertyKey[];

/** Unchecked values of one file. */
export interface RecipeLayer {
  readonly values: Record<string, unknown>;
  /** The value of `base`, if set; it is removed from `values`. */
  readonly base: { readonly value: unknown; readonly position: string } | undefined;
  /** Offset of the key at `path` in the file (of the entry, inside a list); undefined if the file does not have it. */
  offsetOf(path: KeyPath): number | undefined;
  /** `file:line:column` of an offset. */
  at(offset: number): string;
}

/**
 * Reads a recipe file. Syntax errors go to `report`, one line each.
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
    return `${file}:${Math.max(1, line)}:${Math.max(1, col)}`; // without a line number if nothing was parsed
  };
  for (const error of document?.errors.slice(0, MOST_ERRORS) ?? []) {
    report(`${at(error.pos[0])}: not valid YAML: ${firstLine(error.message)}`);
  }
  if (whole.kind === 'problem') report(`${at(0)}: not valid YAML: ${whole.problem}`);
  const contents = document?.contents ?? null;
  const value = whole.kind === 'value' ? whole.value : undefined;
  if (value !== undefined && contents !== null && !isMap(contents)) {
    report(`${at(contents.range?.[0] ?? 0)}: a recipe must be keys with values, such as "seed: 1"`);
  }
  const { base, ...values } = isMap(contents) ? ((value ?? {}) as Record<string, unknown>) : {};
  const offset = (path: KeyPath): number | undefined => offsetIn(contents, path);
  return {
    values,
    base: base === undefined ? undefined : { value: base, position: at(offset(['base']) ?? 0) },
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
      // Only scalars can be keys; converting anything else to text may not terminate.
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

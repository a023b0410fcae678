/**
 * @file Label maps, given as `angry=ang,happy=hap` or a YAML file; and warnings about, or merging of, labels, speakers
 * and sessions that look or mean the same.
 */

import { InputError, oneLine } from '../../base/index.js';
import { canonicalSpelling, describeSpellings, shownSpelling, spellingGroups } from '../tables/index.js';
import { readYamlFile } from './corpus-metadata.js';
import type { Utterance } from './manifest.js';
import type { MergedLabel } from './manifest-info.js';

/** Maximum length of a command-line map in messages. */
const MOST_SHOWN = 200;

/**
 * Reads a label map from text such as `angry=ang,happy=hap` or, if the text ends in .yaml or .yml, from that file,
 * which has `label: other` lines. Labels that look like numbers are kept as written.
 * @throws InputError naming the pair, or file, line and column
 */
export async function readLabelMap(source: string): Promise<Record<string, string>> {
  return /\.ya?ml$/i.test(source) ? readMapFile(source) : parsePairs(source);
}

function parsePairs(text: string): Record<string, string> {
  const map = new Map<string, string>();
  for (const pair of text.split(',')) {
    const [from, to, more] = pair.split('=').map((part) => part.trim());
    if (!from || !to || more !== undefined) {
      throw refusal(
        `label map "${oneLine(text, MOST_SHOWN)}": "${oneLine(pair, MOST_SHOWN)}" is not a pair like angry=ang; give pairs with commas between, or a YAML file`,
      );
    }
    addPair(map, from, to, `label map "${oneLine(text, MOST_SHOWN)}"`);
  }
  return Object.fromEntries(map);
}

async function readMapFile(path: string): Promise<Record<string, string>> {
  // The failsafe schema keeps every value as text: 03 is a label, not a number.
  const { value: content } = await readYamlFile(path, 'label map', 'failsafe');
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw new InputError(`${path}: a label map holds lines like "angry: ang"`);
  }
  const map = new Map<string, string>();
  for (const [from, to] of Object.entries(content)) {
    if (typeof to !== 'string' || to.trim() === '') {
      throw refusal(`${path}, key ${from}: must be another label`);
    }
    if (from.trim() === '') throw new InputError(`${path}: a label is empty`);
    addPair(map, from.trim(), to.trim(), path);
  }
  return Object.fromEntries(map);
}

function addPair(map: Map<string, string>, from: string, to: string, where: string): void {
  if (map.has(from)) throw refusal(`${where}: "${from}" appears twice`);
  map.set(from, to);
}

/** Labels may contain any text. */
function refusal(text: string): InputError {
  return new InputError(oneLine(text));
}

/**
 * Maps labels; labels without an entry are kept.
 * @throws InputError when the map has a label that does not occur: it is misspelt, or from another corpus
 */
export function mapLabels<T extends { label: string }>(
  items: readonly T[],
  labelMap: Readonly<Record<string, string>>,
): T[] {
  const map = new Map(Object.entries(labelMap));
  const labels = new Set(items.map(({ label }) => label));
  for (const from of map.keys()) {
    if (labels.has(from)) continue;
    const near = [...labels].find((label) => canonicalSpelling(label) === canonicalSpelling(from));
    const hint = near === undefined ? '' : ` (${shownSpelling(near)} differs only in spelling)`;
    throw refusal(
      `label map: no row has the label "${from}"${hint}; the labels are ${[...labels].join(', ')}`,
    );
  }
  return items.map((item) => ({ ...item, label: map.get(item.label) ?? item.label }));
}

/** Maximum number of groups listed in a line. */
const NAMED = 5;

/**
 * One line for each kind of value with several spellings that are probably the same.
 * @param remedy what to do about labels
 */
export function spellingWarnings(
  utterances: readonly Pick<Utterance, 'label' | 'speaker' | 'session' | 'gender'>[],
  remedy: string,
): string[] {
  const kinds = [
    ['label', `labels that look or mean the same are different classes`, remedy],
    [
      'speaker',
      'speakers whose names look or mean the same count as different people, who may be in training and test both',
      'give each one name',
    ],
    [
      'session',
      'sessions whose names look or mean the same are held out one without the other',
      'give each one name',
    ],
    ['gender', 'genders that look or mean the same have several names', 'give each one name'],
  ] as const;
  return kinds.flatMap(([column, what, advice]) => {
    const groups = spellingGroups(utterances.map((each) => each[column]).filter((value) => value !== ''));
    if (groups.length === 0) return [];
    const named = groups.slice(0, NAMED).map(describeSpellings).join('; ');
    const more = groups.length > NAMED ? `; and ${groups.length - NAMED} more groups` : '';
    return [`${what}: ${named}${more}; ${advice}`];
  });
}

/**
 * Warns about utterances that are left out because their label differs only in spelling from one in the recipe, and
 * about classes in the recipe that differ only in spelling from each other.
 * @param dropped utterances by label
 */
export function labelWarnings(
  dropped: ReadonlyMap<string, number>,
  labels: readonly string[],
  labelMap: ReadonlyMap<string, string>,
): string[] {
  const named = new Map([...labelMap.keys(), ...labels].map((label) => [canonicalSpelling(label), label]));
  const stray = [...dropped].flatMap(([label, count]) => {
    const near = named.get(canonicalSpelling(label));
    return near === undefined ? [] : [`${shownSpelling(label)} (${count}) for ${shownSpelling(near)}`];
  });
  const groups = spellingGroups(labels).map(({ spellings }) =>
    spellings.map(({ value }) => shownSpelling(value)).join(' and '),
  );
  return [
    ...(stray.length === 0
      ? []
      : [
          `labels are left out that differ only in spelling from labels of the recipe: ${stray.join('; ')}; add them to label_map`,
        ]),
    ...(groups.length === 0
      ? []
      : [
          `labels of the recipe look or mean the same and are different classes: ${groups.join('; ')}; map them to one with label_map`,
        ]),
  ];
}

/**
 * Merges labels that look or mean the same into the most frequent spelling, or the first of several equally frequent
 * ones.
 */
export function mergeSpellings<T extends { label: string }>(
  items: readonly T[],
): { items: T[]; merged: MergedLabel[] } {
  const merged = spellingGroups(items.map(({ label }) => label)).flatMap(({ spellings, kept }) =>
    spellings.flatMap(({ value, count }) =>
      value === kept ? [] : [{ from: value, to: kept, utterances: count }],
    ),
  );
  const names = new Map(merged.map(({ from, to }) => [from, to]));
  return { items: items.map((item) => ({ ...item, label: names.get(item.label) ?? item.label })), merged };
}

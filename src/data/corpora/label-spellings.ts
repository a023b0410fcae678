/** @file Labels, speakers and sessions of a corpus that look or mean the same: told of, or merged. */

import { canonicalSpelling, describeSpellings, shownSpelling, spellingGroups } from '../tables/index.js';
import type { Utterance } from './manifest.js';
import type { MergedLabel } from './manifest-info.js';

/** How many groups of a kind a line names. */
const NAMED = 5;

/**
 * One line for each kind of value that has several spellings of what is likely one thing.
 * @param remedy what to do about labels.
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
 * A line where utterances are left out because their label differs in spelling alone from one that a recipe names, and
 * one where classes of the recipe do from each other.
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
          `labels are left out that differ in spelling alone from labels of the recipe: ${stray.join('; ')}; add them to label_map`,
        ]),
    ...(groups.length === 0
      ? []
      : [
          `labels of the recipe look or mean the same and are different classes: ${groups.join('; ')}; map them to one with label_map`,
        ]),
  ];
}

/** Labels that look or mean the same under one name: the most frequent spelling, of equals the first. */
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

/** @file References and labels that look or mean the same and are written differently. */

import { InputError } from '../base/index.js';
import { canonicalSpelling, shownSpelling, spellingGroups } from '../data/tables/index.js';
import type { Prediction } from './predictions.js';

/** How many values a message lists. */
const LISTED = 8;

/**
 * Refuses references and labels without a value in common, which nothing can be right in: two ways of writing the
 * classes, or of two corpora.
 * @param where what they are of, for the message.
 * @throws InputError saying what both hold, and whether they differ in spelling alone
 */
export function refuseUnrelatedValues(where: string, rows: readonly Prediction[]): void {
  const references = valuesOf(rows.map(({ reference }) => reference));
  const labels = valuesOf(rows.map(({ label }) => label));
  if (references.size === 0 || labels.size === 0) return;
  if ([...labels].some((label) => references.has(label))) return;
  const spelt = new Map([...references].map((value) => [canonicalSpelling(value), value]));
  const pair = [...labels].find((label) => spelt.has(canonicalSpelling(label)));
  const advice =
    pair === undefined
      ? 'name the classes alike in both'
      : `they differ in spelling alone, such as ${shownSpelling(spelt.get(canonicalSpelling(pair))!)} and ${shownSpelling(pair)}; write them alike`;
  throw new InputError(
    `${where}: reference and label have no value in common, so nothing can be right: reference holds ${listed(references)}; label holds ${listed(labels)}; ${advice}`,
  );
}

/** One line for classes that look or mean the same; undefined where there are none. */
export function spellingWarning(labels: readonly string[]): string | undefined {
  const groups = spellingGroups(new Set(labels));
  if (groups.length === 0) return undefined;
  const named = groups.map(({ spellings }) =>
    spellings.map(({ value }) => shownSpelling(value)).join(' and '),
  );
  return `the labels ${named.join('; ')} look or mean the same and are taken for different classes`;
}

/** ` (it differs in spelling alone from "happy")`, where it does; else ''. */
export function nearestSpelling(value: string, labels: readonly string[]): string {
  const near = labels.find((label) => canonicalSpelling(label) === canonicalSpelling(value));
  return near === undefined ? '' : ` (it differs in spelling alone from ${shownSpelling(near)})`;
}

function valuesOf(values: readonly (string | undefined)[]): Set<string> {
  return new Set(values.filter((value) => value !== undefined));
}

function listed(values: ReadonlySet<string>): string {
  const shown = [...values].sort().slice(0, LISTED).map(shownSpelling).join(', ');
  return values.size > LISTED ? `${shown} and ${values.size - LISTED} more` : shown;
}

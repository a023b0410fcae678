/** @file What in a predictions file is likely not what its author meant: told where it can be scored, else refused. */

import { InputError, quoted } from '../base/index.js';
import { canonicalSpelling, shownSpelling, spellingGroups } from '../data/tables/index.js';
import { argmax } from './metrics/index.js';
import { nameOf, type Prediction, type PredictionTable } from './predictions.js';

/** Seven probabilities of two decimals may miss 1 by 0.035. */
const SUM_TOLERANCE = 0.05;

/** One line for each thing that is odd in a predictions file. */
export function predictionWarnings({ labels, rows }: PredictionTable): string[] {
  return [
    sumWarning(rows),
    argmaxWarning(labels, rows),
    repetitionWarning(rows),
    spellingWarning(labels),
  ].flatMap((text) => text ?? []);
}

/** A line where scored rows have no label. */
export function unansweredWarnings(rows: readonly Pick<Prediction, 'label'>[]): string[] {
  const unanswered = rows.filter(({ label }) => label === undefined).length;
  return unanswered === 0 ? [] : [`${unanswered} of ${rows.length} rows have no label and count as wrong`];
}

function sumWarning(rows: readonly Prediction[]): string | undefined {
  const sumOf = ({ probabilities }: Prediction): number =>
    Array.from(probabilities ?? [1]).reduce((sum, probability) => sum + probability, 0);
  const odd = rows.filter((row) => Math.abs(sumOf(row) - 1) > SUM_TOLERANCE);
  if (odd.length === 0) return undefined;
  const sum = Number(sumOf(odd[0]!).toPrecision(3));
  return `the probabilities of ${countOf(odd, rows)} do not add up to 1 (${example(odd[0]!)}${sum}), so the calibration error says little`;
}

function argmaxWarning(labels: readonly string[], rows: readonly Prediction[]): string | undefined {
  const odd = rows.filter(({ label, probabilities }) => {
    if (label === undefined || probabilities === undefined) return false;
    return probabilities[labels.indexOf(label)]! < probabilities[argmax(probabilities)]!;
  });
  if (odd.length === 0) return undefined;
  const { label, probabilities } = odd[0]!;
  const largest = labels[argmax(probabilities!)]!;
  return `the label of ${countOf(odd, rows)} is not the class with the largest probability (${example(odd[0]!)}${label}, not ${largest}); the calibration error is of the latter`;
}

/** Ids of one corpus may begin again in each of its splits. */
function repetitionWarning(rows: readonly Prediction[]): string | undefined {
  const seen = new Set<string>();
  const repeated = rows.filter((row) => {
    const name = nameOf(row);
    const key = `${name}\n${row.fold ?? ''}`;
    if (name === '' || !seen.has(key)) {
      seen.add(key);
      return false;
    }
    return true;
  });
  if (repeated.length === 0) return undefined;
  return `${countOf(repeated, rows)} tell of an utterance that is there already, such as ${quoted(nameOf(repeated[0]!))}; every row is scored`;
}

function example(row: Prediction): string {
  return nameOf(row) === '' ? 'such as ' : `of ${quoted(nameOf(row))}: `;
}

function countOf(some: readonly Prediction[], all: readonly Prediction[]): string {
  return `${some.length} of ${all.length} rows`;
}

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

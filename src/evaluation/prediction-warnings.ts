/** @file What in a predictions file can be scored but is likely not what its author meant. */

import { quoted } from '../base/index.js';
import { argmax } from './metrics/index.js';
import { nameOf } from './pairing.js';
import type { PredictionTable } from './prediction-reader.js';
import type { Prediction } from './predictions.js';
import { spellingWarning } from './value-spellings.js';

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

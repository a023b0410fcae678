/** @file Pairs the predictions of two systems by utterance, and groups rows for resampling. */

import { InputError, quoted } from '../base/index.js';
import { dialogueOf } from '../data/corpora/index.js';
import { nearestSpelling, refuseUnrelatedValues } from './prediction-reader.js';
import { nameOf, type Prediction, type PredictionTable, type ScoredPrediction } from './predictions.js';
import type { ResamplingUnit } from './statistics/significance.js';

/** Two systems over the same utterances, in the order of the first one's file. */
export interface PairedPredictions {
  /** The first system's classes, then those that only the second has. */
  readonly labels: readonly string[];
  readonly first: readonly ScoredPrediction[];
  readonly second: readonly ScoredPrediction[];
  /** Utterances without a reference in either file; they are not compared. */
  readonly withoutReference: number;
}

/** A system's predictions for one seed; the seed is null for a system trained once. */
export interface SeedTable {
  readonly seed: number | null;
  readonly table: PredictionTable;
}

/** One system's predictions for one seed, over the shared utterances in the shared order. */
export interface SeedPredictions {
  readonly seed: number | null;
  readonly rows: readonly ScoredPrediction[];
}

/** Two systems with one or more seeds each, over the same utterances. */
export interface PairedSeeds {
  readonly labels: readonly string[];
  readonly first: readonly SeedPredictions[];
  readonly second: readonly SeedPredictions[];
  readonly withoutReference: number;
}

/** How many utterances a message lists. */
const NAMED = 3;

/**
 * Pairs the predictions of all seeds of two systems, in the order of the first table's utterances.
 * @param first one or more; `second` likewise
 * @throws InputError as {@link pairPredictions}
 */
export function pairSeeds(first: readonly SeedTable[], second: readonly SeedTable[]): PairedSeeds {
  const [a, b] = [first[0]!.table, second[0]!.table];
  const { labels, first: rows, second: others, withoutReference } = pairPredictions(a, b);
  const base: PredictionTable = { path: a.path, labels, declared: a.declared, rows };
  const rest = (tables: readonly SeedTable[], own: readonly ScoredPrediction[]): SeedPredictions[] =>
    tables.map(({ seed, table }, index) => ({
      seed,
      rows: index === 0 ? own : pairPredictions(base, table).second,
    }));
  return {
    labels: [...new Set([...labels, ...[...first, ...second].flatMap(({ table }) => table.labels)])],
    first: rest(first, rows),
    second: rest(second, others),
    withoutReference,
  };
}

/**
 * Pairs two predictions files by id (by path where there is no id), and by fold where both have one. A reference may be
 * in either file.
 * @throws InputError in one line: an utterance without a name, or twice in a file; utterances that only one file has;
 *   references that differ; no reference at all
 */
export function pairPredictions(first: PredictionTable, second: PredictionTable): PairedPredictions {
  const byFold = [first, second].every(({ rows }) => rows.every(({ fold }) => fold !== undefined));
  const [a, b] = [rowsByKey(first, byFold), rowsByKey(second, byFold)];
  const missing = [...onlyIn(first.path, a, b), ...onlyIn(second.path, b, a)];
  if (missing.length > 0) {
    throw new InputError(`the two files do not have the same utterances: ${missing.join('; ')}`);
  }
  const pairs = [...a].map(([key, row]) => [row, b.get(key)!] as const);
  const differing = pairs.filter(
    ([one, other]) =>
      one.reference !== undefined && other.reference !== undefined && one.reference !== other.reference,
  );
  if (differing.length > 0) {
    const named = differing
      .slice(0, NAMED)
      .map(([one, other]) => `${quoted(nameOf(one))} (${one.reference}, ${other.reference})`);
    const isSpelling = differing.every(
      ([one, other]) => nearestSpelling(one.reference!, [other.reference!]) !== '',
    );
    const advice = isSpelling
      ? 'they differ only in spelling; use one spelling in both files'
      : 'compare systems over the same labels';
    throw new InputError(
      `the references of ${utterances(differing.length)} differ between ${first.path} and ${second.path}, such as ${named.join(', ')}; ${advice}`,
    );
  }
  const scored = pairs.flatMap(([one, other]) => {
    const reference = one.reference ?? other.reference;
    if (reference === undefined) return [];
    // A column that only one file fills holds for both.
    const known = { speaker: one.speaker ?? other.speaker, dialogue: one.dialogue ?? other.dialogue };
    return [
      [
        { ...one, ...known, reference },
        { ...other, ...known, reference },
      ] as const,
    ];
  });
  if (scored.length === 0) {
    throw new InputError(
      `neither ${first.path} nor ${second.path} has a reference, so there is nothing to compare`,
    );
  }
  for (const [{ path, declared }, side] of [[first, 0] as const, [second, 1] as const]) {
    if (!declared) {
      refuseUnrelatedValues(
        path,
        scored.map((pair) => pair[side]),
      );
    }
  }
  return {
    labels: [...new Set([...first.labels, ...second.labels])],
    first: scored.map(([one]) => one),
    second: scored.map(([, other]) => other),
    withoutReference: pairs.length - scored.length,
  };
}

function rowsByKey({ path, rows }: PredictionTable, byFold: boolean): Map<string, Prediction> {
  const found = new Map<string, Prediction>();
  for (const row of rows) {
    const name = nameOf(row);
    if (name === '') {
      throw new InputError(
        `${path}: some rows have neither id nor path, so they cannot be matched; add a column "id"`,
      );
    }
    const key = byFold ? `${name}\n${row.fold}` : name;
    if (found.has(key)) {
      const fold = byFold ? ` in fold ${row.fold}` : '';
      throw new InputError(
        `${path}: utterance ${quoted(name)} occurs twice${fold}; each utterance must occur once`,
      );
    }
    found.set(key, row);
  }
  return found;
}

function onlyIn(path: string, own: Map<string, Prediction>, other: Map<string, Prediction>): string[] {
  const alone = [...own].flatMap(([key, row]) => (other.has(key) ? [] : [row]));
  if (alone.length === 0) return [];
  const names = alone.slice(0, NAMED).map((row) => quoted(nameOf(row)));
  return [`${utterances(alone.length)} only in ${path}, such as ${names.join(', ')}`];
}

function utterances(count: number): string {
  return count === 1 ? '1 utterance' : `${count} utterances`;
}

/**
 * The resampling unit of each row. Rows with the same id (or path) and fold are one utterance: with several seeds, it
 * is drawn together with all its predictions. Otherwise it would count several times and the interval would be too
 * narrow. A row without a name is an utterance of its own.
 * @throws InputError when some row has no speaker or dialogue to resample by
 */
export function resamplingKeys(rows: readonly Prediction[], unit: ResamplingUnit): string[] {
  if (unit === 'utterance') {
    return rows.map((row, index) =>
      nameOf(row) === '' ? `row ${index}` : `${nameOf(row)}\n${row.fold ?? ''}`,
    );
  }
  const keys = rows.map((row) => keyOf(row, unit));
  const without = rows.filter((_, index) => keys[index] === undefined);
  if (without.length === 0) return keys as string[];
  const names = without.slice(0, NAMED).map((row) => quoted(nameOf(row)));
  const what =
    without.length === rows.length
      ? `no utterance has a ${unit}`
      : `${without.length} of ${rows.length} utterances have no ${unit}, such as ${names.join(', ')}`;
  throw new InputError(
    `${what}, so they cannot be resampled by it; resample by another unit, or score a predictions file with a column "${unit}"`,
  );
}

function keyOf(row: Prediction, unit: 'speaker' | 'dialogue'): string | undefined {
  if (unit === 'speaker') return row.speaker;
  return row.dialogue ?? (row.id === undefined ? undefined : dialogueOf(row.id));
}

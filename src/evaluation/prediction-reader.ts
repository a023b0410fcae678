/**
 * @file Reads predictions files, written by emoq or by other programs. Errors name the line; likely mistakes are
 * warnings if the file can still be scored, and errors otherwise.
 */

import { errorMessage, InputError, oneLine, quoted, repeatedKey } from '../base/index.js';
import {
  canonicalSpelling,
  isBlank,
  isMissing,
  isNested,
  lookAlike,
  numberOf,
  PREDICTIONS,
  readCsvTable,
  readTableText,
  refuseLookAlikes,
  shownSpelling,
  spellingGroups,
} from '../data/tables/index.js';
import { argmax } from './metrics/index.js';
import {
  nameOf,
  type Prediction,
  type PredictionTable,
  predictionFormatOf,
  probabilityPrefix,
} from './predictions.js';
import { windowsIn } from './window-mean.js';

export interface ReadPredictionsOptions {
  /** The classes that labels must belong to; by default those of the file. */
  readonly labels?: readonly string[] | undefined;
  /** Require a `reference` column with at least one value, as scoring needs. */
  readonly requireReference?: boolean;
}

/** How many bad lines one message lists. */
const MAX_PROBLEMS = 10;

/** Columns read in addition to the probabilities. */
const COLUMNS = ['id', 'path', 'fold', 'speaker', 'dialogue', 'reference', 'label', 'error'];

/** Columns with a fixed vocabulary, in which surrounding spaces are ignored. */
const TRIMMED = new Set(['fold', 'speaker', 'dialogue', 'reference', 'label']);

/** Tolerance for probabilities rounded to outside [0, 1]; these are clamped to 0 or 1. */
const PROBABILITY_TOLERANCE = 1e-5;

type Cells = Readonly<Record<string, string | undefined>>;

interface RawRow {
  readonly line: number;
  readonly cells: Cells;
}

interface RawTable {
  readonly columns: readonly string[];
  readonly rows: readonly RawRow[];
  /** Whether numbers may be written as `0,5`. */
  readonly decimalComma: boolean;
}

/**
 * Reads a predictions file (CSV, or JSON Lines by its name). Only `label` is required. Unknown columns are ignored, and
 * so is `margin`, which follows from the probabilities. A row without a label has no answer. Words for missing values
 * (`NaN`, `None`) are not labels unless they were requested or have a column.
 * @throws InputError naming file and line: missing column, unknown label, probability outside [0, 1], a list or an
 *   object in place of a value, references and labels without a value in common.
 */
export async function readPredictions(
  path: string,
  options: ReadPredictionsOptions = {},
): Promise<PredictionTable> {
  const table = predictionFormatOf(path) === 'jsonl' ? await readJsonLines(path) : await readCsv(path);
  if (table.rows.length === 0) throw new InputError(`predictions file ${path} has no rows`);
  for (const column of ['label', ...(options.requireReference ? ['reference'] : [])]) {
    if (table.columns.includes(column)) continue;
    const near = lookAlike(column, table.columns);
    const advice = near === undefined ? '' : `; rename "${near}" to "${column}"`;
    throw new InputError(
      `${path}: there is no column "${column}"; it has ${oneLine(table.columns.join(', '))}${advice}`,
    );
  }
  const { labels, source, declared } = labelSet(path, table, options.labels);
  const whole = withoutWindows(table.rows);
  const problems: string[] = [];
  const rows = whole.map((row) =>
    toPrediction(row, { labels, source, declared }, table.decimalComma, (what) =>
      problems.push(`${path}, line ${row.line}: ${oneLine(what)}`),
    ),
  );
  if (problems.length > 0) {
    const more = problems.length - MAX_PROBLEMS;
    const listed = problems.slice(0, MAX_PROBLEMS);
    throw new InputError(
      [...listed, ...(more > 0 ? [`${path}: and ${more} more problems like these`] : [])].join('\n'),
    );
  }
  if (options.requireReference && rows.every((row) => row.reference === undefined)) {
    throw new InputError(
      `${path}: the column "reference" is empty in every row, so there is nothing to score`,
    );
  }
  if (!declared) refuseUnrelatedValues(path, rows);
  return { path, labels, declared, rows, windows: table.rows.length - whole.length };
}

/** The rows without those for windows of a recording, which precede the row for the whole of it. */
function withoutWindows(rows: readonly RawRow[]): readonly RawRow[] {
  const kept: RawRow[] = [];
  for (const row of rows) {
    let windows = windowsIn(row.cells.note ?? '') ?? 0;
    while (windows-- > 0 && kept.length > 0 && kept.at(-1)!.cells.path === row.cells.path) kept.pop();
    kept.push(row);
  }
  return kept;
}

/** The classes, and how messages describe where they come from. */
interface LabelSet {
  readonly labels: readonly string[];
  readonly source: string;
  readonly declared: boolean;
}

function labelSet(path: string, table: RawTable, wanted: readonly string[] | undefined): LabelSet {
  const withProbability = table.columns
    .filter((name) => name.startsWith(probabilityPrefix))
    .map((name) => name.slice(probabilityPrefix.length));
  if (wanted !== undefined) {
    const unknown = withProbability.filter((label) => !wanted.includes(label));
    const missing =
      withProbability.length > 0 ? wanted.filter((label) => !withProbability.includes(label)) : [];
    if (unknown.length + missing.length === 0) return { labels: wanted, source: 'labels', declared: true };
    throw new InputError(
      `${path}: the ${probabilityPrefix} columns are of the labels ${oneLine(withProbability.join(', '))}, ` +
        `but the labels asked for are ${wanted.join(', ')}`,
    );
  }
  if (withProbability.length > 0) {
    return {
      labels: withProbability,
      source: `labels of the ${probabilityPrefix} columns:`,
      declared: true,
    };
  }
  const occurring = table.rows.flatMap(({ cells }) => [cells.reference, cells.label]);
  const labels = new Set(
    occurring.flatMap((label) => (label === undefined || isMissing(label) ? [] : [label.trim()])),
  );
  return { labels: [...labels].sort(), source: 'labels', declared: false };
}

function toPrediction(
  row: RawRow,
  { labels, source }: LabelSet,
  decimalComma: boolean,
  report: (what: string) => void,
): Prediction {
  const cellOf = (column: string): string | undefined => {
    const cell = row.cells[column];
    if (cell === undefined || !TRIMMED.has(column)) return cell;
    const value = cell.trim();
    return isMissing(value) && !labels.includes(value) ? undefined : value;
  };
  for (const column of TRIMMED) {
    const value = cellOf(column);
    if (value !== undefined && isNested(value)) {
      report(`${column} ${quoted(value)} is a list or an object; it must be a text or a number`);
    } else if (value !== undefined && ['reference', 'label'].includes(column) && !labels.includes(value)) {
      report(
        `${column} "${value}" is not one of the ${source} ${labels.join(', ')}${nearestSpelling(value, labels)}`,
      );
    }
  }
  const given = labels.map((label) => cellOf(probabilityPrefix + label));
  const anyGiven = given.some((value) => value !== undefined);
  const probabilities = given.map((value, i) => {
    const number = value === undefined ? Number.NaN : (numberOf(value, decimalComma) ?? Number.NaN);
    if (anyGiven && !(number >= -PROBABILITY_TOLERANCE && number <= 1 + PROBABILITY_TOLERANCE)) {
      const percent = number > 1 && number <= 100 ? ' (if it is in percent, divide by 100)' : '';
      report(`${probabilityPrefix}${labels[i]} must be a number in [0, 1], not "${value ?? ''}"${percent}`);
    }
    return Math.min(1, Math.max(0, number));
  });
  const prediction: Record<string, unknown> = anyGiven ? { probabilities } : {};
  for (const key of COLUMNS) {
    const value = cellOf(key);
    if (value !== undefined) prediction[key] = value;
  }
  return prediction as Prediction;
}

function isRead(column: string): boolean {
  return COLUMNS.includes(column) || column.startsWith(probabilityPrefix);
}

async function readCsv(path: string): Promise<RawTable> {
  const { columns, rows, decimalComma } = await readCsvTable(path, { what: PREDICTIONS, columns: ['label'] });
  refuseLookAlikes(
    path,
    columns,
    columns.filter((name) => COLUMNS.includes(name.toLowerCase())).map((name) => name.toLowerCase()),
  );
  const odd = columns.find((name) => /^prob_/i.test(name) && !name.startsWith(probabilityPrefix));
  if (odd !== undefined) {
    const name = probabilityPrefix + odd.slice(probabilityPrefix.length);
    throw new InputError(`${path}, line 1: column "${odd}" would not be read: rename it to "${name}"`);
  }
  return {
    columns,
    decimalComma,
    rows: rows.map(({ line, fields }) => ({
      line,
      cells: Object.fromEntries(
        columns.map((name) => [name, isBlank(fields[name]!) ? undefined : fields[name]!]),
      ),
    })),
  };
}

async function readJsonLines(path: string): Promise<RawTable> {
  const text = await readTableText(path, {
    what: PREDICTIONS,
    columns: ['reference', 'label'],
    format: 'jsonl',
  });
  const columns = new Set<string>();
  const rows: RawRow[] = [];
  text.split('\n').forEach((source, i) => {
    if (source.trim() === '') return;
    const where = `${path}, line ${i + 1}`;
    let value: unknown;
    try {
      value = JSON.parse(source);
    } catch (error) {
      const hint = /\b(?:NaN|Infinity)\b/.test(source) ? '; JSON has no NaN: write null' : '';
      throw new InputError(`${where}: not valid JSON: ${errorMessage(error).replace(/\s+/g, ' ')}${hint}`);
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new InputError(`${where}: every line must be a JSON object`);
    }
    const repeated = repeatedKey(source);
    if (repeated !== undefined) throw new InputError(`${where}: the key ${quoted(repeated)} occurs twice`);
    const cells: [string, string][] = [];
    for (const [name, cell] of Object.entries(value)) {
      columns.add(name);
      if (cell === null || cell === '') continue;
      if (typeof cell !== 'object') {
        cells.push([name, String(cell)]);
      } else if (isRead(name)) {
        throw new InputError(`${where}: ${quoted(name)} must be a text or a number`);
      } else if (/^prob/i.test(name)) {
        throw new InputError(
          `${where}: ${quoted(name)} holds a list or an object; give each class a key of its own, such as "${probabilityPrefix}happy"`,
        );
      }
    }
    rows.push({ line: i + 1, cells: Object.fromEntries(cells) });
  });
  return { columns: [...columns], rows, decimalComma: false };
}

/** Seven probabilities rounded to two decimals may miss 1 by 0.035. */
const SUM_TOLERANCE = 0.05;

/** Warnings about a predictions file, one line each. */
export function predictionWarnings({ labels, rows, windows = 0 }: PredictionTable): string[] {
  return [
    windows === 0
      ? undefined
      : `${windows} ${windows === 1 ? 'row for a window of a long recording is' : 'rows for windows of long recordings are'} left out; the row for the whole has their mean`,
    sumWarning(rows),
    argmaxWarning(labels, rows),
    repetitionWarning(rows),
    spellingWarning(labels),
  ].flatMap((text) => text ?? []);
}

/** Warns when scored rows have no label. */
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
  return `the probabilities of ${countOf(odd, rows)} do not add up to 1 (${example(odd[0]!)}${sum}), so the calibration error is unreliable`;
}

function argmaxWarning(labels: readonly string[], rows: readonly Prediction[]): string | undefined {
  const odd = rows.filter(({ label, probabilities }) => {
    if (label === undefined || probabilities === undefined) return false;
    return probabilities[labels.indexOf(label)]! < probabilities[argmax(probabilities)]!;
  });
  if (odd.length === 0) return undefined;
  const { label, probabilities } = odd[0]!;
  const largest = labels[argmax(probabilities!)]!;
  return `the label of ${countOf(odd, rows)} is not the class with the largest probability (${example(odd[0]!)}${label}, not ${largest}); the calibration error uses the latter`;
}

/** Some corpora restart their ids in each split. */
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
  return `${countOf(repeated, rows)} repeat an earlier utterance, such as ${quoted(nameOf(repeated[0]!))}; every row is scored`;
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
 * Throws when references and labels have no value in common, so that nothing could be right: the classes are spelt
 * differently or belong to different corpora.
 * @param where what they belong to, for the message.
 * @throws InputError that lists both sets of values, and says if only their spelling differs
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
      ? 'use the same class names in both'
      : `they differ only in spelling, such as ${shownSpelling(spelt.get(canonicalSpelling(pair))!)} and ${shownSpelling(pair)}; use one spelling`;
  throw new InputError(
    `${where}: reference and label have no value in common, so no answer can be right: reference holds ${listed(references)}; label holds ${listed(labels)}; ${advice}`,
  );
}

/** Warns about classes that look or mean the same; undefined if there are none. */
export function spellingWarning(labels: readonly string[]): string | undefined {
  const groups = spellingGroups(new Set(labels));
  if (groups.length === 0) return undefined;
  const named = groups.map(({ spellings }) =>
    spellings.map(({ value }) => shownSpelling(value)).join(' and '),
  );
  return `the labels ${named.join('; ')} look or mean the same but count as different classes`;
}

/** ` (differs only in spelling from "happy")` if it does; else ''. */
export function nearestSpelling(value: string, labels: readonly string[]): string {
  const near = labels.find((label) => canonicalSpelling(label) === canonicalSpelling(value));
  return near === undefined ? '' : ` (differs only in spelling from ${shownSpelling(near)})`;
}

function valuesOf(values: readonly (string | undefined)[]): Set<string> {
  return new Set(values.filter((value) => value !== undefined));
}

function listed(values: ReadonlySet<string>): string {
  const shown = [...values].sort().slice(0, LISTED).map(shownSpelling).join(', ');
  return values.size > LISTED ? `${shown} and ${values.size - LISTED} more` : shown;
}

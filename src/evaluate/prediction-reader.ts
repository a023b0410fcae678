/** @file Reads predictions back, from us or from anybody else, and says which line is wrong. */

import { errorMessage, InputError, readTextFile } from '../base/index.js';
import { readCsvTable } from '../data/corpora/index.js';
import { type Prediction, predictionFormatOf, probabilityPrefix } from './predictions.js';

/** A predictions file in memory. */
export interface PredictionTable {
  readonly path: string;
  /** Classes: those asked for, else of the `prob_` columns, else the labels that occur, sorted. */
  readonly labels: readonly string[];
  readonly rows: readonly Prediction[];
}

export interface ReadPredictionsOptions {
  /** The classes that labels must belong to; without it the file says. */
  readonly labels?: readonly string[] | undefined;
  /** Demand a `reference` column with at least one value, as scoring needs. */
  readonly requireReference?: boolean;
}

/** How many wrong lines one message lists. */
const MAX_PROBLEMS = 10;

/** What is read beside the probabilities. */
const COLUMNS = ['id', 'path', 'fold', 'speaker', 'dialogue', 'reference', 'label', 'error'];

/** Columns with a fixed vocabulary, where spaces around a value mean nothing. */
const TRIMMED = new Set(['fold', 'speaker', 'dialogue', 'reference', 'label']);

type Cells = Readonly<Record<string, string | undefined>>;

interface RawRow {
  readonly line: number;
  readonly cells: Cells;
}

interface RawTable {
  readonly columns: readonly string[];
  readonly rows: readonly RawRow[];
}

/**
 * Reads a predictions file (CSV, or JSON Lines by its name). Only `label` must be there; columns that emoq does
 * not know are ignored, and `margin` too, which follows from the probabilities. A row without a label is a row without an answer.
 * @throws InputError naming file and line: missing column, label outside the set, probability outside [0, 1].
 */
export async function readPredictions(
  path: string,
  options: ReadPredictionsOptions = {},
): Promise<PredictionTable> {
  const table = predictionFormatOf(path) === 'jsonl' ? await readJsonLines(path) : await readCsv(path);
  if (table.rows.length === 0) throw new InputError(`predictions file ${path} has no rows`);
  for (const column of ['label', ...(options.requireReference ? ['reference'] : [])]) {
    if (table.columns.includes(column)) continue;
    throw new InputError(`${path}: there is no column "${column}"; it has ${table.columns.join(', ')}`);
  }
  const { labels, source } = labelSet(path, table, options.labels);
  const problems: string[] = [];
  const rows = table.rows.map((row) =>
    toPrediction(row, { labels, source }, (what) => problems.push(`${path}, line ${row.line}: ${what}`)),
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
  return { path, labels, rows };
}

/** The classes, and where they are from, as messages have it. */
interface LabelSet {
  readonly labels: readonly string[];
  readonly source: string;
}

function labelSet(path: string, table: RawTable, wanted: readonly string[] | undefined): LabelSet {
  const withProbability = table.columns
    .filter((name) => name.startsWith(probabilityPrefix))
    .map((name) => name.slice(probabilityPrefix.length));
  if (wanted !== undefined) {
    const unknown = withProbability.filter((label) => !wanted.includes(label));
    const missing =
      withProbability.length > 0 ? wanted.filter((label) => !withProbability.includes(label)) : [];
    if (unknown.length + missing.length === 0) return { labels: wanted, source: 'labels' };
    throw new InputError(
      `${path}: the ${probabilityPrefix} columns are of the labels ${withProbability.join(', ')}, ` +
        `but the labels asked for are ${wanted.join(', ')}`,
    );
  }
  if (withProbability.length > 0) {
    return { labels: withProbability, source: `labels of the ${probabilityPrefix} columns:` };
  }
  const occurring = table.rows.flatMap(({ cells }) => [cells.reference, cells.label]);
  const labels = new Set(occurring.flatMap((label) => (label === undefined ? [] : [label.trim()])));
  return { labels: [...labels].sort(), source: 'labels' };
}

function toPrediction(row: RawRow, { labels, source }: LabelSet, report: (what: string) => void): Prediction {
  const cellOf = (column: string): string | undefined =>
    TRIMMED.has(column) ? row.cells[column]?.trim() : row.cells[column];
  for (const column of ['reference', 'label']) {
    const value = cellOf(column);
    if (value !== undefined && !labels.includes(value)) {
      report(`${column} "${value}" is not one of the ${source} ${labels.join(', ')}`);
    }
  }
  const given = labels.map((label) => cellOf(probabilityPrefix + label));
  const anyGiven = given.some((value) => value !== undefined);
  const probabilities = given.map((value, i) => {
    const number = value === undefined ? Number.NaN : Number(value);
    if (anyGiven && !(number >= 0 && number <= 1)) {
      const percent = number > 1 && number <= 100 ? ' (if it is in percent, divide by 100)' : '';
      report(`${probabilityPrefix}${labels[i]} must be a number in [0, 1], not "${value ?? ''}"${percent}`);
    }
    return number;
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
  const { columns, rows } = await readCsvTable(path, ['label']);
  return {
    columns,
    rows: rows.map(({ line, fields }) => ({
      line,
      cells: Object.fromEntries(
        columns.map((name) => [name, fields[name]!.trim() === '' ? undefined : fields[name]!]),
      ),
    })),
  };
}

async function readJsonLines(path: string): Promise<RawTable> {
  const text = await readTextFile(path, 'predictions file');
  const columns = new Set<string>();
  const rows: RawRow[] = [];
  text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .forEach((source, i) => {
      if (source.trim() === '') return;
      let value: unknown;
      try {
        value = JSON.parse(source);
      } catch (error) {
        throw new InputError(`${path}, line ${i + 1}: not valid JSON: ${errorMessage(error)}`);
      }
      if (typeof value !== 'object' || value === null || Array.isArray(value)) {
        throw new InputError(`${path}, line ${i + 1}: every line must be a JSON object`);
      }
      const cells: Record<string, string> = {};
      for (const [name, cell] of Object.entries(value)) {
        columns.add(name);
        if (typeof cell === 'object' && cell !== null && isRead(name)) {
          throw new InputError(`${path}, line ${i + 1}: "${name}" must be a text or a number`);
        }
        if (cell !== null && cell !== '') cells[name] = String(cell);
      }
      rows.push({ line: i + 1, cells });
    });
  return { columns: [...columns], rows };
}

/**
 * @file The columns of predict's output: those of the input, in their order, and then the answers. A column of the input
 * that has the name of an answer is kept under another name.
 */

import {
  formatRecord,
  headerRecord,
  type PredictionFormat,
  predictionCells,
  probabilityPrefix,
  type RecordCell,
} from '../../evaluation/index.js';
import type { JudgedRow, PartOutcome } from './judging.js';
import type { RowNote } from './parts.js';
import type { PredictionSource, SourceRow } from './prediction-source.js';

export interface OutputLayout<Row> {
  /** Columns of the output, in order. */
  readonly names: readonly string[];
  /** Columns of the input that are kept under another name. */
  readonly renamed: ReadonlyMap<string, string>;
  /** What precedes the rows. */
  readonly header: string;
  /** The text of a row with all its parts. */
  textOf(row: Row): string;
}

/**
 * The columns of the input and then those of the answers.
 * @param renamed columns of the input that are kept under another name
 * @param recordsOf the cells of the answers for a row, a record for each
 */
export function outputLayout<Row>(
  { columns, namesFiles }: Pick<PredictionSource, 'columns' | 'namesFiles'>,
  answers: readonly string[],
  renamed: ReadonlyMap<string, string>,
  format: PredictionFormat,
  recordsOf: (row: Row) => { readonly row: SourceRow; readonly records: readonly Cells[] },
): OutputLayout<Row> {
  const isNumbered = !columns.includes('id') && !(columns.includes('path') && namesFiles);
  const kept = columns.map((name) => renamed.get(name) ?? name);
  const names = [...(isNumbered ? ['id'] : []), ...kept, ...answers];
  const given = ({ index, fields, json }: SourceRow): Record<string, RecordCell> => {
    const cells: Record<string, RecordCell> = isNumbered ? { id: String(index + 1) } : {};
    for (const [position, name] of columns.entries()) {
      const source = format === 'jsonl' ? json?.get(name) : undefined;
      cells[kept[position]!] = source === undefined ? fields[name] : { json: source };
    }
    return cells;
  };
  return {
    names,
    renamed,
    header: headerRecord(names, format),
    textOf: (whole) => {
      const { row, records } = recordsOf(whole);
      return records.map((cells) => formatRecord(names, { ...given(row), ...cells }, format)).join('');
    },
  };
}

type Cells = Readonly<Record<string, RecordCell>>;

export interface PredictionAnswers {
  readonly labels: readonly string[];
  /** Whether the model reads audio, so that answers have times. */
  readonly hasAudio: boolean;
  /** Whether rows without a transcript get one. */
  readonly isRecognised: boolean;
}

/** The columns of predictions. */
export function predictionLayout(
  source: Pick<PredictionSource, 'columns' | 'namesFiles'>,
  { labels, hasAudio, isRecognised }: PredictionAnswers,
  format: PredictionFormat,
): OutputLayout<JudgedRow> {
  const answers = [
    'label',
    ...labels.map((label) => probabilityPrefix + label),
    'margin',
    ...(hasAudio || isRecognised ? ['start', 'end'] : []),
    ...(isRecognised ? ['recognised'] : []),
    'note',
    'error',
  ];
  const renamed = renamedColumns(source.columns, answers);
  return outputLayout(source, answers, renamed, format, ({ row, parts, whole }: JudgedRow) => ({
    row,
    records: [...parts, ...(whole ? [whole] : [])].map((part) => answerCells(part, labels)),
  }));
}

function answerCells(part: PartOutcome, labels: readonly string[]): Record<string, RecordCell> {
  const { startSec, endSec, notes, recognised } = part;
  const note = noteText(notes);
  const cells = predictionCells(
    part.kind === 'predicted'
      ? { label: part.label, probabilities: part.probabilities }
      : { error: part.error },
    labels,
  );
  return {
    ...cells,
    ...(startSec !== undefined && { start: milliseconds(startSec) }),
    ...(endSec !== undefined && { end: milliseconds(endSec) }),
    ...(recognised !== undefined && { recognised }),
    ...(note !== '' && { note }),
  };
}

/** Notes as a cell. */
export function noteText(notes: readonly RowNote[]): string {
  return notes.map(({ kind, text }) => `${kind}: ${text}`).join('; ');
}

/** Seconds with three decimals. */
function milliseconds(sec: number): number {
  return Number(sec.toFixed(3));
}

/**
 * New names of the columns that answers have too. The label of a labelled table becomes `reference`, so that `emoq eval`
 * can score the output; in a table that is a predictions file itself, it is an earlier answer.
 */
function renamedColumns(columns: readonly string[], answers: readonly string[]): ReadonlyMap<string, string> {
  const isAnswered = columns.some(
    (name) => name.startsWith(probabilityPrefix) || name === 'margin' || name === 'error',
  );
  const taken = new Set([...columns, ...answers, 'id']);
  const renamed = new Map<string, string>();
  for (const name of columns) {
    // eval takes every column of probabilities for a class.
    if (!answers.includes(name) && !name.startsWith(probabilityPrefix)) continue;
    let free = `input_${name}`;
    if (name === 'label' && !isAnswered && !taken.has('reference')) free = 'reference';
    while (taken.has(free)) free = `input_${free}`;
    taken.add(free);
    renamed.set(name, free);
  }
  return renamed;
}

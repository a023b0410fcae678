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
import type { PredictionSource, SourceRow } from './prediction-source.js';

export interface OutputLayout {
  /** Columns of the output, in order. */
  readonly names: readonly string[];
  /** Columns of the input that are kept under another name. */
  readonly renamed: ReadonlyMap<string, string>;
  /** What precedes the rows. */
  readonly header: string;
  /** The text of a row with all its parts. */
  textOf(judged: JudgedRow): string;
}

/** @param hasAudio whether the model reads audio, so that answers have times */
export function outputLayout(
  { columns, namesFiles }: Pick<PredictionSource, 'columns' | 'namesFiles'>,
  labels: readonly string[],
  hasAudio: boolean,
  format: PredictionFormat,
): OutputLayout {
  const isNumbered = !columns.includes('id') && !(columns.includes('path') && namesFiles);
  const answers = [
    'label',
    ...labels.map((label) => probabilityPrefix + label),
    'margin',
    ...(hasAudio ? ['start', 'end'] : []),
    'note',
    'error',
  ];
  const renamed = renamedColumns(columns, answers);
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
    textOf: ({ row, parts, whole }) =>
      [...parts, ...(whole ? [whole] : [])]
        .map((part) => formatRecord(names, { ...given(row), ...answerCells(part, labels) }, format))
        .join(''),
  };
}

function answerCells(part: PartOutcome, labels: readonly string[]): Record<string, RecordCell> {
  const { startSec, endSec, notes } = part;
  const note = notes.map(({ kind, text }) => `${kind}: ${text}`).join('; ');
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
    ...(note !== '' && { note }),
  };
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

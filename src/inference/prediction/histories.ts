/**
 * @file What was said before a row: earlier rows of its dialogue. A source is always read from its first row, so that a
 * row has the same history in every shard, and after every interruption.
 */

import { dialoguePlace, type HistoryTurn, withoutTags } from '../../data/corpora/index.js';
import { cellOf } from '../../data/tables/index.js';
import { transcriptOfRow } from './parts.js';
import {
  DIALOGUE_COLUMN,
  GENDER_COLUMN,
  type InputColumns,
  type PredictionSource,
  type SourceRow,
} from './prediction-source.js';

export interface HistoryReading extends Pick<InputColumns, 'textColumn' | 'speakerColumn'> {
  /** The most turns of a history. */
  readonly turns: number;
  /** Whether tags such as [LAUGHTER] are taken out of transcripts. */
  readonly stripTags: boolean;
}

/** The latest turns of a dialogue that have words, oldest first, and the number of its last row. */
interface Dialogue {
  readonly spoken: readonly HistoryTurn[];
  readonly turn: number;
}

/** Dialogues that are remembered, of those that had a row last, so that memory does not grow with a table. */
export const MOST_DIALOGUES = 10_000;

/**
 * A source whose rows have their histories. Rows of one dialogue are in their order; rows of others, of up to 10,000
 * dialogues, may be between them. Where the turns are numbered, a row that is not after the one before it has a problem.
 */
export function withHistories(source: PredictionSource, reading: HistoryReading): PredictionSource {
  if (reading.textColumn === DIALOGUE_COLUMN) return source; // it is what is said
  return {
    ...source,
    async *read() {
      const dialogues = new Map<string, Dialogue>();
      for await (const rows of source.read()) yield rows.map((row) => withHistory(row, dialogues, reading));
    },
  };
}

function withHistory(
  row: SourceRow,
  dialogues: Map<string, Dialogue>,
  { textColumn, speakerColumn, turns, stripTags }: HistoryReading,
): SourceRow {
  if (row.problem !== undefined) return row;
  const place = dialoguePlace(row, row.index);
  if (typeof place === 'string') return { ...row, problem: place };
  const { dialogue = '', turn = row.index } = place;
  if (dialogue === '') return row;
  const before = dialogues.get(dialogue);
  if (before !== undefined && turn <= before.turn) {
    const what = `turn ${turn} of dialogue "${dialogue}" comes after turn ${before.turn}`;
    return { ...row, problem: `${what}; sort the rows of a dialogue by their turns` };
  }
  const given = transcriptOfRow(row, textColumn);
  const text = stripTags ? withoutTags(given) : given;
  const said = { speaker: cellOf(row, speakerColumn), gender: cellOf(row, GENDER_COLUMN), text };
  const history = before?.spoken ?? [];
  dialogues.delete(dialogue);
  dialogues.set(dialogue, { turn, spoken: text.trim() === '' ? history : [...history, said].slice(-turns) });
  if (dialogues.size > MOST_DIALOGUES) dialogues.delete(dialogues.keys().next().value!);
  return { ...row, history };
}

/** @file The histories of rows: by hand, wherever reading begins, in steady memory. */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { MOST_DIALOGUES, withHistories } from '../../../src/inference/prediction/histories.js';
import {
  type PredictionSource,
  rowBlocks,
  type SourceRow,
} from '../../../src/inference/prediction/prediction-source.js';

const READING = { textColumn: 'text', speakerColumn: 'speaker', turns: 2, stripTags: false };

function sourceOf(rows: Iterable<Record<string, string>>, perBlock = 3): PredictionSource {
  return {
    ...{ columns: [], decimalComma: false, namesFiles: true, notes: [] },
    files: { find: async (path) => path },
    identity: { kind: 'table', sha256: '', rows: 0 },
    async *read() {
      let block: SourceRow[] = [];
      let index = 0;
      for (const fields of rows) {
        block.push({ index, line: index + 2, fields });
        index += 1;
        if (block.length < perBlock) continue;
        yield block;
        block = [];
      }
      yield block;
    },
  };
}

async function rowsOf(source: PredictionSource): Promise<SourceRow[]> {
  const rows: SourceRow[] = [];
  for await (const block of source.read()) rows.push(...block);
  return rows;
}
const shown = ({ history, problem }: SourceRow): string | undefined =>
  problem ?? history?.map(({ speaker, text }) => `${speaker}: ${text}`).join(' | ');

const row = (dialogue: string, speaker: string, text: string, turn?: string) => ({
  ...{ dialogue, speaker, text },
  ...(turn !== undefined && { turn }),
});
const TABLE = [
  row('a', 'Ann', 'one'),
  row('a', 'Bob', 'two [SIGH]'),
  row('b', 'Cy', 'other'),
  row('', 'Di', 'alone'),
  row('a', 'Ann', ''),
  row('a', '', 'three'),
  row('b', 'Cy', 'more'),
  row('a', 'Bob', 'four'),
];
const HISTORIES = [
  '',
  'Ann: one',
  '',
  undefined,
  'Ann: one | Bob: two [SIGH]',
  'Ann: one | Bob: two [SIGH]',
  'Cy: other',
  'Bob: two [SIGH] | : three',
];

describe('the history of a row', () => {
  it('is the last earlier rows of its dialogue that have words', async () => {
    expect((await rowsOf(withHistories(sourceOf(TABLE), READING))).map(shown)).toEqual(HISTORIES);
    const [, second] = await rowsOf(withHistories(sourceOf([{ text: 'x' }, { text: 'y' }]), READING));
    expect(second!.history).toBeUndefined();
  });

  it('has no tags where the model reads none', async () => {
    const stripped = await rowsOf(withHistories(sourceOf(TABLE), { ...READING, stripTags: true }));
    expect(shown(stripped[5]!)).toBe('Ann: one | Bob: two');
  });

  it('is the same wherever reading begins, in every shard', async () => {
    const source = withHistories(sourceOf(TABLE), READING);
    for (let first = 0; first < TABLE.length; first++) {
      for (let from = first; from < TABLE.length; from++) {
        const read: (string | undefined)[] = [];
        for await (const rows of rowBlocks(source, 2, { first, end: TABLE.length }, from))
          read.push(...rows.map(shown));
        expect(read).toEqual(HISTORIES.slice(from));
      }
    }
  });

  it('needs turns that are in order, where they are numbered', async () => {
    const numbered = [
      row('a', 'Ann', 'one', '0'),
      row('a', 'Bob', 'three', '5'),
      row('a', 'Ann', 'two', '3'),
      row('a', 'Bob', 'again', '5'),
      row('a', 'Ann', 'four', '6'),
      row('a', 'Ann', 'odd', 'last'),
      row('', 'Ann', 'none', 'last'),
    ];
    expect((await rowsOf(withHistories(sourceOf(numbered), READING))).map(shown)).toEqual([
      '',
      'Ann: one',
      'turn 3 of dialogue "a" comes after turn 5; sort the rows of a dialogue by their turns',
      'turn 5 of dialogue "a" comes after turn 5; sort the rows of a dialogue by their turns',
      'Ann: one | Bob: three',
      'turn "last" is not the place of the utterance in dialogue "a", a whole number',
      undefined,
    ]);
  });

  it('takes nothing of a row that cannot be read, nor of a column of transcripts', async () => {
    const broken: PredictionSource = {
      ...sourceOf([]),
      async *read() {
        yield [
          { index: 0, line: 2, fields: row('a', 'Ann', 'one'), problem: 'it is broken' },
          { index: 1, line: 3, fields: row('a', 'Ann', 'two') },
        ];
      },
    };
    expect((await rowsOf(withHistories(broken, READING))).map(shown)).toEqual(['it is broken', '']);
    const source = sourceOf(TABLE);
    expect(withHistories(source, { ...READING, textColumn: 'dialogue' })).toBe(source);
  });

  it('is remembered for the dialogues that had a row last, in steady memory', async () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    const held = (): number => {
      collectGarbage();
      return process.memoryUsage().heapUsed;
    };
    const words = Buffer.from('word '.repeat(200));
    let atEnd = 0;
    function* calls(count: number) {
      yield row('first', 'Ann', 'kept');
      for (let index = 0; index < count; index++) {
        words.write(String(index));
        yield row(`call ${index}`, 'Ann', words.toString()); // each with its own letters
        if (index % 1000 === 0) yield row('often', 'Bob', `${index}`);
      }
      atEnd = held();
      yield row('first', 'Ann', 'again');
      yield row('often', 'Bob', 'again');
    }
    const last = async (count: number) => {
      let histories: (string | undefined)[] = [];
      for await (const rows of withHistories(sourceOf(calls(count), 100), READING).read())
        histories = [...histories, ...rows.map(shown)].slice(-2);
      return histories;
    };
    await new Promise(setImmediate); // what earlier tests have awaited is let go
    const before = held(); // before a first stream, which may be held a little longer than it is read
    expect((await last(MOST_DIALOGUES - 2))[0]).toBe('Ann: kept');
    // 200 MB of words, of which the last 10,000 dialogues are 10 MB.
    expect(await last(20 * MOST_DIALOGUES)).toEqual(['', 'Bob: 198000 | Bob: 199000']);
    expect(atEnd).toBeGreaterThan(0);
    expect(atEnd - before).toBeLessThan(50e6);
  });
});

/** @file Predictions files: round trip, and errors that name the line. */

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import {
  marginOf,
  predictionWarnings,
  readPredictions,
  writePredictions,
} from '../../src/evaluation/index.js';
import type { Prediction } from '../../src/evaluation/predictions.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-predictions-'));
afterAll(() => rmSync(folder, { recursive: true }));

const labels = ['neutral', 'joy'];
const rows: Prediction[] = [
  {
    id: 'a',
    path: 'a b/"quoted", clip.wav',
    reference: 'joy',
    label: 'joy',
    probabilities: [0.25, 0.75],
    fold: '1',
  },
  {
    id: 'b',
    path: 'über/ü.wav ',
    reference: 'neutral',
    error: 'file is empty\nand so is its line',
    fold: '2',
  },
  { id: 'c', path: 'c.wav', reference: 'neutral', label: 'neutral', probabilities: [1, 0], fold: '2' },
];

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

describe('a row', () => {
  it('contains speaker and dialogue if known', async () => {
    const path = join(folder, 'speakers.csv');
    const row = { id: 'a', speaker: 'Ross', dialogue: 'test_dia1', reference: 'joy', label: 'joy' };
    await writePredictions(path, labels, [row, { id: 'b', label: 'joy' }]);
    expect(readFileSync(path, 'utf8')).toBe(
      'id,speaker,dialogue,reference,label,error\na,Ross,test_dia1,joy,joy,\nb,,,,joy,\n',
    );
    expect((await readPredictions(path)).rows).toEqual([row, { id: 'b', label: 'joy' }]);
  });

  it('has the margin of the first class over the second, whatever their order', async () => {
    expect(marginOf([0.2, 0.5, 0.3])).toBeCloseTo(0.2, 15);
    expect(marginOf([0.4, 0.4, 0.2])).toBe(0);
    expect(marginOf([0.9])).toBe(0.9);
    const path = join(folder, 'margin.jsonl');
    await writePredictions(path, labels, [{ id: 'a', label: 'joy', probabilities: [0.25, 0.75] }]);
    expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ prob_joy: 0.75, margin: 0.5 });
  });
});

describe('write and read', () => {
  it.each(['round.csv', 'round.jsonl'])('%s brings every row back', async (name) => {
    const path = join(folder, name);
    await writePredictions(path, labels, rows);
    const table = await readPredictions(path);
    expect(table.labels).toEqual(labels);
    expect(table.rows).toEqual(rows);
  });

  it('the CSV has the documented columns, and leaves out those that nothing fills', async () => {
    const path = join(folder, 'columns.csv');
    await writePredictions(path, labels, rows);
    expect(readFileSync(path, 'utf8').split('\n')[0]).toBe(
      'id,path,fold,reference,label,prob_neutral,prob_joy,margin,error',
    );
    await writePredictions(path, labels, [{ path: 'x.wav', label: 'joy', probabilities: [0, 1] }]);
    expect(readFileSync(path, 'utf8')).toBe(
      'path,label,prob_neutral,prob_joy,margin,error\nx.wav,joy,0,1,1,\n',
    );
  });

  it('float32 probabilities come back exactly', async () => {
    const path = join(folder, 'float32.csv');
    const probabilities = Float32Array.of(1 / 3, 2 / 3);
    await writePredictions(path, labels, [{ id: 'a', label: 'joy', probabilities }]);
    const { rows: back } = await readPredictions(path);
    expect(Float32Array.from(back[0]!.probabilities!)).toEqual(probabilities);
  });

  it('a file that fails half-way leaves nothing behind, and an earlier one as it was', async () => {
    const names = (): string[] => readdirSync(folder).sort();
    const before = names();
    const path = join(folder, 'failed.csv');
    const failing = [...rows, { id: 'd', label: 'joy', probabilities: [1] }]; // of two classes
    await expect(writePredictions(path, labels, failing)).rejects.toThrow();
    expect(names()).toEqual(before);
    await writePredictions(path, labels, rows);
    const whole = readFileSync(path, 'utf8');
    await expect(writePredictions(path, labels, failing)).rejects.toThrow();
    expect(readFileSync(path, 'utf8')).toBe(whole);
    expect(names()).toEqual([...before, 'failed.csv'].sort());
  });

  it('a row without id and path is refused before anything is written', async () => {
    const path = join(folder, 'nameless.csv');
    await expect(writePredictions(path, labels, [{ label: 'joy' }])).rejects.toThrow(
      'neither an id nor a path',
    );
    expect(readdirSync(folder)).not.toContain('nameless.csv');
  });
});

describe('predictions of other programs', () => {
  it('need only reference and label; spaces, a byte order mark, CRLF and further columns do not matter', async () => {
    const path = file('foreign.csv', '\uFEFFutt,reference,label,note\r\n1,joy,joy ,x\r\n2,neutral,,y\r\n');
    const table = await readPredictions(path, { requireReference: true });
    expect(table.labels).toEqual(['joy', 'neutral']);
    expect(table.rows).toEqual([{ reference: 'joy', label: 'joy' }, { reference: 'neutral' }]);
  });

  it('may be JSON Lines with a byte order mark, as some editors write it', async () => {
    const path = file('mark.jsonl', '\uFEFF{"reference":"joy","label":"joy"}\r\n');
    expect((await readPredictions(path)).rows).toEqual([{ reference: 'joy', label: 'joy' }]);
  });

  it('of a class without a column of probabilities report where the classes come from', async () => {
    const path = file('column.csv', 'reference,label,prob_joy\nneutral,joy,0.7\n');
    await expect(readPredictions(path)).rejects.toThrow(
      'line 2: reference "neutral" is not one of the labels of the prob_ columns: joy',
    );
  });

  it('take the order of the labels that are asked for', async () => {
    const path = file('order.csv', 'id,label,prob_joy,prob_neutral\na,joy,0.9,0.1\n');
    const table = await readPredictions(path, { labels });
    expect(table.labels).toEqual(labels);
    expect(table.rows[0]!.probabilities).toEqual([0.1, 0.9]);
  });

  const wrong: [what: string, name: string, content: string, message: string][] = [
    [
      'a missing label column',
      'x.csv',
      'id,reference\na,joy\n',
      ', line 1: missing column "label"; it has id, reference',
    ],
    [
      'a missing reference column',
      'x.csv',
      'id,label\na,joy\n',
      ': there is no column "reference"; it has id, label',
    ],
    [
      'a label outside the set',
      'x.csv',
      'reference,label\njoy,joy\n\njoy,bliss\n',
      ', line 4: label "bliss" is not one of',
    ],
    [
      'a reference outside the set',
      'x.csv',
      'reference,label\nbliss,joy\n',
      ', line 2: reference "bliss" is not one of',
    ],
    [
      'a line after a cell of two lines',
      'x.csv',
      'id,reference,label\n"a\nb",joy,joy\nc,joy,no\n',
      ', line 4: label "no"',
    ],
    [
      'a probability over one',
      'x.csv',
      'reference,label,prob_neutral,prob_joy\njoy,joy,0,1.5\n',
      ', line 2: prob_joy must be',
    ],
    [
      'a probability in percent',
      'x.csv',
      'reference,label,prob_neutral,prob_joy\njoy,joy,30,70\n',
      ', line 2: prob_neutral must be a number in [0, 1], not "30" (if it is in percent, divide by 100)',
    ],
    [
      'a missing probability',
      'x.csv',
      'reference,label,prob_neutral,prob_joy\njoy,joy,0,\n',
      ', line 2: prob_joy must be',
    ],
    [
      'other classes',
      'x.csv',
      'reference,label,prob_happy,prob_joy\njoy,joy,0,1\n',
      ': the prob_ columns are of',
    ],
    ['a short row', 'x.csv', 'reference,label\njoy\n', ', line 2: 1 fields, the header has 2'],
    ['an open quote', 'x.csv', 'reference,label\njoy,joy\njoy,"jo\n', ', line 3: '],
    [
      'a column twice',
      'x.csv',
      'label,label,reference\njoy,joy,joy\n',
      ', line 1: column "label" appears twice',
    ],
    [
      'no references at all',
      'x.csv',
      'reference,label\n,joy\n',
      ': the column "reference" is empty in every row',
    ],
    ['an empty file', 'x.csv', '', ' is empty'],
    ['a header alone', 'x.csv', 'reference,label\n', ' has a header but no records'],
    [
      'a broken line of JSON',
      'x.jsonl',
      '{"label":"joy","reference":"joy"}\n{"label"\n',
      ', line 2: not valid JSON',
    ],
    [
      'a label of JSON that is neither text nor number',
      'x.jsonl',
      '{"reference":"joy","label":{"name":"joy"},"note":{}}\n',
      ', line 1: "label" must be a text or a number',
    ],
    ['a line that is no object', 'x.jsonl', '[1]\n', ', line 1: every line must be a JSON object'],
  ];
  it.each(wrong)('%s is named by file and line', async (_, name, content, message) => {
    const path = file(name, content);
    await expect(readPredictions(path, { labels, requireReference: true })).rejects.toThrow(path + message);
  });

  it('a missing file is named', async () => {
    await expect(readPredictions(join(folder, 'none.csv'))).rejects.toThrow('none.csv does not exist');
  });

  it('many wrong lines are cut short', async () => {
    const path = file('many.csv', `reference,label\n${'joy,no\n'.repeat(25)}`);
    const message = await readPredictions(path, { labels }).catch((error: Error) => error.message);
    expect(String(message).split('\n')).toHaveLength(11);
    expect(message).toContain('and 15 more');
  });
});

describe('what is likely a mistake', () => {
  const doubtsOf = async (content: string): Promise<string[]> =>
    predictionWarnings(await readPredictions(file('doubts.csv', content)));
  const header = 'id,reference,label,prob_neutral,prob_joy\n';

  it('is nothing where probabilities are rounded, two are equal, and ids begin again in each fold', async () => {
    expect(await doubtsOf(`${header}a,joy,joy,0.33,0.65\nb,joy,joy,0.5,0.5\nc,joy,,,\n`)).toEqual([]);
    expect(await doubtsOf('id,fold,reference,label\na,1,joy,joy\na,2,joy,fear\n')).toEqual([]);
    expect(await doubtsOf('reference,label\njoy,joy\njoy,fear\n')).toEqual([]);
  });

  it('warns of probabilities that do not add up to 1', async () => {
    expect(await doubtsOf(`${header}a,joy,joy,0.7,0.9\nb,joy,joy,0.2,0.8\n`)).toEqual([
      'the probabilities of 1 of 2 rows do not add up to 1 (of "a": 1.6), so the calibration error is unreliable',
    ]);
  });

  it('warns of a label that is not the most probable class', async () => {
    expect(await doubtsOf(`${header}a,joy,joy,0.8,0.2\nb,joy,joy,0.2,0.8\n`)).toEqual([
      'the label of 1 of 2 rows is not the class with the largest probability (of "a": joy, not neutral); the calibration error uses the latter',
    ]);
  });

  it('warns of a repeated utterance', async () => {
    expect(await doubtsOf('id,reference,label\na,joy,joy\nb,joy,joy\na,fear,joy\n')).toEqual([
      '1 of 3 rows repeat an earlier utterance, such as "a"; every row is scored',
    ]);
  });

  it('warns of labels that differ only in case', async () => {
    expect(await doubtsOf('reference,label\nJoy,joy\nfear,fear\n')).toEqual([
      'the labels "Joy" and "joy" look or mean the same but count as different classes',
    ]);
  });
});

describe('rows for windows of a long recording', () => {
  const header = 'path,start,end,reference,label,note';
  const wholes = async (...lines: readonly string[]): Promise<readonly [string[], string[]]> => {
    const table = await readPredictions(file('windows.csv', [header, ...lines, ''].join('\n')));
    return [table.rows.map(({ path, label }) => `${path} ${label}`), predictionWarnings(table)];
  };

  it('are left out, with a warning, and the row for the whole is kept', async () => {
    const [rows, warnings] = await wholes(
      'short.wav,0,2,joy,joy,',
      'long.wav,0,4,joy,neutral,clipped: 3 of 9 samples',
      'long.wav,4,9,joy,,',
      'long.wav,9,12,joy,neutral,',
      'long.wav,0,12,joy,joy,"windows: the mean of 2 windows, weighted by length, without 1 that could not be judged; clipped: 1"',
    );
    expect(rows).toEqual(['short.wav joy', 'long.wav joy']);
    expect(warnings[0]).toBe(
      '3 rows for windows of long recordings are left out; the row for the whole has their mean',
    );
  });

  it('are as many as the note says, so that other rows of the recording stay', async () => {
    const [rows] = await wholes(
      'long.wav,0,2,joy,neutral,',
      'long.wav,2,5,joy,neutral,',
      'long.wav,2,5,joy,joy,"windows: the mean of 1 window, weighted by length"',
      'mute.wav,0,5,joy,neutral,windows: none; silent: no sound',
      'bad.wav,0,9,joy,,',
      'bad.wav,0,9,joy,,"windows: 1, without an answer"',
    );
    expect(rows).toEqual(['long.wav neutral', 'long.wav joy', 'mute.wav neutral', 'bad.wav undefined']);
  });

  it('are those of the same recording only, and notes of other programs drop nothing', async () => {
    const [rows, warnings] = await wholes(
      'a.wav,,,joy,joy,',
      'b.wav,,,joy,joy,windows: 3 were open',
      'c.wav,,,joy,neutral,the windows: 2',
    );
    expect(rows).toEqual(['a.wav joy', 'b.wav joy', 'c.wav neutral']);
    expect(warnings).toEqual([]);
  });
});

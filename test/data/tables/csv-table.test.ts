/** @file Tables in every dialect of spreadsheets and programs give the same rows, and errors say what is wrong. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { InputError } from '../../../src/base/index.js';
import { readCsvTable } from '../../../src/data/tables/index.js';
import { seededRandom } from '../../../src/engine/tensor/index.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-tables-'));
afterAll(() => rmSync(folder, { recursive: true }));

const USE = { what: 'CSV file', columns: ['path', 'label'] };

async function read(content: string | Uint8Array, use = USE) {
  const path = join(folder, 'table.csv');
  writeFileSync(path, content);
  return readCsvTable(path, use);
}

async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(InputError);
  expect((error as Error).message).not.toContain('\n');
  return (error as Error).message.replace(`${folder}/`, '');
}

interface Dialect {
  readonly separator: string;
  readonly quoted: 'all' | 'needed';
  readonly encoding: 'utf-8' | 'utf-8 with mark' | 'utf-16le' | 'utf-16be' | 'utf-16le without mark';
  readonly lineEnd: string;
  readonly sepLine: boolean;
  readonly index: boolean;
  /** Empty columns at the end, in the header and in the rows. */
  readonly trailing: readonly [header: number, rows: number];
  readonly blankRows: readonly string[];
}

/** Bytes of a table as written by a program with that dialect. */
function written(columns: readonly string[], rows: readonly (readonly string[])[], dialect: Dialect): Buffer {
  const { separator, quoted, encoding, lineEnd, sepLine, index, trailing, blankRows } = dialect;
  const field = (value: string): string => {
    const isNeeded = quoted === 'all' || value.includes(separator) || /["\n\r]|^\s|\s$/.test(value);
    return isNeeded ? `"${value.replaceAll('"', '""')}"` : value;
  };
  const line = (values: readonly string[], empty: number): string =>
    [...values.map(field), ...Array<string>(empty).fill('')].join(separator);
  const body = rows.map((row, at) => line(index ? [String(at), ...row] : row, trailing[1]));
  const lines = [
    ...(sepLine ? [`sep=${separator}`] : []),
    line(index ? ['', ...columns] : columns, trailing[0]),
    ...body.flatMap((text, at) => (at < blankRows.length ? [blankRows[at]!, text] : [text])),
  ];
  const text = lines.map((each) => each + lineEnd).join('');
  const little = Buffer.from(text, 'utf16le');
  switch (encoding) {
    case 'utf-8':
      return Buffer.from(text);
    case 'utf-8 with mark':
      return Buffer.from(`\ufeff${text}`);
    case 'utf-16le':
      return Buffer.concat([Buffer.from([0xff, 0xfe]), little]);
    case 'utf-16be':
      return Buffer.concat([Buffer.from([0xfe, 0xff]), Buffer.from(little).swap16()]);
    case 'utf-16le without mark':
      return little;
  }
}

describe('a table', () => {
  it('reads the same in every dialect: separators, quotes, encodings, blank rows, empty columns, an index', async () => {
    const words = [
      'Yes',
      'a;b',
      'c,d',
      'e\tf',
      'g|h',
      '"quoted"',
      'two\nlines',
      'é',
      '日本',
      '',
      '0,5',
      '😀',
    ];
    for (let seed = 0; seed < 400; seed++) {
      const random = seededRandom(seed, 'tables');
      const columns = random.shuffle(['path', 'label', 'text', 'note']);
      const rows = Array.from({ length: 1 + random.integer(6) }, (_, at) =>
        columns.map((column) =>
          column === 'path'
            ? `clip ${at}.wav`
            : column === 'label'
              ? random.pick(['joy', 'sad'])
              : random.pick(words),
        ),
      );
      const separator = random.pick([',', ';', '\t', '|']);
      const trailing = random.pick([
        [0, 0],
        [3, 3],
        [3, 0],
        [0, 2],
      ] as const);
      const blank = ['', separator.repeat(3), '  ', `""${separator}""`, '\u00a0'];
      const dialect: Dialect = {
        separator,
        quoted: random.pick(['all', 'needed']),
        encoding: random.pick(['utf-8', 'utf-8 with mark', 'utf-16le', 'utf-16be', 'utf-16le without mark']),
        lineEnd: random.pick(['\n', '\r\n', '\r']),
        sepLine: random.integer(3) === 0,
        index: random.integer(3) === 0,
        trailing,
        blankRows: Array.from({ length: random.integer(4) }, () => random.pick(blank)),
      };
      const table = await read(written(columns, rows, dialect));
      const told = `${seed}: ${JSON.stringify(dialect)}`;
      expect(table.columns, told).toEqual(columns);
      expect(table.decimalComma, told).toBe(separator !== ',');
      expect(
        table.rows.map(({ fields }) => columns.map((column) => fields[column])),
        told,
      ).toEqual(rows);
    }
  });

  it('keeps the line that each row starts on, past blank rows, a sep line and quoted line ends', async () => {
    const { rows, headerLine } = await read('\n;;\npath;label\n"a\nb";joy\n\n;\nc;joy\n');
    expect([headerLine, ...rows.map(({ line }) => line)]).toEqual([3, 4, 8]);
    const second = await read('sep=;\npath;label\na;joy\n');
    expect([second.headerLine, ...second.rows.map(({ line }) => line)]).toEqual([2, 3]);
  });

  it('takes a separator that only the header tells: others in the rows are text', async () => {
    expect((await read('path;label\na,b,c;joy\n')).rows[0]!.fields).toEqual({ path: 'a,b,c', label: 'joy' });
    expect((await read('path\na;b.wav\n', { ...USE, columns: ['path'] })).rows[0]!.fields).toEqual({
      path: 'a;b.wav',
    });
  });

  it('finds columns behind invisible characters in their names', async () => {
    const { columns } = await read('\u200bpath ,\u00a0label\u00ad\na,joy\n');
    expect(columns).toEqual(['path', 'label']);
  });

  it.each([
    [
      'text in a column without a name',
      'path,label,\na,joy,\nb,joy, too\n',
      /line 1: column 3 has no name and line 3 has " too" in it/,
    ],
    [
      'more fields than the header',
      'path,label\na,joy, too\n',
      /line 2: 3 fields, the header has 2; a text that holds "," needs quotes/,
    ],
    ['fewer fields than the header', 'path,label,\na\n', /line 2: 1 fields, the header has 3/],
    [
      'a list of recordings without a header',
      'a/one.wav\na/two.wav\n',
      /line 1: is a row already.*put a line path before it/,
    ],
    [
      'rows without a header',
      'a/one.wav,joy\na/two.wav,sad\n',
      /line 1: is a row already.*put a line path,label before it/,
    ],
    ['a zero byte', 'path,label\na,j\0oy\n', /line 2: contains a zero byte/],
    ['blank rows alone', ',,\n;;\n\n', /is empty: it needs a header row/],
    ['a header and blank rows', 'path,label\n,\n , \n', /has a header but no records/],
  ])('with %s is refused', async (_, text, message) => {
    expect(await refusal(read(text))).toMatch(message);
  });

  it('of UTF-32, or of damaged UTF-16, is refused', async () => {
    expect(await refusal(read(Buffer.from([0xff, 0xfe, 0, 0, 112, 0, 0, 0])))).toContain('is UTF-32 text');
    const half = Buffer.concat([
      Buffer.from('\ufeffpath,label\na,', 'utf16le'),
      Buffer.from([0x3d, 0xd8, 0x20, 0]),
    ]);
    expect(await refusal(read(half))).toContain('begins as UTF-16 text and is damaged');
  });
});

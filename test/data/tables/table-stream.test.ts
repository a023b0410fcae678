/** @file Tables that are read row by row: as whole tables are, whatever the blocks; bad rows are marked. */

import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Papa from 'papaparse';
import { afterAll, describe, expect, it } from 'vitest';
import {
  openTableStream,
  readCsvTable,
  type TableRow,
  type TableStream,
} from '../../../src/data/tables/index.js';
import { seededRandom } from '../../../src/engine/tensor/index.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-stream-'));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string | Uint8Array): string {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
}

const open = (path: string): Promise<TableStream> =>
  openTableStream(path, { path: 'path', needed: [], optional: [], needsPath: true });

async function rowsOf(path: string): Promise<TableRow[]> {
  const rows: TableRow[] = [];
  for await (const block of (await open(path)).read()) rows.push(...block);
  return rows;
}

describe('a table of many blocks', () => {
  const random = seededRandom(1, 'table stream');
  const pieces = ['x', 'é', '音', ' ', ',', ';', '"', '\n', '""', "'", '|'];
  const cell = (): string =>
    Array.from({ length: random.integer(12) }, () => pieces[random.integer(pieces.length)]).join('');
  const cells = Array.from({ length: 30_000 }, (_, i) => ({
    path: `clips/${i}.wav`,
    text: cell(),
    note: cell(),
  }));
  const csv = Papa.unparse(cells, { newline: '\n' });

  it.each([
    ['UTF-8', Buffer.from(csv)],
    ['a byte-order mark and other line ends', Buffer.from(`\ufeff${csv.replaceAll('\n', '\r\n')}`)],
    ['UTF-16', Buffer.from(`\ufeff${csv}`, 'utf16le')],
    ['carriage returns alone', Buffer.from(csv.replaceAll('\n', '\r'))],
  ])('has the rows that it has when it is read at once: %s', async (name, content) => {
    expect(content.length).toBeGreaterThan(3 * (1 << 18));
    const path = file(`${name}.csv`, content);
    const whole = await readCsvTable(path, { what: 'CSV file', columns: ['path'] });
    const rows = await rowsOf(path);
    expect(rows.map(({ line, fields }) => ({ line, fields }))).toEqual(whole.rows);
    expect(rows.every(({ problem }) => problem === undefined)).toBe(true);
    expect((await open(path)).rows).toBe(cells.length);
  });

  it('that changes after it was opened is refused at its end', async () => {
    const path = file('changing.csv', 'path\na.wav\n');
    const table = await open(path);
    appendFileSync(path, 'b.wav\n');
    const read = async () => {
      for await (const _ of table.read());
    };
    await expect(read()).rejects.toThrow('has changed while it was read');
  });
});

it.each([
  ['[{"path":"a.wav"}]\n', /array\.csv is JSON, not CSV; write it as CSV with pandas/],
  [`[{"path":"a.wav"},${'{"path":"b.wav"},'.repeat(9000)}{}]`, /array\.csv is JSON, not CSV/],
  ['<!doctype html>\n<p>path\n', /array\.csv is a web page or XML, not a CSV/],
])('something else is refused with the advice that whole tables get: %.20s', async (content, message) => {
  const path = file('array.csv', content);
  await expect(open(path)).rejects.toThrow(message);
  await expect(readCsvTable(path, { what: 'CSV file', columns: ['path'] })).rejects.toThrow(message);
});

it('JSON Lines without a single row are refused with what is wrong with the first', async () => {
  await expect(open(file('array.jsonl', '[{"path":"a.wav"}]\n'))).rejects.toThrow(
    /array\.jsonl, line 1: every line must be a JSON object$/,
  );
  await expect(open(file('nothing.jsonl', '\n'))).rejects.toThrow('nothing.jsonl is empty');
});

describe('bad rows', () => {
  it('are marked with what is wrong, and the next row is read', async () => {
    const lines = [
      'path,text',
      'a.wav',
      'b.wav,x,y',
      '"c.wav","two\nlines"',
      '[1],x',
      'd.wav,\xff',
      'e.wav,z',
    ];
    const rows = await rowsOf(file('bad.csv', Buffer.from(lines.join('\n'), 'latin1')));
    expect(rows.map(({ line }) => line)).toEqual([2, 3, 4, 6, 7, 8]);
    expect(rows.map(({ problem }) => problem)).toEqual([
      '1 fields, the header has 2',
      expect.stringContaining('3 fields, the header has 2'),
      undefined,
      expect.stringContaining('column "path" holds "[1]", a list or an object'),
      expect.stringContaining('not UTF-8 text'),
      undefined,
    ]);
  });

  it.each([
    ['line feeds', '\n'],
    ['both', '\r\n'],
    ['carriage returns alone', '\r'],
  ])('are found by their line, whatever the line ends: %s', async (name, end) => {
    const rows = Array.from({ length: 40_000 }, (_, i) => `${i}.wav,${i === 30_000 ? 'h\xe9' : 'ok'}`);
    const path = file(`bad ${name}.csv`, Buffer.from(['path,text', ...rows].join(end), 'latin1'));
    const bad = (await rowsOf(path)).filter(({ problem }) => problem !== undefined);
    expect(bad.map(({ line, fields }) => [line, fields.path])).toEqual([[30_002, '30000.wav']]);
    await expect(readCsvTable(path, { what: 'CSV file', columns: ['path'] })).rejects.toThrow(
      `${name}.csv, line 30002: not UTF-8 text`,
    );
  });

  it('are read as soon as others, where all of them are bad', async () => {
    const timed = async (name: string, text: string): Promise<number> => {
      const rows = Array.from({ length: 100_000 }, (_, i) => `${i}.wav,${text}`);
      const path = file(name, Buffer.from(['path,text', ...rows].join('\n'), 'latin1'));
      const start = performance.now();
      expect((await open(path)).rows).toBe(100_000);
      return performance.now() - start;
    };
    const good = await timed('good.csv', 'he');
    expect(await timed('latin.csv', 'h\xe9')).toBeLessThan(20 * Math.max(good, 100));
  });

  it('of JSON Lines keep the place of their line, and values their spelling', async () => {
    const lines = [
      '{"path":"a.wav","n":1.0e3,"o":{"b":"}"},"s":"\\u00e9"}',
      '{',
      '',
      '{"path":null,"new":[1,2]}',
    ];
    const path = file('rows.jsonl', lines.join('\n'));
    const table = await open(path);
    expect(table.columns).toEqual(['path', 'n', 'o', 's', 'new']);
    const rows = await rowsOf(path);
    expect(rows.map(({ line }) => line)).toEqual([1, 2, 4]);
    expect(rows[0]!.fields).toEqual({ path: 'a.wav', n: '1.0e3', o: '{"b":"}"}', s: 'é' });
    expect(rows[0]!.json!.get('s')).toBe('"\\u00e9"');
    expect(rows[1]!.problem).toContain('not valid JSON');
    expect(rows[2]!.fields).toEqual({ path: '', new: '[1,2]' });
  });
});

/** @file What predict reads and writes: tables, recordings, folders, patterns, lists; CSV, TSV, JSON Lines, stdout. */

import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import Papa from 'papaparse';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeWav } from '../../src/data/audio/index.js';
import { emoq, emoqBin, type Outcome } from '../cli/command-line.js';
import { csvRows, makeWorkspace } from './workspace.js';

const work = makeWorkspace('inputs');
afterAll(() => work.remove());

const tone = (hz: number, seconds: number): Float32Array =>
  Float32Array.from(
    { length: seconds * 16_000 },
    (_, i) => 0.3 * Math.sin((2 * Math.PI * hz * (1 + i / 16_000) * i) / 16_000),
  );
const wav = (samples: Float32Array): Buffer => encodeWav(samples, 16_000);

beforeAll(async () => {
  await work.smallRun('good');
  for (const [index, name] of [
    'b.wav',
    'a.wav',
    'deep/er/c.WAV',
    'deep/d.flac.wav',
    '.hidden.wav',
  ].entries()) {
    work.file(`calls/${name}`, wav(tone(200 + 50 * index, 1)));
  }
  work.file('calls/.cache/e.wav', wav(tone(300, 1)));
  work.file('calls/notes.txt', 'no recording');
  work.file('calls/long.wav', wav(tone(250, 7)));
});

const predict = (...args: string[]): Promise<Outcome> =>
  work.done('predict', ...args, '--run', 'good', '--windows', 'off');
const processEnv = { EMOQ_CACHE: work.path('../features'), NO_COLOR: '1' };
const listed = [
  'calls/a.wav',
  'calls/b.wav',
  'calls/deep/d.flac.wav',
  'calls/deep/er/c.WAV',
  'calls/long.wav',
];

/** A prediction with a list on stdin. */
async function fromStdin(args: string[], chunks: readonly (string | Buffer)[]): Promise<Outcome> {
  const child = spawn(process.execPath, [emoqBin, 'predict', ...args, '--run', 'good', '--threads', '1'], {
    cwd: work.dir,
    env: { ...process.env, ...processEnv },
  });
  const outcome = { code: null as number | null, stdout: '', stderr: '' };
  let isRead = (): void => {};
  child.stdout.on('data', (chunk) => {
    outcome.stdout += chunk;
    isRead();
  });
  child.stderr.on('data', (chunk) => {
    outcome.stderr += chunk;
  });
  for (const [index, chunk] of chunks.entries()) {
    child.stdin.write(chunk);
    // The next lines are written when the rows of the earlier ones have been read.
    const lines = chunks
      .slice(0, index + 1)
      .join('')
      .split('\n');
    const rows = 1 + lines.filter((line) => line.trim() !== '').length;
    while (index < chunks.length - 1 && outcome.stdout.split('\n').length - 1 < rows) {
      await new Promise<void>((resolve) => {
        isRead = resolve;
      });
    }
  }
  child.stdin.end();
  outcome.code = await new Promise((resolve) => child.on('close', resolve));
  return outcome;
}

describe('recordings', () => {
  it.each<[string, string[], string[]]>([
    ['a folder', ['calls'], listed],
    ['a pattern', ['calls/*.wav'], ['calls/a.wav', 'calls/b.wav', 'calls/long.wav']],
    ['a pattern of folders', ['calls/**/[cd]*'], ['calls/deep/d.flac.wav', 'calls/deep/er/c.WAV']],
    ['files', ['calls/b.wav', './calls/a.wav'], ['calls/b.wav', './calls/a.wav']],
    [
      'files, folders and patterns together, each recording once',
      ['calls/b.wav', 'calls/deep', 'calls/*.wav'],
      ['calls/b.wav', 'calls/deep/d.flac.wav', 'calls/deep/er/c.WAV', 'calls/a.wav', 'calls/long.wav'],
    ],
  ])('are named by %s', async (_, inputs, paths) => {
    await predict(...inputs, '-o', 'listed.csv');
    const rows = csvRows(work, 'listed.csv');
    expect(rows.map(({ path, error }) => [path, error])).toEqual(paths.map((path) => [path, '']));
  });

  it('are named by absolute patterns too', async () => {
    await predict(work.path('calls/deep/**/*.WAV'), '-o', 'absolute.csv');
    expect(csvRows(work, 'absolute.csv').map(({ path }) => path)).toEqual([work.path('calls/deep/er/c.WAV')]);
  });

  it('are refused where there are none, in one line', async () => {
    mkdirSync(work.path('empty'));
    const refused = (...args: string[]) => work.refused('predict', ...args, '-o', 'x.csv', '--run', 'good');
    expect(await refused('empty')).toBe(
      'error: empty is a folder without recordings; name another one, or a table',
    );
    expect(await refused('calls/*.mp3')).toContain('calls/*.mp3 matches nothing');
    expect(await refused('calls/*.txt')).toContain('matches 1 files, none of them a recording');
    for (const inputs of [['gone.wav'], ['gone'], ['gone/'], ['calls/a.wav/'], ['calls/a.wav', 'gone.wav']]) {
      expect(await refused(...inputs)).toBe(`error: ${inputs.at(-1)} does not exist`);
    }
    expect(await refused('gone.tsv')).toBe('error: CSV file gone.tsv does not exist');
    expect(await refused('')).toBe('error: an input has an empty name; name a table or recordings');
    expect(await refused('https://example.org/a.wav')).toBe(
      'error: input https://example.org/a.wav is a URL; download it first, such as curl -LO https://example.org/a.wav, and name the copy',
    );
    expect(await refused('-', 'calls/a.wav')).toContain('- is a list of paths on standard input');
    expect(await refused('calls/a.wav', 'toy/manifest.csv')).toContain('predict one table at a time');
    expect(await work.refused('predict', 'calls', '-o', 'calls/a.wav', '--run', 'good')).toBe(
      'error: output calls/a.wav is one of the recordings; name another file with -o',
    );
  });

  it('come as a list on stdin, and rows are there before the next line is', async () => {
    const chunks = ['calls/b.wav\n', 'gone.wav\r\n\n', 'calls/a.wav'];
    const { code, stdout, stderr } = await fromStdin(['-', '-o', '-'], chunks);
    expect(code, stderr).toBe(0);
    const { data } = Papa.parse<Record<string, string>>(stdout.trim(), { header: true });
    expect(data.map(({ path }) => path)).toEqual(['calls/b.wav', 'gone.wav', 'calls/a.wav']);
    expect(data[1]!.error).toContain('gone.wav does not exist');
    await predict('calls/b.wav', 'calls/a.wav', '-o', 'two.csv');
    for (const [index, row] of csvRows(work, 'two.csv').entries()) {
      expect(Number(data[2 * index]!.prob_happy)).toBeCloseTo(Number(row.prob_happy), 5);
    }
    const toFile = await fromStdin(['-', '-o', 'stdin.jsonl'], ['calls/a.wav\ncalls/b.wav\n']);
    expect(toFile.stdout).toBe('stdin.jsonl\n');
    expect(work.read('stdin.jsonl').toString().trim().split('\n')).toHaveLength(2);
    const shard = await fromStdin(['-', '-o', 'x.csv', '--shard', '1/2'], ['calls/a.wav\n']);
    expect(shard).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--shard divides tables and files'),
    });
  });
});

describe('tables', () => {
  it('have start and end, which select what is judged', async () => {
    const long = tone(250, 7);
    work.file('parts/cut.wav', wav(long.slice(16_000 * 2.5, 16_000 * 4)));
    work.file('parts/long.wav', wav(long));
    const rows = ['cut.wav,,', 'long.wav,2.5,4', 'long.wav,0:02.5,4.000', 'long.wav,5.5,', 'long.wav,1,6'];
    work.file('parts/table.csv', `path,start,end\n${rows.join('\n')}\n`);
    const { stderr } = await predict('parts/table.csv', '-o', 'parts.csv');
    expect(stderr).toContain('kept under other names: "start" as "input_start", "end" as "input_end"\n');
    const [cut, part, clock, rest, tooLong] = csvRows(work, 'parts.csv');
    expect([part!.prob_happy, clock!.prob_happy]).toEqual([cut!.prob_happy, cut!.prob_happy]);
    const times = [cut, part, clock, rest, tooLong].map((row) => [row!.input_start, row!.start, row!.end]);
    expect(times).toEqual([
      ['', '0', '1.5'],
      ['2.5', '2.5', '4'],
      ['0:02.5', '2.5', '4'],
      ['5.5', '5.5', '7'],
      ['1', '1', '3'],
    ]);
    expect([part!.note, rest!.note, tooLong!.note]).toEqual([
      '',
      '',
      'cut: judged on the first 2 s of 5.0 s',
    ]);
    // The output is a table with the same parts.
    work.file('parts/again.csv', work.read('parts.csv'));
    await predict('parts/again.csv', '-o', 'again.csv');
    expect(csvRows(work, 'again.csv').map(({ prob_happy }) => prob_happy)).toEqual(
      [cut, part, clock, rest, tooLong].map((row) => row!.prob_happy),
    );
  });

  it('are CSV, TSV and JSON Lines, all columns of which are kept', async () => {
    const cells = [
      { id: 'one', path: 'calls/a.wav', text: 'Well, "so"\tit is', take: '007', when: '2024-01-01' },
      { id: 'two', path: 'calls/b.wav', text: 'Ünï', take: '1e3', when: '' },
    ];
    const columns = Object.keys(cells[0]!);
    work.file('t.csv', Papa.unparse(cells));
    work.file('t.tsv', Papa.unparse(cells, { delimiter: '\t' }));
    work.file('t.jsonl', cells.map((row) => JSON.stringify(row)).join('\n'));
    for (const input of ['t.csv', 't.tsv', 't.jsonl']) {
      await predict(input, '-o', 'kept.csv');
      await predict(input, '-o', 'kept.tsv');
      await predict(input, '-o', 'kept.jsonl');
      const csv = csvRows(work, 'kept.csv');
      const tsv = Papa.parse<Record<string, string>>(work.read('kept.tsv').toString().replace(/\n$/, ''), {
        header: true,
        delimiter: '\t',
      }).data;
      expect(Object.keys(csv[0]!).slice(0, columns.length)).toEqual(columns);
      expect(tsv).toEqual(csv);
      const json = work
        .read('kept.jsonl')
        .toString()
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
      for (const [index, row] of cells.entries()) {
        expect(csv[index]).toMatchObject(row);
        expect(json[index]).toMatchObject(row);
        expect(json[index]!.prob_happy).toBe(Number(csv[index]!.prob_happy));
      }
    }
  });

  it('of JSON Lines keep their values as they were written', async () => {
    const row = '{"path":"calls/a.wav","n":12345678901234567890,"list":[1, {"a":"}"}],"none":null,"x":1.50}';
    work.file('raw.jsonl', `${row}\n{"path":"calls/b.wav","later":true}\n`);
    await predict('raw.jsonl', '-o', 'raw-out.jsonl');
    const [first, second] = work.read('raw-out.jsonl').toString().split('\n');
    expect(first!.startsWith(`${row.slice(0, -1)},"label":`)).toBe(true);
    expect(second!.startsWith('{"path":"calls/b.wav","later":true,"label":')).toBe(true);
    await predict('raw.jsonl', '-o', 'raw-out.csv');
    expect(csvRows(work, 'raw-out.csv')[0]).toMatchObject({
      n: '12345678901234567890',
      list: '[1, {"a":"}"}]',
      none: '',
      x: '1.50',
      later: '',
    });
  });

  it('that have columns of the output keep them under other names, for eval and for a second model', async () => {
    const rows = csvRows(work, 'toy/manifest.csv').slice(0, 6);
    const lines = rows.map(({ path, label }) => `toy/${path},${label}`);
    work.file('labelled.csv', `path,label\n${lines.join('\n')}\n`);
    const { stderr } = await predict('labelled.csv', '-o', 'first.csv');
    expect(stderr).toContain('kept under other names: "label" as "reference"\n');
    await work.done('eval', '--predictions', 'first.csv', '--resamples', '0');
    const second = await predict('first.csv', '-o', 'second.csv');
    expect(second.stderr).toContain('"label" as "input_label", "prob_neutral" as "input_prob_neutral"');
    const [first, again] = [csvRows(work, 'first.csv')[0]!, csvRows(work, 'second.csv')[0]!];
    expect(again).toMatchObject({
      reference: rows[0]!.label,
      input_label: first.label,
      input_prob_happy: first.prob_happy,
      input_margin: first.margin,
      input_error: '',
      label: first.label,
    });
    await work.done('eval', '--predictions', 'second.csv', '--resamples', '0');
    await predict('second.csv', '-o', 'third.csv');
    expect(csvRows(work, 'third.csv')[0]).toMatchObject({
      input_label: first.label,
      input_input_label: first.label,
    });
  });
});

describe('outputs', () => {
  it('go to stdout, as CSV or as --format says, and there without -o as well', async () => {
    const line = ['predict', 'calls/a.wav', '--run', 'good', '--threads', '1'];
    const csv = await emoq([...line, '-o', '-'], work.dir, processEnv);
    expect(csv.stdout).toMatch(/^path,label,.*\ncalls\/a\.wav,\w+,.*\n$/);
    const [tsv, json, none] = [
      await emoq([...line, '-o', '-', '--format', 'tsv'], work.dir, processEnv),
      await emoq([...line, '--format', 'jsonl'], work.dir, processEnv),
      await emoq(line, work.dir, processEnv),
    ];
    expect(tsv.stdout).toBe(csv.stdout.replaceAll(',', '\t'));
    expect(JSON.parse(json.stdout)).toMatchObject({ path: 'calls/a.wav', start: 0, end: 1 });
    expect(none.stdout).toBe(csv.stdout);
  });
});

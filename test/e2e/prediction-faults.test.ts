/** @file Bad rows in every kind of input: each gets its reason, in its place, and all others are predicted. */

import { chmodSync, renameSync } from 'node:fs';
import Papa from 'papaparse';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { emoq } from '../cli/command-line.js';
import { writeTone } from '../data/audio/ffmpeg-clips.js';
import { writeWav } from '../data/audio/wav-writer.js';
import { csvRows, makeWorkspace } from './workspace.js';

const work = makeWorkspace('faults');
afterAll(() => work.remove());

const stereo = Float32Array.from({ length: 32_000 }, (_, i) => 0.3 * Math.sin(i / 9));

beforeAll(async () => {
  await work.smallRun('good');
  work.file('ok.wav', writeWav(stereo, { encoding: 'pcm', bits: 16, channels: 2 })); // 1 s
  work.file('empty.wav', '');
  work.file('text.wav', 'no audio at all');
  work.file('cut.wav', work.read('ok.wav').subarray(0, 9000));
  work.file('folder.wav/x', '');
});

type Row = Readonly<Record<string, string>>;

/** Rows by columns path, start, end and channel, with what their error says. */
const FAULTS: readonly (readonly [row: Row, error: string | RegExp])[] = [
  [{ path: 'ok.wav' }, ''],
  [{ path: 'gone.wav' }, /gone\.wav does not exist$/],
  [{ path: 'empty.wav' }, 'is empty (0 bytes)'],
  [{ path: 'text.wav' }, 'cannot be decoded'],
  [{ path: 'cut.wav' }, 'is truncated'],
  [{ path: 'folder.wav' }, 'is a folder'],
  [{ path: '' }, /^line \d+: column "path" is empty$/],
  [{ path: 'ok.wav', start: 'soon' }, 'start "soon" is neither seconds (12.5) nor a time (0:12.5)'],
  [{ path: 'ok.wav', end: '-1' }, 'end "-1" is neither seconds'],
  [{ path: 'ok.wav', start: '0.6', end: '0.5' }, 'end 0.5 is not after start 0.6'],
  [{ path: 'ok.wav', end: '0' }, 'end 0 is not after start 0'],
  [{ path: 'ok.wav', start: '5' }, 'ends before start 5'],
  [{ path: 'ok.wav', end: '5' }, 'has 1.00 s, and ends before end 5'],
  [{ path: 'ok.wav', start: '0.2', end: '0.8', channel: '2' }, ''],
  [{ path: 'ok.wav', channel: '3' }, 'channel 3 does not exist: it has 2 channels'],
  [{ path: 'ok.wav', channel: 'left' }, 'channel "left" is neither a number from 1 nor mix'],
  [{ path: '["ok.wav"]' }, /^line \d+: column "path" holds .*, a list or an object/],
  [{ path: 'https://example.org/x.wav' }, 'is a URL'],
  [{ path: 'ok.wav' }, ''],
];
const rows = FAULTS.map(([row]) => ({ path: '', start: '', end: '', channel: '', text: 'said', ...row }));

function check(found: readonly Row[], expected: readonly (string | RegExp)[]): void {
  expect(found).toHaveLength(expected.length);
  for (const [index, { error = '', label = '' }] of found.entries()) {
    const reason = expected[index]!;
    if (reason === '') expect([error, label]).toEqual(['', expect.stringMatching(/\w/)]);
    else if (typeof reason === 'string') expect(error).toContain(reason);
    else expect(error).toMatch(reason);
    expect(error === '').toBe(label !== '');
  }
}

const reasons = FAULTS.map(([, error]) => error);

describe('bad rows', () => {
  it.each([
    ['faults.csv', () => Papa.unparse(rows)],
    ['faults.tsv', () => Papa.unparse(rows, { delimiter: '\t' })],
    ['semicolons.csv', () => Papa.unparse(rows, { delimiter: ';', newline: '\r\n' })],
    ['faults.jsonl', () => rows.map((row) => JSON.stringify(row)).join('\n')],
    ['faults.csv', () => Buffer.from(`\ufeff${Papa.unparse(rows)}`, 'utf16le')],
  ])('of %s (%#)', async (name, content) => {
    work.file(name, content());
    const { stderr } = await work.done('predict', name, '-o', 'out.csv', '--run', 'good');
    check(csvRows(work, 'out.csv'), reasons);
    expect(stderr).toContain(`16 of ${rows.length} rows could not be predicted`);
  });

  it('of a list of files, and of stdin', async () => {
    const files = ['ok.wav', 'empty.wav', 'text.wav', 'cut.wav'];
    await work.done('predict', ...files, '-o', 'files.csv', '--run', 'good');
    check(csvRows(work, 'files.csv'), ['', 'is empty', 'cannot be decoded', 'is truncated']);
    await work.done('predict', '*.wav', '-o', 'pattern.csv', '--run', 'good');
    check(csvRows(work, 'pattern.csv'), ['is truncated', 'is empty', '', 'cannot be decoded']);
  });

  it('with too few or too many cells, or without valid text', async () => {
    const lines = [
      'path,text,more',
      'ok.wav,a,b',
      'ok.wav',
      'ok.wav,a,b,c',
      'ok.wav,\xfcber,b',
      'ok.wav,a,b',
    ];
    work.file('cells.csv', Buffer.from(lines.join('\n'), 'latin1'));
    await work.done('predict', 'cells.csv', '-o', 'cells-out.csv', '--run', 'good');
    check(csvRows(work, 'cells-out.csv'), [
      '',
      'line 3: 1 fields, the header has 3',
      'line 4: 4 fields, the header has 3; a text that holds "," needs quotes around it',
      'line 5: not UTF-8 text (Windows-1252, perhaps); save the table as UTF-8',
      '',
    ]);
    const json = [
      '{"path":"ok.wav"}',
      '{"path":',
      '[1]',
      '{"path":"ok.wav","path":"x"}',
      '{"path":"ok.wav"}',
    ];
    work.file('cells.jsonl', `${json.join('\n')}\n`);
    await work.done('predict', 'cells.jsonl', '-o', 'json-out.csv', '--run', 'good');
    check(csvRows(work, 'json-out.csv'), [
      '',
      'line 2: not valid JSON',
      'line 3: every line must be a JSON object',
      'line 4: the key "path" occurs twice',
      '',
    ]);
  });

  it('whose file disappears or changes while it is read', async () => {
    const tone = { channelHz: [300], layout: 'mono' as const, durationSec: 1 };
    for (const name of ['gone', 'changed', 'fine']) writeTone(work.path(`${name}.mp3`), tone);
    // The file changes when ffmpeg is about to read it.
    const script = `#!/bin/bash
[[ "$*" == *gone.mp3* ]] && rm -f gone.mp3
[[ "$*" == *changed.mp3* ]] && echo no audio > changed.mp3
exec ffmpeg "$@"
`;
    work.file('bin/ffmpeg', script);
    chmodSync(work.path('bin/ffmpeg'), 0o755);
    work.file('changing.csv', 'path\ngone.mp3\nchanged.mp3\nfine.mp3\n');
    const env = { EMOQ_CACHE: work.path('../features'), FFMPEG_PATH: work.path('bin/ffmpeg') };
    const args = ['predict', 'changing.csv', '-o', 'changing-out.csv', '--run', 'good', '--threads', '1'];
    const { code, stderr } = await emoq(args, work.dir, env);
    expect(code, stderr).toBe(0);
    check(csvRows(work, 'changing-out.csv'), [/gone\.mp3/, 'cannot be decoded', '']);
  });

  it('are errors of the table only where it cannot be read on', async () => {
    const refused = (name: string, content: string) => {
      return work.refused('predict', work.file(name, content), '-o', 'x.csv', '--run', 'good');
    };
    expect(await refused('quote.csv', 'path,text\nok.wav,"open\nok.wav,x\n')).toContain('quote.csv, line 2');
    expect(await refused('header.csv', 'path,text\n')).toContain('has a header but no records');
    expect(await refused('none.csv', '')).toContain('is empty');
    expect(await refused('zero.csv', 'path\nok\0.wav\n')).toContain('zero.csv, line 2: contains a zero byte');
    expect(await refused('nameless.csv', 'path,,text\nok.wav,x,y\n')).toContain('column 2 has no name');
    renameSync(work.path('ok.wav'), work.path('moved.wav'));
    const { code, stderr } = await work.run('predict', 'faults.tsv', '-o', 'all.csv', '--run', 'good');
    renameSync(work.path('moved.wav'), work.path('ok.wav'));
    expect([code, stderr]).toEqual([1, expect.stringContaining('19 of 19 rows could not be predicted')]);
  });
});

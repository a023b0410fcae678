/** @file Files that are not tables: recognised by their content, with a command that makes a table. */

import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { InputError } from '../../../src/base/index.js';
import { adviceForSeveral, readCsvTable, readTableText } from '../../../src/data/tables/index.js';
import { toneWav } from '../corpora/raw-trees.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq it\'s "a" folder-'));
afterAll(() => rmSync(folder, { recursive: true }));
const fixtures = fileURLToPath(new URL('../../fixtures/pandas/', import.meta.url));

const predict = { what: 'CSV file', columns: ['path'], recordings: 'path' };
const prepare = { what: 'CSV file', columns: ['path', 'label'], recordings: 'path' };
const evaluate = { what: 'predictions file', columns: ['reference', 'label'] };

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

async function refusal(path: string, use: Parameters<typeof readCsvTable>[1] = predict): Promise<string> {
  const error = await readCsvTable(path, use).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(InputError);
  expect((error as Error).message).not.toContain('\n');
  return (error as Error).message;
}

/** Runs the command at the end of a message in the folder, and returns the table it made. */
async function tableOf(message: string, command: RegExp, use: Parameters<typeof readCsvTable>[1]) {
  execFileSync('sh', ['-c', command.exec(message)![1]!], { cwd: folder });
  return readCsvTable(join(folder, 'table.csv'), use);
}

describe('a recording in place of a table', () => {
  it.each([
    ['clip.wav', 'WAV'],
    ['clip.flac', 'FLAC'],
    ['clip.mp3', 'MP3'],
    ['clip.ogg', 'Ogg'],
    ['clip.opus', 'Ogg'],
    ['clip.m4a', 'MP4'],
    ['clip.mp4', 'MP4'],
    ['clip.aac', 'MPEG audio'],
    ['clip.aiff', 'AIFF'],
    ['clip.au', 'Sun audio'],
    ['clip.webm', 'Matroska or WebM'],
    ['clip.wma', 'Windows Media'],
    ['clip.caf', 'Core Audio'],
    ['clip.wv', 'WavPack'],
    ['clip.ts', 'MPEG'],
    ['clip.mpg', 'MPEG'],
    ['clip.avi', 'AVI'],
    ['clip.mka', 'Matroska or WebM'],
    ['clip.w64', 'Wave64'],
  ])('%s is recognised, whatever its name', async (name, format) => {
    const path = join(folder, name);
    if (name === 'clip.opus' || name === 'clip.webm') {
      execFileSync('ffmpeg', [
        '-v',
        'error',
        '-f',
        'lavfi',
        '-i',
        'sine=d=0.3',
        '-c:a',
        'libopus',
        '-y',
        path,
      ]);
    } else execFileSync('ffmpeg', ['-v', 'error', '-f', 'lavfi', '-i', 'sine=d=0.3', '-y', path]);
    const renamed = file('list.csv', readFileSync(path));
    expect(await refusal(renamed)).toContain(`is a recording (${format}), not a table`);
  });

  it('gives a working command that makes a table with it', async () => {
    const path = file('it\'s, "mine".wav', toneWav(200, 0.1));
    const message = await refusal(path);
    const table = await tableOf(message, /and name that: (printf .*)$/, predict);
    expect(table.rows.map(({ fields }) => fields)).toEqual([{ path }]);
    const labelled = await tableOf(await refusal(path, prepare), /and name that: (printf .*)$/, prepare);
    expect(labelled.rows.map(({ fields }) => fields)).toEqual([{ path, label: 'happy' }]);
    expect(await refusal(path, evaluate)).toMatch(
      /name a predictions file with columns reference and label$/,
    );
  });

  it('in a folder gives a working command that lists it', async () => {
    const clips = join(folder, "it's, all");
    mkdirSync(join(clips, 'deep, "er"'), { recursive: true });
    const names = ['a.flac', 'b, c.flac', 'deep, "er"/d.flac'];
    for (const name of [...names, 'e.wav']) writeFileSync(join(clips, name), 'x');
    const table = await tableOf(
      await refusal(clips),
      /list its recordings in a CSV: (\(echo .*\.csv)$/,
      predict,
    );
    expect(table.rows.map(({ fields }) => fields.path).sort()).toEqual(
      names.map((name) => join(clips, name)),
    );
    expect(await refusal(clips, prepare)).toMatch(/> table\.csv, and add a column label$/);
    const link = join(folder, 'link');
    symlinkSync(clips, link);
    const linked = await tableOf(
      await refusal(link),
      /list its recordings in a CSV: (\(echo .*\.csv)$/,
      predict,
    );
    expect(linked.rows.map(({ fields }) => fields.path).sort()).toEqual(
      names.map((name) => join(link, name)),
    );
  });

  it.each([
    ['an ending of two words', (n: number) => `several/it's ${n}.my ext`],
    ['quotes in their names', (n: number) => `several/a "${n}".wav`],
  ])('among several gives a working command that lists them: %s', async (_, nameOf) => {
    mkdirSync(join(folder, 'several'), { recursive: true });
    const paths = [1, 2, 3, 4, 5, 6].map(nameOf);
    for (const path of paths) writeFileSync(join(folder, path), 'x');
    const table = await tableOf(adviceForSeveral(paths, predict), /name that: (\(echo .*\.csv)$/, predict);
    expect(table.rows.map(({ fields }) => fields.path)).toEqual(paths);
  });

  it('text that begins like one is a table', async () => {
    for (const start of ['RIFF', 'ID3', 'FORM', 'BZh', 'MAC ', 'OggS']) {
      const table = await readCsvTable(file('text.csv', `${start} no,path\nx,a.wav\n`), predict);
      expect(table.rows[0]!.fields.path).toBe('a.wav');
    }
  });
});

describe('something else in place of a table', () => {
  it.each([
    ['sheet.xlsx', /is a spreadsheet \(Excel\), not a CSV; save it as "CSV UTF-8"/],
    ['frame.parquet', /is a Parquet file, not a CSV; write it as one with pandas/],
    ['packed.csv.gz', /is compressed \(gzip\); unpack it first, such as gunzip -k /],
    ['predictions.json', /is JSON, not CSV; write it as CSV with pandas: python3 -c 'import pandas/],
    ['predictions.jsonl', /is JSON Lines, not CSV; write it as CSV with pandas/],
  ])('%s of pandas', async (name, message) => {
    const path = join(folder, `${name}.csv`);
    copyFileSync(join(fixtures, name), path);
    expect(await refusal(path)).toMatch(message);
  });

  it.each([
    ['an old spreadsheet', Buffer.from('d0cf11e0a1b11ae100', 'hex'), /is a spreadsheet \(Excel\)/],
    [
      'a zip',
      Buffer.from('PK\x03\x04\x14\0\0\0\0\0clips/a.wav', 'latin1'),
      /is an archive \(zip\); unpack it/,
    ],
    [
      'a tar',
      Buffer.concat([Buffer.alloc(257, 'a'), Buffer.from('ustar\0'), Buffer.alloc(300)]),
      /an archive \(tar\)/,
    ],
    ['a pickle', Buffer.from([0x80, 4, 0x95, 0, 1]), /is a pickle file/],
    ['HDF5', Buffer.from('\x89HDF\r\n\x1a\n', 'latin1'), /is a HDF5 file/],
    ['a PDF', '%PDF-1.7\n\0', /is a PDF, not a CSV; make a CSV with a column path/],
    ['an image', Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), /is a PNG image/],
    ['a web page', '<!DOCTYPE html>\n<html>\n', /is a web page or XML, not a CSV: a download that failed/],
  ])('%s', async (_, content, message) => {
    expect(await refusal(file('any.csv', content))).toMatch(message);
  });

  it('an address, a folder with a table, an empty folder, nothing at all', async () => {
    expect(await refusal('https://example.org/a b.csv')).toMatch(
      /is a URL; download it first, such as curl -LO 'https/,
    );
    mkdirSync(join(folder, 'corpus', 'audio'), { recursive: true });
    writeFileSync(join(folder, 'corpus', 'manifest.csv'), '');
    writeFileSync(join(folder, 'corpus', 'audio', 'a.csv'), '');
    expect(await refusal(join(folder, 'corpus'))).toMatch(
      /is a folder; name a table in it, such as .*corpus\/manifest\.csv$/,
    );
    mkdirSync(join(folder, 'none'));
    expect(await refusal(join(folder, 'none'))).toMatch(
      /is a folder without tables and recordings; name a CSV file/,
    );
    expect(await refusal(join(folder, 'gone.csv'))).toMatch(/^CSV file .*gone\.csv does not exist$/);
  });

  it('JSON Lines under another name: the advice is to rename the file', async () => {
    const path = file('lines.txt', '{"reference":"joy","label":"joy"}\n');
    expect(await refusal(path, evaluate)).toMatch(
      /is JSON Lines; give it a name that ends in \.jsonl: cp .* lines\.txt\.jsonl$/,
    );
    expect(await readTableText(path, { ...evaluate, format: 'jsonl' })).toContain('joy');
    const list = file('list.jsonl', '[{"label":"joy"}]\n');
    await expect(readTableText(list, { ...evaluate, format: 'jsonl' })).rejects.toThrow(
      'is JSON, not CSV or JSON Lines',
    );
  });

  it('of a compressed archive the command is that of the archive', async () => {
    expect(await refusal(file('clips.tar.gz', gzipSync('x')))).toMatch(/such as tar -xf /);
  });
});

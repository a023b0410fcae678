/** @file When words are spoken: cells of manifests and tables, and what the toy voice says when. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { decodeAudio } from '../../../src/data/audio/index.js';
import { prepareCsv, readManifest } from '../../../src/data/corpora/index.js';
import { prepareToyCorpus } from '../../../src/data/corpora/toy/index.js';
import { parseWordTimes } from '../../../src/data/corpora/word-times.js';
import { writeTone } from '../audio/ffmpeg-clips.js';
import { put } from './raw-trees.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-words-'));
afterAll(() => rmSync(folder, { recursive: true }));

const refuse = (what: string): never => {
  throw new Error(what);
};
const cell = (...words: [string, number, number][]): string =>
  JSON.stringify(words.map(([word, start, end]) => ({ word, start, end, confidence: 1 })));

describe('a cell of word times', () => {
  it('is a list of words; anything else tells no times', () => {
    expect(parseWordTimes(cell(['so', 0.1, 0.3], ['be', 0.3, 0.5]), refuse)).toEqual([
      { word: 'so', start: 0.1, end: 0.3 },
      { word: 'be', start: 0.3, end: 0.5 },
    ]);
    expect(parseWordTimes('[]', refuse)).toEqual([]);
    for (const other of ['', '12', 'so be it']) expect(parseWordTimes(other, refuse)).toBeUndefined();
  });

  it('counts from the beginning of the part that becomes a clip', () => {
    const part = { startSec: 2.1, endSec: 4 };
    expect(parseWordTimes(cell(['so', 2.1, 2.4], ['be', 3.5, 4]), refuse, part)).toEqual([
      { word: 'so', start: 0, end: 0.3 },
      { word: 'be', start: 1.4, end: 1.9 },
    ]);
    expect(() => parseWordTimes(cell(['so', 2, 2.4]), refuse, part)).toThrow(
      'column "words": "so" at 2 s is outside the part of the recording from 2.1 s to 4 s',
    );
    expect(() => parseWordTimes(cell(['so', 3, 4.5]), refuse, part)).toThrow('outside the part');
  });

  it.each([
    ['cut off', '[{"word":"so"', 'is not a JSON list of words'],
    ['without times', '[{"word":"so"}]', 'is not a JSON list of words'],
    ['with a word that ends before it begins', cell(['so', 0.3, 0.1]), 'is not a JSON list of words'],
    ['before the beginning', cell(['so', -0.1, 0.1]), 'is not a JSON list of words'],
    ['with words at once', cell(['so', 0, 0.3], ['be', 0.2, 0.5]), '"be" begins before the word before it'],
  ])('%s is refused', (_, text, message) => {
    expect(() => parseWordTimes(text, refuse)).toThrow(message);
  });
});

describe('word times of a corpus', () => {
  it('come from a table into the manifest, and are refused with file and line', async () => {
    writeTone(join(folder, 'a.wav'), { channelHz: [200], layout: 'mono', durationSec: 1 });
    const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`;
    const rows = [
      `a.wav,0.2,0.9,so be,happy,train,${quoted(cell(['so', 0.3, 0.5], ['be', 0.5, 0.8]))}`,
      'a.wav,0,0.2,,sad,train,',
    ];
    const file = join(folder, 'clips.csv');
    put(file, `path,start,end,text,label,split,words\n${rows.join('\n')}\n`);
    const { manifestPath } = await prepareCsv({ file, name: 'timed', out: join(folder, 'timed') });
    const { utterances } = await readManifest(manifestPath);
    expect(utterances.map(({ words }) => words)).toEqual([
      [
        { word: 'so', start: 0.1, end: 0.3 },
        { word: 'be', start: 0.3, end: 0.6 },
      ],
      undefined,
    ]);
    put(file, `path,text,label,words\na.wav,so,happy,${quoted(cell(['so', 0.3, 0.1]))}\n`);
    await expect(prepareCsv({ file, name: 'timed', out: join(folder, 'bad') })).rejects.toThrow(
      /clips\.csv, line 2: column "words" is not a JSON list/,
    );
  });

  it('are those at which the toy voice speaks: loud in words, silent between them', async () => {
    const { path } = await prepareToyCorpus({
      ...{ out: join(folder, 'toy'), speakers: 5, utterancesPerSpeaker: 4 },
      spoken: true,
    });
    const { utterances } = await readManifest(path);
    for (const { path: clip, text, words } of utterances) {
      expect(words!.map(({ word }) => word).join(' ')).toBe(text.replace(/[^a-z ]/gi, ''));
      const { samples } = await decodeAudio(clip);
      const power = (from: number, to: number): number => {
        const part = samples.subarray(Math.round(from * 16_000), Math.round(to * 16_000));
        return part.reduce((sum, sample) => sum + sample * sample, 0) / part.length;
      };
      for (const [index, { start, end }] of words!.entries()) {
        const before = words![index - 1];
        // The synthesizer's gains glide, so a word rings on for some milliseconds.
        if (before) expect(power(start, end)).toBeGreaterThan(20 * power(before.end + 0.02, start - 0.005));
      }
    }
  });

  it('are not those of a toy corpus whose voice says other syllables', async () => {
    const { path } = await prepareToyCorpus({
      ...{ out: join(folder, 'plain'), speakers: 5, utterancesPerSpeaker: 4 },
    });
    expect((await readManifest(path)).utterances.every(({ words }) => words === undefined)).toBe(true);
  });
});

/** @file What a recogniser is trained on: transcripts in its symbols, and what is said of those that it cannot learn. */

import { describe, expect, it } from 'vitest';
import { type RecogniserSource, transcriptSymbols } from '../../../src/backbones/index.js';
import { alignExample, reviewTranscripts, symbolPart } from '../../../src/systems/qieemo/align.js';

const symbols = ['<pad>', '|', 'A', 'B', 'E', "'", 'ß'];
const vocabulary = {
  ...{ symbols, blank: '<pad>', delimiter: '|', space: ' ', lowerCase: false, cleanUp: false },
};
const spell = (text: string): string =>
  transcriptSymbols(text, vocabulary)
    .ids.map((id) => symbols[id])
    .join('');

describe('a transcript in the symbols of a recogniser', () => {
  it.each([
    ['abba', 'ABBA'],
    ['  A  b\ta ', 'A|B|A'],
    ["a'b, ABE!", "A'B|ABE"],
    ['- a -', 'A'],
    ['a|b', 'AB'],
    ['ß', 'ß'],
    ['', ''],
  ])('spells %j as %j', (text, spelt) => {
    expect(spell(text)).toBe(spelt);
  });

  it('names letters and digits that it leaves out, not punctuation', () => {
    expect(transcriptSymbols('zab 7, é!', vocabulary)).toEqual({ ids: [2, 3], unknown: ['z', '7', 'é'] });
  });

  it('is refused where none of its letters is known, and may be empty', () => {
    const utterance = { id: 'u', path: '', label: '', speaker: '', gender: '' };
    expect(alignExample({ ...utterance, text: 'xyz' }, vocabulary)).toEqual({
      kind: 'problem',
      problem: 'none of the letters of its transcript is in the recogniser\'s vocabulary, such as "x"',
    });
    expect(alignExample({ ...utterance, text: '...' }, vocabulary).kind).toBe('example');
  });

  it('is padded in a batch, with a column even if there is nothing to say', () => {
    const example = (ids: number[]) => ({
      id: '',
      path: '',
      label: -1,
      lengths: { inputs: {}, targets: {} },
      symbols: ids,
    });
    const { tensors, sizes } = symbolPart([example([2, 3]), example([4])], 0);
    expect(sizes).toEqual({ symbols: 2 });
    expect([...(tensors.symbol_ids!.data as BigInt64Array)].map(Number)).toEqual([2, 3, 4, 0]);
    expect([...(tensors.symbol_mask!.data as BigInt64Array)].map(Number)).toEqual([1, 1, 1, 0]);
    const silent = symbolPart([example([])], 0);
    expect(silent.tensors.symbol_mask!.shape).toEqual([1, 1]);
    expect([...(silent.tensors.symbol_mask!.data as BigInt64Array)].map(Number)).toEqual([0]);
  });
});

describe('a review of transcripts', () => {
  const recogniser = { vocabulary, frameSec: 0.02 } as unknown as RecogniserSource;
  const clip = (text: string, durationSec: number) => ({ text, durationSec });

  it('says nothing of those that can be learned', () => {
    expect(reviewTranscripts([clip('abe', 1), clip('', 1)], recogniser)).toBeUndefined();
  });

  it('counts letters that are left out', () => {
    expect(reviewTranscripts([clip('abé zz', 1)], recogniser)).toBe(
      "align leaves out letters that the recogniser's vocabulary does not have: z (2 times), é (1 times)",
    );
  });

  it('counts clips with fewer frames than symbols, and blanks between repeated ones', () => {
    // abba needs 5 frames: a b (blank) b a.
    expect(reviewTranscripts([clip('abba', 0.1), clip('abe', 0)], recogniser)).toBeUndefined();
    expect(reviewTranscripts([clip('abba', 0.08), clip('abe', 1)], recogniser)).toBe(
      'align learns nothing from 1 of 2 clips, which are too short for their transcripts',
    );
  });

  it('refuses a corpus without any', () => {
    expect(() => reviewTranscripts([clip('', 1), clip(' ', 1)], recogniser)).toThrow(
      'no training utterance has one',
    );
  });
});

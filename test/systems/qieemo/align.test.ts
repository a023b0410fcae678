/** @file What a recogniser is trained on: transcripts in its symbols, and what is said of those that it cannot learn. */

import { describe, expect, it } from 'vitest';
import { type CtcRecogniserSource, transcriptSymbols } from '../../../src/backbones/index.js';
import {
  alignExample,
  framePart,
  frameSymbols,
  reviewTranscripts,
  symbolPart,
} from '../../../src/systems/qieemo/align.js';

const symbols = ['<pad>', '|', 'A', 'B', 'E', "'", 'ß'];
const vocabulary = {
  ...{ symbols, blank: '<pad>', delimiter: '|', space: ' ', lowerCase: false, cleanUp: false },
};
const recogniser = { vocabulary, blank: 0, frameSec: 0.02 };
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
    expect(alignExample({ ...utterance, text: 'xyz' }, 'transcripts', recogniser)).toEqual({
      kind: 'problem',
      problem: 'none of the letters of its transcript is in the recogniser\'s vocabulary, such as "x"',
    });
    expect(alignExample({ ...utterance, text: '...' }, 'transcripts', recogniser).kind).toBe('example');
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

describe('the symbols of frames of 20 ms', () => {
  const spelt = (...words: [string, number, number][]): string =>
    frameSymbols(
      words.map(([word, start, end]) => ({ word, start, end })),
      recogniser,
    )
      .map((id) => (id === 0 ? '.' : symbols[id]))
      .join('');

  it.each<[string, [string, number, number][]]>([
    // Two letters share the six frames of their word, which here begins with the third.
    ['...A..B.', [['ab', 0.04, 0.16]]],
    // The delimiter is in the middle of a pause; without one, in the first frame of the next word.
    [
      '.A..|..B.',
      [
        ['a', 0, 0.06],
        ['b', 0.12, 0.18],
      ],
    ],
    [
      '.A.|B.',
      [
        ['a', 0, 0.06],
        ['b', 0.06, 0.12],
      ],
    ],
    // A repeated letter is told from a long one by the blanks between.
    ['.A..A.', [['aa', 0, 0.12]]],
    // More letters than frames: the last of those that share a frame.
    ['.B', [['ab', 0.02, 0.04]]],
    // What the vocabulary does not have is not there.
    ['.A.B', [['a-é-b', 0, 0.08]]],
    ['', []],
  ])('are %j', (expected, words) => {
    expect(spelt(...words)).toBe(expected);
  });

  it('are blank to the end of the longest clip of a batch', () => {
    const example = (frames: number[]) => ({
      ...{ id: '', path: '', label: -1, lengths: { inputs: {}, targets: {} }, symbols: [] },
      frames,
    });
    const { tensors } = framePart([example([2, 3, 3]), example([4])], 4, 0);
    expect(tensors.frame_symbols!.shape).toEqual([2, 4]);
    expect([...(tensors.frame_symbols!.data as BigInt64Array)].map(Number)).toEqual([2, 3, 3, 0, 4, 0, 0, 0]);
  });

  it('need word times, of the words of the transcript', () => {
    const utterance = { id: 'u', path: '', label: '', speaker: '', gender: '', text: 'A be!' };
    const words = [
      { word: 'a', start: 0, end: 0.1 },
      { word: 'be', start: 0.2, end: 0.3 },
    ];
    const problemOf = (more: object): string => {
      const encoded = alignExample({ ...utterance, ...more }, 'words', recogniser);
      return encoded.kind === 'problem' ? encoded.problem : encoded.kind;
    };
    expect(problemOf({ words })).toBe('example');
    expect(problemOf({})).toContain('does not say when its words are spoken');
    expect(problemOf({ words: words.slice(1) })).toContain('are not those of its transcript: "be"');
  });
});

describe('a review of transcripts', () => {
  const recogniser = { vocabulary, frameSec: 0.02 } as unknown as CtcRecogniserSource;
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

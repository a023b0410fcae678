/** @file Values that look or mean the same: which are merged, which are not, and which spelling is kept. */

import { describe, expect, it } from 'vitest';
import {
  canonicalSpelling,
  describeSpellings,
  shownSpelling,
  spellingGroups,
} from '../../../src/data/tables/index.js';
import { seededRandom } from '../../../src/engine/tensor/index.js';

describe('values are the same', () => {
  it.each([
    ['but for capitals', 'happy', 'Happy', 'HAPPY'],
    ['but for outer spaces', 'happy', ' happy', 'happy\t'],
    ['but for several spaces within', 'very happy', 'very  happy', 'very\u00a0happy', 'very\u3000happy'],
    ['composed and decomposed', 'fröhlich', 'fro\u0308hlich', 'FRO\u0308HLICH'],
    ['in compatibility forms', 'happy1', 'ｈａｐｐｙ１', 'happy①', 'happy¹'],
    [
      'but for what is invisible',
      'happy',
      'hap\u200bpy',
      '\ufeffhappy',
      'hap\u00adpy',
      'happy\u2060',
      '\u200ehappy',
      'happy\ufe0f',
    ],
    ['but for kinds of dashes and apostrophes', "don't-know", 'don’t-know', 'don‘t–know', "don't\u2011know"],
    ['as numbers', '0', '0.0', '00', '+0', '-0', '0e0', '0.', '.0', '0,0', '０'],
    ['as powers', '1', '1e0', '1.0', '01', '+1', '10e-1'],
    ['as truths', 'true', 'True', 'TRUE'],
    ['in other cases of other alphabets', 'ΟΔΟΣ', 'οδος', 'Οδοσ'],
    ['with ß and SS', 'Straße', 'STRASSE', 'strasse'],
    ['with letters of another script in a word', 'happy', 'hаppy', 'Hарру'],
  ])('%s', (_, first, ...others) => {
    for (const other of others)
      expect(canonicalSpelling(other), shownSpelling(other)).toBe(canonicalSpelling(first));
    expect(spellingGroups([first, ...others])[0]!.spellings).toHaveLength(1 + new Set(others).size);
  });

  it.each([
    ['0', '1'],
    ['0', 'o'],
    ['0.1', '0.10000000000000001'],
    ['1', '1.5'],
    ['12345678901234567890', '12345678901234567891'],
    ['1e400', '1e500'],
    ['sad', 'sаdness'],
    ['fear', 'feard'],
    ['a-b', 'a b'],
    ['résumé', 'resume'],
    ['1.0.0', '1'],
    ['', '0'],
    ['нет', 'het'],
    ['true', '1'],
  ])('unlike %s and %s', (first, second) => {
    if (first === '0.1') expect(Number(first)).toBe(Number(second)); // nothing is claimed beyond a double's digits
    expect(spellingGroups([first, second])).toEqual([]);
  });

  it('keeps the most frequent spelling, of equals the first', () => {
    const groups = spellingGroups(['b', 'Happy', 'happy', 'a', 'happy', 'A', 'b']);
    expect(groups).toEqual([
      {
        spellings: [
          { value: 'Happy', count: 1 },
          { value: 'happy', count: 2 },
        ],
        kept: 'happy',
      },
      {
        spellings: [
          { value: 'a', count: 1 },
          { value: 'A', count: 1 },
        ],
        kept: 'a',
      },
    ]);
    expect(describeSpellings(groups[0]!)).toBe('"Happy" (1) and "happy" (2)');
  });

  it('is the same of what it gives, and knows every disguise of a word', () => {
    const disguises: ((word: string) => string)[] = [
      (word) => word.toUpperCase(),
      (word) => word.normalize('NFD'),
      (word) => word.normalize('NFC'),
      (word) => ` ${word}\u00a0`,
      (word) => [...word].join('\u200b'),
      (word) => `\ufeff${word}`,
      (word) =>
        [...word]
          .map((letter) =>
            /[a-z]/.test(letter) ? String.fromCodePoint(letter.codePointAt(0)! + 0xfee0) : letter,
          )
          .join(''),
      (word) => word.replaceAll(' ', ' \t'),
    ];
    const words = [
      'neutral',
      'fröhlich',
      'très fâché',
      'điên',
      'šťastný',
      'mutlu',
      'very happy',
      'счастье',
      '기쁨',
      '7',
      '3.5',
    ];
    for (let seed = 0; seed < 500; seed++) {
      const random = seededRandom(seed, 'spellings');
      const word = random.pick(words);
      let other = word;
      for (let times = 1 + random.integer(3); times > 0; times--) other = random.pick(disguises)(other);
      expect(canonicalSpelling(other), shownSpelling(other)).toBe(canonicalSpelling(word));
      expect(canonicalSpelling(canonicalSpelling(other))).toBe(canonicalSpelling(other));
    }
  });

  it('shows what a reader would not see', () => {
    expect(shownSpelling('happy')).toBe('"happy"');
    expect(shownSpelling('fröhlich')).toBe('"fröhlich"');
    expect(shownSpelling('fro\u0308hlich')).toBe('"fro\\u0308hlich"');
    expect(shownSpelling('hap\u200bpy\u00a0')).toBe('"hap\\u200bpy\\u00a0"');
    expect(shownSpelling('hаppy')).toBe('"h\\u0430ppy"');
    expect(shownSpelling('нет')).toBe('"нет"');
  });
});

/** @file Word and character error rates are those of jiwer. Reference: test/reference/error-rates.py. */

import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { type EditCount, errorRate, plainText, textEdits } from '../../src/evaluation/index.js';

interface Reference {
  readonly cases: {
    reference: string;
    recognised: string;
    words: EditCount;
    characters: EditCount;
  }[];
  readonly wer: number;
  readonly cer: number;
}

describe('error rates', () => {
  it('count the edits of jiwer, for each pair of texts and over all', async () => {
    const file = new URL('../fixtures/error-rates.json', import.meta.url);
    const { cases, wer, cer } = JSON.parse(await readFile(file, 'utf8')) as Reference;
    expect(cases.length).toBeGreaterThan(60);
    const sums = { words: { edits: 0, of: 0 }, characters: { edits: 0, of: 0 } };
    for (const { reference, recognised, words, characters } of cases) {
      const found = textEdits(reference, recognised);
      expect(found, `${reference} -> ${recognised}`).toEqual({ words, characters });
      for (const unit of ['words', 'characters'] as const) {
        sums[unit].edits += found[unit].edits;
        sums[unit].of += found[unit].of;
      }
    }
    expect(errorRate(sums.words)).toBeCloseTo(100 * wer, 9);
    expect(errorRate(sums.characters)).toBeCloseTo(100 * cer, 9);
    expect(errorRate({ edits: 3, of: 0 })).toBeUndefined();
  });

  it('may leave case and punctuation out, but not apostrophes in words', () => {
    expect(plainText("Okay, it’s 'the' LESSON -- 3.5!")).toBe("okay it's the lesson 3 5");
    expect(plainText('…')).toBe('');
    expect(textEdits(plainText('Yes. It is!'), plainText('yes it is')).words).toEqual({ edits: 0, of: 3 });
  });
});

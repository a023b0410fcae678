/** @file Tokens of words: by decoding them, which is the word again. */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../../src/base/index.js';
import { buildByteLevelTokenizer, type TextTokenizer, tokenizedWords } from '../../../src/data/text/index.js';
import { createTokenizer } from '../../../src/data/text/tokenizer.js';

function roberta(): TextTokenizer {
  const words = ['I', 'am', 'happy', 'well'];
  const { tokenizerJson, tokenizerConfig } = buildByteLevelTokenizer({ words, kind: 'roberta' });
  return createTokenizer(tokenizerJson, tokenizerConfig, 'roberta');
}

describe('the words of a text', () => {
  it.each([
    'I am happy',
    "Well... I'm not unhappy, 10:45!",
    '  two  spaces\tand\nlines ',
    'naïve café 你好 \u{1f600}',
    '</s> <pad> is plain text',
  ])('have the tokens that decode to them, in order: %j', (text) => {
    const tokenizer = roberta();
    const ids = tokenizer.encode(text);
    const words = tokenizedWords(tokenizer, text);
    expect(words.map(({ word }) => word)).toEqual(text.trim().split(/\s+/));
    for (const { word, tokens } of words) {
      expect(tokenizer.decode(tokens.map((place) => ids[place]!)).trim()).toBe(word);
    }
    const places = words.flatMap(({ tokens }) => tokens);
    expect(places).toEqual([...places].sort((a, b) => a - b));
    // What is left is RoBERTa's marks, and white space behind the last word.
    const rest = ids.filter((_, place) => !places.includes(place)).slice(1, -1);
    expect(tokenizer.decode(rest).trim()).toBe('');
    expect(places[0]).toBe(1);
  });

  it('are none in an empty text', () => {
    expect(tokenizedWords(roberta(), '')).toEqual([]);
    expect(tokenizedWords(roberta(), ' \n')).toEqual([]);
  });

  it('are refused with a tokenizer that has tokens across white space', () => {
    const path = new URL('../../fixtures/text/chat-templates.json', import.meta.url);
    const { cases } = JSON.parse(readFileSync(path, 'utf8')) as {
      cases: { name: string; tokenizerJson: unknown; tokenizerConfig: unknown }[];
    };
    const { tokenizerJson, tokenizerConfig } = cases.find(({ name }) => name === 'Mistral Nemo')!;
    const tokenizer = createTokenizer(tokenizerJson, tokenizerConfig, 'across');
    expect(() => tokenizedWords(tokenizer, 'dance!\nthe end')).toThrow(InputError);
    expect(() => tokenizedWords(tokenizer, 'dance!\nthe end')).toThrow(/^tokenizer across does not read "/);
  });
});

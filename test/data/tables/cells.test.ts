/** @file Cells: missing values, numbers, times and nested values as programs write them. */

import { describe, expect, it } from 'vitest';
import {
  cellOf,
  isMissing,
  isNested,
  numberOf,
  parseTimeSec,
  textOf,
} from '../../../src/data/tables/index.js';

describe('a time', () => {
  it.each([
    ['12.5', 12.5],
    ['0', 0],
    ['-0.0', 0],
    ['.5', 0.5],
    ['1e-05', 1e-5],
    ['1.5E2', 150],
    ['0:12.5', 12.5],
    ['1:02.5', 62.5],
    ['00:00:01.5', 1.5],
    ['02:03,5', 123.5],
    ['75:10', 4510],
    ['1:02:03.5', 3723.5],
    ['0 days 00:00:01.500000', 1.5],
    ['0 days 00:00:01.500000123', 1.500000123],
    ['0 days', undefined],
    ['1 day 02:00:00', 93_600],
    ['2 days, 0:00:01', 172_801],
    ['2 days +01:00:00', 176_400],
    ['P0DT0H0M1.5S', 1.5],
    ['PT1M2S', 62],
    ['P1D', 86_400],
    ['PT', undefined],
    ['P', undefined],
    ['-1', undefined],
    ['-1 days +23:59:58.500000', undefined],
    ['1:75', undefined],
    ['1:60:00', undefined],
    ['1,500', undefined],
    ['0x10', undefined],
    ['Infinity', undefined],
    ['1e999', undefined],
    ['12:00:01 AM', undefined],
    ['soon', undefined],
    ['', undefined],
  ])('%s is %s s', (text, seconds) => {
    expect(parseTimeSec(text)).toBe(seconds);
  });

  it('may have a decimal comma where commas do not separate fields', () => {
    expect(parseTimeSec('12,5', true)).toBe(12.5);
    expect(parseTimeSec('1.234,5', true)).toBeUndefined();
    expect(numberOf('0,25', true)).toBe(0.25);
    expect(numberOf('0,25', false)).toBeUndefined();
    expect(numberOf('1e-05', true)).toBe(1e-5);
  });
});

describe('a missing value', () => {
  it.each([
    '',
    ' ',
    '\u200b',
    '\ufeff',
    'nan',
    'NaN',
    'NaT',
    '<NA>',
    'None',
    'NULL',
    'null',
    'N/A',
    '#N/A',
    ' NaN ',
  ])('may be %j', (cell) => {
    expect(isMissing(cell)).toBe(true);
    expect(cellOf({ line: 2, fields: { speaker: cell } }, 'speaker')).toBe('');
  });

  it.each(['Nan', 'none', 'neutral', '0', 'na', 'Nathan', 'NONE'])('is not %j', (cell) => {
    expect(isMissing(cell)).toBe(false);
  });

  it('is not a possible utterance', () => {
    const text = (cell: string): string => textOf({ line: 2, fields: { text: cell } });
    expect(['None', 'NA', 'nan', 'NaN', '<NA>', '#N/A', ' Well. '].map(text)).toEqual([
      'None',
      'NA',
      '',
      '',
      '',
      '',
      'Well.',
    ]);
  });

  it('is not looked up where names of every object are', () => {
    for (const column of ['constructor', '__proto__', 'toString']) {
      expect(cellOf({ line: 2, fields: {} }, column)).toBe('');
      expect(textOf({ line: 2, fields: {} }, column)).toBe('');
    }
  });
});

describe('a nested value', () => {
  it.each([
    '{"a": 1}',
    '["joy"]',
    '[1, 2]',
    '[]',
    '{}',
    "['joy']",
    "{'path': 'a.wav', 'bytes': None}",
    "('a', 'b')",
    '[[1]]',
  ])('is %s', (cell) => expect(isNested(cell)).toBe(true));
  it.each(['[LAUGHTER]', '{happy}', '(sad)', 'a [b]', '7', '"joy"', '[neutral', ':)', '[^_^]'])(
    'is not %s',
    (cell) => expect(isNested(cell)).toBe(false),
  );
});

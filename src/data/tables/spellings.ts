/** @file Values that look or mean the same and are written differently: `happy` and `Happy`, `0` and `0.0`. */

import { withoutInvisible } from './cells.js';

/** One way of writing a value. */
export interface Spelling {
  readonly value: string;
  readonly count: number;
}

/** Several spellings of what is likely one value. */
export interface SpellingGroup {
  /** In the order in which they come up. */
  readonly spellings: readonly Spelling[];
  /** The one to keep: the most frequent, of equals the first. */
  readonly kept: string;
}

/** Letters of Cyrillic and Greek that look like a Latin one. */
const LOOK_ALIKES: Readonly<Record<string, string>> = Object.fromEntries(
  [
    ['аеорсухіјѕԁһԛԝАВЕКМНОРСТУХІЈЅ', 'aeopcyxijsdhqwABEKMHOPCTYXIJS'],
    ['οιΑΒΕΖΗΙΚΜΝΟΡΤΥΧ', 'oiABEZHIKMNOPTYX'],
  ].flatMap(([from, to]) => [...from!].map((letter, index) => [letter, to![index]!])),
);

/**
 * What a value stands for, the same for values that look or mean the same: compatibility forms (full-width letters,
 * no-break spaces) and composition by Unicode's NFKC, no invisible characters, one space for several, one dash and
 * apostrophe for all, no capitals, numbers by their value, and Latin letters for their doubles in a word that mixes
 * scripts.
 */
export function canonicalSpelling(value: string): string {
  const plain = withoutInvisible(value.normalize('NFKC'))
    .replace(/\p{Pd}/gu, '-')
    .replace(/[‘’ʼ`´]/g, "'")
    .replace(/\s+/g, ' ')
    .trim();
  const isMixed = /\p{Script=Latin}/u.test(plain) && /[\p{Script=Cyrillic}\p{Script=Greek}]/u.test(plain);
  const latin = isMixed ? plain.replace(/\p{L}/gu, (letter) => LOOK_ALIKES[letter] ?? letter) : plain;
  return canonicalNumber(latin) ?? latin.toUpperCase().toLowerCase().normalize('NFKC');
}

/** `0.0`, `+0`, `00`, `0,0` and `0e0` as one text; undefined for what is no number, or has more digits than a double. */
function canonicalNumber(text: string): string | undefined {
  const point = text.replace(',', '.');
  if (!/^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(point)) return undefined;
  const digits = point.replace(/e.*$/i, '').replace(/[^\d]/g, '').replace(/^0+/, '');
  const number = Number(point);
  if (digits.length > 15 || !Number.isFinite(number)) return undefined;
  return String(number + 0); // -0 is 0
}

/** The groups of values that look or mean the same and are spelt in two ways or more, each with its counts. */
export function spellingGroups(values: Iterable<string>): SpellingGroup[] {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const groups = new Map<string, Spelling[]>();
  for (const [value, count] of counts) {
    const key = canonicalSpelling(value);
    const group = groups.get(key);
    if (group) group.push({ value, count });
    else groups.set(key, [{ value, count }]);
  }
  return [...groups.values()]
    .filter((spellings) => spellings.length > 1)
    .map((spellings) => ({
      spellings,
      kept: spellings.reduce((most, one) => (one.count > most.count ? one : most)).value,
    }));
}

/** `"happy" (12) and "Happy" (3)`, with codes for what a reader would not see. */
export function describeSpellings({ spellings }: SpellingGroup): string {
  return spellings.map(({ value, count }) => `${shownSpelling(value)} (${count})`).join(' and ');
}

/** A value in quotes, with codes in place of invisible characters, odd spaces, loose accents and letters of mixed scripts. */
export function shownSpelling(value: string): string {
  const isMixed = /\p{Script=Latin}/u.test(value) && /[\p{Script=Cyrillic}\p{Script=Greek}]/u.test(value);
  const hidden = isMixed
    ? /[\p{Cf}\p{Default_Ignorable_Code_Point}\p{Zs}\p{M}\p{Script=Cyrillic}\p{Script=Greek}]/gu
    : /[\p{Cf}\p{Default_Ignorable_Code_Point}\p{Zs}\p{M}]/gu;
  return JSON.stringify(value).replace(hidden, (letter) =>
    letter === ' ' ? letter : `\\u${letter.codePointAt(0)!.toString(16).padStart(4, '0')}`,
  );
}

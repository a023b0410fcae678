/**
 * @file Interpretation of table cells (missing values, spreadsheet numbers, times, nested values), columns with nearly
 * the right name, and values that look or mean the same: `happy` and `Happy`, `0` and `0.0`.
 */

import { lineError } from '../../base/index.js';

/** What pandas, R, SQL and spreadsheets write for a missing value. Case-sensitive, since `Nan` is also a name. */
const MISSING: ReadonlySet<string> = new Set([
  ...['nan', 'NaN', '-nan', '-NaN', 'NaT', '<NA>', 'NA', 'N/A', 'n/a', 'None', 'NULL', 'null'],
  ...['#N/A', '#N/A N/A', '#NA', '#REF!', '#VALUE!', '#NAME?', '#DIV/0!', '#NULL!', '#NUM!'],
]);

/** Those of them that are never speech: `None` and `NA` may be an answer in a transcript. */
const NEVER_SAID: ReadonlySet<string> = new Set(
  [...MISSING].filter((word) => !['None', 'NA', 'null', 'n/a', 'N/A'].includes(word)),
);

/** Invisible format characters: zero-width spaces and joiners, byte-order marks, soft hyphens, text directions. */
const INVISIBLE = /\p{Default_Ignorable_Code_Point}|\p{Cf}/gu;

/** The text without invisible characters. */
export function withoutInvisible(text: string): string {
  return text.replace(INVISIBLE, '');
}

/** True for a cell that is empty or contains only spaces and invisible characters. */
export function isBlank(cell: string): boolean {
  return withoutInvisible(cell).trim() === '';
}

/** True for a blank cell and for a word that stands for a missing value, such as `NaN` or `#N/A`. */
export function isMissing(cell: string): boolean {
  return MISSING.has(cell.trim()) || isBlank(cell);
}

/** The trimmed cell; '' if the value is missing. */
export function cellValue(cell: string | undefined): string {
  return cell === undefined || isMissing(cell) ? '' : cell.trim();
}

/** A transcript: '' if it is blank or a word that is never speech, such as `nan`. */
export function transcriptOf(cell: string | undefined): string {
  return cell === undefined || isBlank(cell) || NEVER_SAID.has(cell.trim()) ? '' : cell.trim();
}

/**
 * A number as programs write it: `0.5`, `.5`, `1e-05`; undefined if it is not one.
 * @param decimalComma also accept `0,5`, as in tables whose separator is not a comma
 */
export function numberOf(cell: string, decimalComma: boolean): number | undefined {
  const text = cell.trim();
  const plain = decimalComma && /^[^.,]*,[^.,]*$/.test(text) ? text.replace(',', '.') : text;
  return /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(plain) ? Number(plain) : undefined;
}

/** True for a JSON object or array, or a Python list, tuple or dictionary. */
export function isNested(cell: string): boolean {
  const text = cell.trim();
  if (/^[[{(]\s*(?:['"[{(]|[bru]['"]).*[\]})]$/s.test(text)) return true;
  if (!/^[[{].*[\]}]$/s.test(text)) return false;
  try {
    return typeof JSON.parse(text) === 'object';
  } catch {
    return false;
  }
}

/** Column -> other names for the same thing, in lower-case letters and digits only. */
const OTHER_NAMES: Readonly<Record<string, readonly string[]>> = {
  path: [
    'paths',
    'file',
    'filename',
    'filepath',
    'audio',
    'audiofile',
    'audiopath',
    'wav',
    'wavfile',
    'wavpath',
  ],
  label: ['labels', 'emotion', 'emotions', 'emotionlabel', 'class', 'category'],
  text: ['texts', 'transcript', 'transcripts', 'transcription', 'sentence'],
  speaker: ['speakers', 'speakerid', 'speakername', 'spk', 'spkid', 'actor', 'actorid'],
  split: ['splits', 'subset', 'partition'],
  session: ['sessions', 'sessionid', 'fold'],
  start: ['startsec', 'startseconds'],
  end: ['endsec', 'endseconds'],
  channel: ['channels', 'channelid', 'channelnumber', 'chan'],
};

/** The column that probably contains `wanted` under another name: `Emotion` for label, `Speaker ID` for speaker. */
export function lookAlike(wanted: string, columns: readonly string[]): string | undefined {
  const names = [plain(wanted), ...(OTHER_NAMES[wanted] ?? [])];
  return columns.find((column) => column !== wanted && names.includes(plain(column)));
}

/**
 * Rejects optional columns with a name that would be ignored: without the speakers, for example, splits would share
 * them.
 * @param optional optional columns; one that is present has no look-alike
 * @param otherwise an alternative to renaming, for the message
 * @throws InputError naming file, column and the expected name
 */
export function refuseLookAlikes(
  path: string,
  columns: readonly string[],
  optional: readonly string[],
  otherwise: (wanted: string, found: string) => string = () => '',
): void {
  for (const wanted of optional) {
    const found = columns.includes(wanted) ? undefined : lookAlike(wanted, columns);
    if (found === undefined) continue;
    throw lineError(
      path,
      1,
      `column "${found}" would not be read: rename it to "${wanted}", or to something else if it is not that${otherwise(wanted, found)}`,
    );
  }
}

function plain(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, '');
}

/** Accepted forms of a time, for messages. */
export const TIME_FORMS = 'neither seconds (12.5) nor a time (0:12.5)';

/** `0 days 00:00:01.500000`, `1:02:03.5`, `02:03,5`; days need hours, minutes need two digits of seconds. */
const CLOCK = /^(?:(-?\d+) days?,? \+?)?(?:(\d+):)?(\d{1,2}):(\d\d)(?:[.,](\d+))?$/;
/** ISO 8601, as pandas writes a Timedelta to JSON. */
const DURATION = /^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$/;

/**
 * Seconds (`12.5`, `1e-05`), a clock time (`1:02:03.5`, `02:03,5`), a pandas Timedelta (`0 days 00:00:01.500000`) or an
 * ISO 8601 duration (`P0DT0H0M1.5S`) in seconds; undefined for anything else, and for negative times.
 * @param decimalComma also accept `12,5`, as in tables whose separator is not a comma
 */
export function parseTimeSec(text: string, decimalComma = false): number | undefined {
  const number = numberOf(text, decimalComma);
  if (number !== undefined) return number >= 0 && Number.isFinite(number) ? Math.abs(number) : undefined;
  const clock = CLOCK.exec(text.trim());
  if (clock) {
    const [, days = '0', hours, minutes, seconds, fraction = '0'] = clock;
    const isInRange = Number(seconds) < 60 && (hours === undefined || Number(minutes) < 60);
    if (!isInRange || days.startsWith('-')) return undefined;
    const wholeSec =
      Number(days) * 86_400 + Number(hours ?? 0) * 3600 + Number(minutes) * 60 + Number(seconds);
    return Number(`${wholeSec}.${fraction}`);
  }
  const duration = DURATION.exec(text.trim());
  if (!duration || /[PT]$/.test(text.trim())) return undefined;
  const [, days = '0', hours = '0', minutes = '0', seconds = '0'] = duration;
  const [wholeSec, fraction = '0'] = seconds.split('.');
  const sec = Number(days) * 86_400 + Number(hours) * 3600 + Number(minutes) * 60 + Number(wholeSec);
  return Number(`${sec}.${fraction}`);
}

/** One way of writing a value. */
export interface Spelling {
  readonly value: string;
  readonly count: number;
}

/** Several spellings that are probably one value. */
export interface SpellingGroup {
  /** In order of first occurrence. */
  readonly spellings: readonly Spelling[];
  /** The one to keep: the most frequent, or the first of several equally frequent ones. */
  readonly kept: string;
}

/** Cyrillic and Greek letters that look like a Latin one. */
const LOOK_ALIKES: Readonly<Record<string, string>> = Object.fromEntries(
  [
    ['аеорсухіјѕԁһԛԝАВЕКМНОРСТУХІЈЅ', 'aeopcyxijsdhqwABEKMHOPCTYXIJS'],
    ['οιΑΒΕΖΗΙΚΜΝΟΡΤΥΧ', 'oiABEZHIKMNOPTYX'],
  ].flatMap(([from, to]) => [...from!].map((letter, index) => [letter, to![index]!])),
);

/**
 * A canonical form, equal for values that look or mean the same. Applies Unicode NFKC (full-width letters, no-break
 * spaces, composition); removes invisible characters and case; unifies spaces, dashes and apostrophes; writes numbers
 * by value; and replaces look-alikes by Latin letters in words that mix scripts.
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

/**
 * `0.0`, `+0`, `00`, `0,0` and `0e0` as one text; undefined if it is not a number, or has more digits than a double.
 */
function canonicalNumber(text: string): string | undefined {
  const point = text.replace(',', '.');
  if (!/^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(point)) return undefined;
  const digits = point.replace(/e.*$/i, '').replace(/[^\d]/g, '').replace(/^0+/, '');
  const number = Number(point);
  if (digits.length > 15 || !Number.isFinite(number)) return undefined;
  return String(number + 0); // -0 is 0
}

/** The groups of values that look or mean the same but have several spellings, each with its count. */
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

/** `"happy" (12) and "Happy" (3)`, with codes for invisible characters. */
export function describeSpellings({ spellings }: SpellingGroup): string {
  return spellings.map(({ value, count }) => `${shownSpelling(value)} (${count})`).join(' and ');
}

/**
 * A quoted value, with codes for invisible characters, unusual spaces, combining accents and letters of mixed scripts.
 */
export function shownSpelling(value: string): string {
  const isMixed = /\p{Script=Latin}/u.test(value) && /[\p{Script=Cyrillic}\p{Script=Greek}]/u.test(value);
  const hidden = isMixed
    ? /[\p{Cf}\p{Default_Ignorable_Code_Point}\p{Zs}\p{M}\p{Script=Cyrillic}\p{Script=Greek}]/gu
    : /[\p{Cf}\p{Default_Ignorable_Code_Point}\p{Zs}\p{M}]/gu;
  return JSON.stringify(value).replace(hidden, (letter) =>
    letter === ' ' ? letter : `\\u${letter.codePointAt(0)!.toString(16).padStart(4, '0')}`,
  );
}

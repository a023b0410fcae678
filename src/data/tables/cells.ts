/** @file What single cells of a table hold: nothing, a number as spreadsheets write it, or something nested. */

/** What pandas, R, SQL and spreadsheets write where a value is missing; exactly so, since `Nan` is also a name. */
const MISSING: ReadonlySet<string> = new Set([
  ...['nan', 'NaN', '-nan', '-NaN', 'NaT', '<NA>', 'NA', 'N/A', 'n/a', 'None', 'NULL', 'null'],
  ...['#N/A', '#N/A N/A', '#NA', '#REF!', '#VALUE!', '#NAME?', '#DIV/0!', '#NULL!', '#NUM!'],
]);

/** Of them those that nobody says: `None` and `NA` may be somebody's answer in a transcript. */
const NEVER_SAID: ReadonlySet<string> = new Set(
  [...MISSING].filter((word) => !['None', 'NA', 'null', 'n/a', 'N/A'].includes(word)),
);

/** Format characters that show nothing: zero-width spaces and joiners, byte-order marks, soft hyphens, text directions. */
const INVISIBLE = /\p{Default_Ignorable_Code_Point}|\p{Cf}/gu;

/** The text without characters that show nothing. */
export function withoutInvisible(text: string): string {
  return text.replace(INVISIBLE, '');
}

/** True for an empty cell, also where it holds spaces and characters that show nothing. */
export function isBlank(cell: string): boolean {
  return withoutInvisible(cell).trim() === '';
}

/** True for a blank cell and for a word that stands for a missing value, such as `NaN` or `#N/A`. */
export function isMissing(cell: string): boolean {
  return MISSING.has(cell.trim()) || isBlank(cell);
}

/** The cell without outer spaces; '' where the value is missing. */
export function cellValue(cell: string | undefined): string {
  return cell === undefined || isMissing(cell) ? '' : cell.trim();
}

/** A transcript: '' where it is blank or a word that nobody says, such as `nan`. */
export function transcriptOf(cell: string | undefined): string {
  return cell === undefined || isBlank(cell) || NEVER_SAID.has(cell.trim()) ? '' : cell.trim();
}

/**
 * A number as programs write it: `0.5`, `.5`, `1e-05`; undefined where it is none.
 * @param decimalComma also `0,5`, as in tables whose fields something else than commas separates.
 */
export function numberOf(cell: string, decimalComma: boolean): number | undefined {
  const text = cell.trim();
  const plain = decimalComma && /^[^.,]*,[^.,]*$/.test(text) ? text.replace(',', '.') : text;
  return /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(plain) ? Number(plain) : undefined;
}

/** True for a JSON object or array, or a Python list, tuple or dictionary, where one value is wanted. */
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

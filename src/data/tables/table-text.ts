/**
 * @file Decodes the text of a table, in UTF-8 or the UTF-16 that spreadsheets write, and rejects files that are not
 * text.
 */

import { readFile, stat } from 'node:fs/promises';
import { errorMessage, InputError } from '../../base/index.js';
import { adviceFor, adviceForFolder, formatOfBytes, formatOfText, type TableUse } from './table-advice.js';

/**
 * Reads a table's bytes.
 * @throws InputError when the file does not exist, and for anything that is not a table (a recording, a folder, a URL,
 *   a spreadsheet, an archive), each with advice
 */
export async function readTableBytes(path: string, use: TableUse): Promise<Buffer> {
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(path)) throw new InputError(adviceFor({ kind: 'address' }, path, use));
  const entry = await stat(path).catch(() => undefined);
  if (entry?.isDirectory()) throw new InputError(await adviceForFolder(path, use));
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw new InputError(`${use.what} ${path} ${whyUnread(error)}`);
  }
  const format = formatOfBytes(bytes);
  if (format !== undefined) throw new InputError(adviceFor(format, path, use));
  return bytes;
}

/** True for an error of the file system that says that there is nothing of that name. */
export function isAbsent(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');
}

/** Why a file or a folder cannot be read; follows its name in the message. */
export function whyUnread(error: unknown): string {
  return isAbsent(error) ? 'does not exist' : `cannot be read: ${errorMessage(error)}`;
}

/**
 * Reads a table's text, without its byte-order mark.
 * @throws InputError as `readTableBytes`, and for text that is neither UTF-8 nor UTF-16, with its first invalid line
 */
export async function readTableText(path: string, use: TableUse): Promise<string> {
  const text = decodeText(path, await readTableBytes(path, use));
  const format = formatOfText(text);
  if (format !== undefined && format.kind !== use.format) throw new InputError(adviceFor(format, path, use));
  const at = text.indexOf('\0');
  if (at < 0) return text;
  throw new InputError(
    `${path}, line ${text.slice(0, at).split(/\r\n?|\n/).length}: contains a zero byte, so it is not text; save the table as UTF-8`,
  );
}

/** @throws InputError with file and line for text that is neither UTF-8 nor UTF-16 */
function decodeText(path: string, bytes: Buffer): string {
  const encoding = encodingOf(bytes);
  if (encoding === 'utf-32') throw new InputError(`${path} is UTF-32 text; save it as UTF-8`);
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes); // strips the byte-order mark
  } catch {
    throw new InputError(
      encoding === 'utf-8'
        ? `${path}, line ${firstBadLine(bytes)}: not UTF-8 text (Windows-1252, perhaps); save it as UTF-8`
        : `${path} begins as UTF-16 text and is damaged; save it as UTF-8`,
    );
  }
}

/** The encoding of a text by its first bytes: the byte-order mark; without one, UTF-16 shows by the zero bytes of the Latin letters in the header. */
export function encodingOf(bytes: Buffer): 'utf-8' | 'utf-16le' | 'utf-16be' | 'utf-32' {
  const [a, b, c, d] = bytes;
  if ((a === 0xff && b === 0xfe && c === 0 && d === 0) || (a === 0 && b === 0 && c === 0xfe && d === 0xff)) {
    return 'utf-32';
  }
  if (a === 0xff && b === 0xfe) return 'utf-16le';
  if (a === 0xfe && b === 0xff) return 'utf-16be';
  const isLatin = (byte: number | undefined): boolean => byte !== undefined && byte > 8 && byte < 127;
  if (isLatin(a) && b === 0 && isLatin(c) && d === 0) return 'utf-16le';
  if (a === 0 && isLatin(b) && c === 0 && isLatin(d)) return 'utf-16be';
  return 'utf-8';
}

function firstBadLine(bytes: Buffer): number {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let line = 1;
  for (let start = 0; start < bytes.length; line++) {
    const end = endOfLine(bytes, start);
    try {
      decoder.decode(bytes.subarray(start, end));
    } catch {
      return line;
    }
    start = end;
  }
  return line;
}

export const LINE_FEED = 0x0a;
export const CARRIAGE_RETURN = 0x0d;

/** Just after the end of the line that begins at `start`, whichever line end it has. */
export function endOfLine(bytes: Buffer, start: number): number {
  for (let at = start; at < bytes.length; at++) {
    if (bytes[at] === LINE_FEED) return at + 1;
    if (bytes[at] === CARRIAGE_RETURN) return bytes[at + 1] === LINE_FEED ? at + 2 : at + 1;
  }
  return bytes.length;
}

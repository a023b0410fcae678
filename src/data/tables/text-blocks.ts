/**
 * @file Streams the text of a table in blocks of whole lines, so that memory does not grow with the file. Lines that
 * are not valid text are marked instead of ending the reading.
 */

import type { Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import { InputError, lineError } from '../../base/index.js';
import { adviceFor, adviceForFolder, formatOfBytes, type TableUse } from './table-advice.js';
import { CARRIAGE_RETURN, encodingOf, endOfLine, LINE_FEED, whyUnread } from './table-text.js';

/** Whole lines, with `\n` line ends; the last line of a file may have none. */
export interface TextBlock {
  readonly text: string;
  /** Number of its first line in the file, from 1. */
  readonly firstLine: number;
  /** Numbers of the lines that are not UTF-8; their invalid bytes are U+FFFD. */
  readonly badLines: ReadonlySet<number>;
}

/** A longer line, or a longer quoted field, is not one of a table. */
export const LONGEST_RECORD = 1 << 24;
const CHUNK_BYTES = 1 << 18;

/** The first bytes of a file: enough for its format, its encoding and its header. */
const HEAD_BYTES = 1 << 16;

/**
 * The first bytes of a table.
 * @throws InputError when the file does not exist, and for anything that is not text (a recording, a folder, a URL, a
 *   spreadsheet), each with advice
 */
export async function tableHead(path: string, use: TableUse): Promise<Buffer> {
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(path)) throw new InputError(adviceFor({ kind: 'address' }, path, use));
  const entry = await stat(path).catch(() => undefined);
  if (entry?.isDirectory()) throw new InputError(await adviceForFolder(path, use));
  let head: Buffer;
  try {
    head = await headOf(path);
    // Which kind of zip file it is, stands at its end.
    if (head.toString('latin1', 0, 2) === 'PK') head = await readFile(path);
  } catch (error) {
    throw new InputError(`${use.what} ${path} ${whyUnread(error)}`);
  }
  const format = formatOfBytes(head);
  if (format !== undefined) throw new InputError(adviceFor(format, path, use));
  if (encodingOf(head) === 'utf-32') throw new InputError(`${path} is UTF-32 text; save it as UTF-8`);
  return head;
}

/** The first bytes of a file. */
export async function headOf(path: string): Promise<Buffer> {
  const handle = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/**
 * The text of a file in UTF-8 or UTF-16, without its byte-order mark.
 * @param hash is updated with every byte
 * @throws InputError with file and line for a zero byte and for an endless line; for damaged UTF-16
 */
export async function* textBlocks(path: string, hash?: Hash): AsyncGenerator<TextBlock> {
  const encoding = encodingOf(await headOf(path));
  let line = 1;
  const lines = encoding === 'utf-8' ? utf8Lines(path, hash) : utf16Lines(path, encoding, hash);
  for await (const { text, bad } of lines) {
    const plain = text.replace(/\r\n?/g, '\n');
    const zero = plain.indexOf('\0');
    if (zero >= 0) {
      const at = line + countOf(plain.slice(0, zero));
      throw lineError(path, at, 'contains a zero byte, so it is not text; save the table as UTF-8');
    }
    yield { text: plain, firstLine: line, badLines: new Set(bad.map((index) => line + index)) };
    line += countOf(plain);
  }
}

interface Lines {
  readonly text: string;
  /** Indices of the lines that are not valid. */
  readonly bad: readonly number[];
}

async function* utf8Lines(path: string, hash: Hash | undefined): AsyncGenerator<Lines> {
  let rest: Buffer = Buffer.alloc(0);
  let isFirst = true;
  const decoded = (bytes: Buffer): Lines => {
    const start = isFirst && bytes.indexOf('\ufeff') === 0 ? 3 : 0;
    isFirst = false;
    return decodeUtf8(bytes.subarray(start));
  };
  for await (const chunk of createReadStream(path, { highWaterMark: CHUNK_BYTES })) {
    hash?.update(chunk as Buffer);
    const bytes = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer]);
    const end = endOfLines(bytes);
    if (end > 0) yield decoded(bytes.subarray(0, end));
    rest = bytes.subarray(end);
    if (rest.length > LONGEST_RECORD)
      throw new InputError(`${path} has a line of over 16 MiB; is it a table?`);
  }
  if (rest.length > 0) yield decoded(rest);
}

/** Just after the last line end; files of some programs have only carriage returns. */
function endOfLines(bytes: Buffer): number {
  const lineFeed = bytes.lastIndexOf(LINE_FEED) + 1;
  if (lineFeed > 0 || bytes.length < CHUNK_BYTES) return lineFeed;
  return bytes.subarray(0, bytes.length - 1).lastIndexOf(CARRIAGE_RETURN) + 1;
}

function decodeUtf8(bytes: Buffer): Lines {
  const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  try {
    return { text: strict.decode(bytes), bad: [] };
  } catch {
    const texts: string[] = [];
    const bad: number[] = [];
    for (let start = 0; start < bytes.length; ) {
      const line = bytes.subarray(start, endOfLine(bytes, start));
      try {
        texts.push(strict.decode(line));
      } catch {
        bad.push(texts.length);
        texts.push(line.toString('utf8'));
      }
      start += line.length;
    }
    return { text: texts.join(''), bad };
  }
}

async function* utf16Lines(path: string, encoding: string, hash: Hash | undefined): AsyncGenerator<Lines> {
  const decoder = new TextDecoder(encoding, { fatal: true });
  let rest = '';
  const decode = (bytes?: Buffer): string => {
    try {
      return bytes === undefined ? decoder.decode() : decoder.decode(bytes, { stream: true });
    } catch {
      throw new InputError(`${path} begins as UTF-16 text and is damaged; save it as UTF-8`);
    }
  };
  for await (const chunk of createReadStream(path, { highWaterMark: CHUNK_BYTES })) {
    hash?.update(chunk as Buffer);
    rest += decode(chunk as Buffer);
    const end = rest.lastIndexOf('\n') + 1;
    if (end > 0) yield { text: rest.slice(0, end), bad: [] };
    rest = rest.slice(end);
    if (rest.length > LONGEST_RECORD)
      throw new InputError(`${path} has a line of over 16 MiB; is it a table?`);
  }
  rest += decode();
  if (rest !== '') yield { text: rest, bad: [] };
}

/** The number of line ends. */
export function countOf(text: string, from = 0, to = text.length): number {
  let count = 0;
  for (let i = text.indexOf('\n', from); i >= 0 && i < to; i = text.indexOf('\n', i + 1)) count++;
  return count;
}

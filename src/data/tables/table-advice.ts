/**
 * @file Recognises files that were given as a table but are something else, by their first bytes rather than their
 * name, and advises what to do: one line, with a working command where possible.
 */

import { readdir } from 'node:fs/promises';
import { basename, dirname, extname, isAbsolute, join } from 'node:path';

/** What a table is for, as worded in messages. */
export interface TableUse {
  /** 'CSV file', 'predictions file'. */
  readonly what: string;
  /** Required columns, for an example header. */
  readonly columns: readonly string[];
  /** The column that names a recording. */
  readonly recordings?: string;
  /** The other supported format besides CSV. */
  readonly format?: 'jsonl';
}

/** One line: what the file is, and how to get a table. */
export function adviceFor(format: OtherFormat, path: string, use: TableUse): string {
  const name = shellWord(basename(path));
  const needs = `${use.what} ${path}`;
  switch (format.kind) {
    case 'audio':
      return `${path} is a recording (${format.name}), not a table; ${exampleTable(use, path)}`;
    case 'spreadsheet':
      return `${path} is a spreadsheet (${format.name}), not a CSV; save it as "CSV UTF-8" and name that file`;
    case 'data':
      return `${path} is a ${format.name} file, not a CSV; write it as one with pandas (to_csv with index=False) and name that file`;
    case 'compressed':
      return `${path} is compressed (${format.name}); unpack it first, such as ${unpacking(format.name, path)}, and name what comes out`;
    case 'archive':
      return `${path} is an archive (${format.name}); unpack it and name the CSV that is in it, or make one of the files in it`;
    case 'document':
      return `${path} is a ${format.name}, not a CSV; ${exampleTable(use)}`;
    case 'json':
      return `${path} is JSON, not ${use.format === undefined ? 'CSV' : 'CSV or JSON Lines'}; write it as CSV with pandas: python3 -c ${shellWord(`import pandas; pandas.read_json(${JSON.stringify(path)}).to_csv("table.csv", index=False)`)}`;
    case 'jsonl':
      return use.format === undefined && use.what === PREDICTIONS
        ? `${path} is JSON Lines; give it a name that ends in .jsonl: cp ${shellWord(path)} ${name}.jsonl`
        : `${path} is JSON Lines, not CSV; write it as CSV with pandas: python3 -c ${shellWord(`import pandas; pandas.read_json(${JSON.stringify(path)}, lines=True).to_csv("table.csv", index=False)`)}`;
    case 'html':
      return `${path} is a web page or XML, not a CSV: a download that failed, perhaps; get the file itself`;
    case 'address':
      return `${needs} is a URL; download it first, such as curl -LO ${shellWord(path)}, and name the copy`;
  }
}

/** For files whose rows are predictions. */
export const PREDICTIONS = 'predictions file';

/** One line for a folder given instead of a table: the table in it, or how to list its recordings. */
export async function adviceForFolder(path: string, use: TableUse): Promise<string> {
  const names = await readdir(path, { recursive: true }).catch((): string[] => []);
  const tables = names.filter((name) => /\.(?:csv|tsv|jsonl)$/i.test(name)).sort(byDepth);
  const preferred = tables.find((name) => /(?:^|[/\\])(?:manifest|metadata|predictions)\.csv$/i.test(name));
  const table = preferred ?? tables[0];
  if (table !== undefined) return `${path} is a folder; name a table in it, such as ${join(path, table)}`;
  const endings = names.filter((name) => AUDIO_NAME.test(name)).map((name) => extname(name));
  const ending = mostFrequent(endings);
  if (ending === undefined) return `${path} is a folder without tables and recordings; name a ${use.what}`;
  const { recordings } = use;
  if (recordings === undefined) return `${path} is a folder of recordings; name a ${use.what}`;
  const more = use.columns.filter((column) => column !== recordings);
  const then =
    more.length > 0 ? `, and add ${more.length > 1 ? 'columns' : 'a column'} ${more.join(', ')}` : '';
  return `${path} is a folder; list its recordings in a CSV: (echo ${shellWord(recordings)}; find -H ${shellWord(path)} -name '*${ending}' | sed 's/"/""/g; s/.*/"&"/') > table.csv${then}`;
}

/** Maximum number of files that a command lists one by one. */
const NAMED = 5;

/** One line for several files given instead of one table: how to list them in one. */
export function adviceForSeveral(
  paths: readonly string[],
  { columns, recordings = 'path' }: TableUse,
): string {
  const [first] = paths;
  const ending = extname(first!);
  const pattern = `${shellWord(dirname(first!)).replace(/^\.$/, '')}/*${ending && shellWord(ending)}`.replace(
    /^\//,
    '',
  );
  const isOneKind = paths.every(
    (path) => dirname(path) === dirname(first!) && extname(path) === ending && !path.includes('"'),
  );
  const named =
    paths.length > NAMED && isOneKind && !isAbsolute(first!)
      ? pattern
      : paths.map((path) => shellWord(path.replaceAll('"', '""'))).join(' ');
  const more = columns.filter((column) => column !== recordings);
  const then = more.length > 0 ? `, with ${more.join(' and ')} beside them` : '';
  return `expected one table, got ${paths.length} files; list them in a CSV and name that${then}: (echo ${shellWord(recordings)}; printf '"%s"\\n' ${named}) > table.csv`;
}

/** "make a CSV with the columns path and label, such as: printf ..." */
function exampleTable({ what, columns, recordings }: TableUse, recording?: string): string {
  const names = `${columns.length > 1 ? 'columns' : 'a column'} ${columns.join(' and ')}`;
  if (recordings === undefined) return `name a ${what} with ${names}`;
  const row = columns.map((column) => (column === recordings ? (recording ?? 'clip.wav') : 'happy'));
  const lines = [columns, row].map((fields) => shellWord(fields.map(csvField).join(',')));
  return `make a CSV with ${names} and name that: printf '%s\\n' ${lines.join(' ')} > table.csv`;
}

/** A CSV field. */
function csvField(value: string): string {
  return /[",\n]|^\s|\s$/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
}

/** Quotes a word for a POSIX shell. */
export function shellWord(text: string): string {
  return /^[\w./,:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

function unpacking(format: string, path: string): string {
  const command = { gzip: 'gunzip -k', bzip2: 'bunzip2 -k', xz: 'unxz -k', zstd: 'unzstd' }[format];
  if (/\.(?:tar\.\w+|tgz|tbz2?|txz)$/i.test(path)) return `tar -xf ${shellWord(path)}`;
  return `${command} ${shellWord(path)}`;
}

function byDepth(a: string, b: string): number {
  const depth = (name: string): number => name.split(/[/\\]/).length;
  return depth(a) - depth(b) || (a < b ? -1 : 1);
}

function mostFrequent(values: readonly string[]): string | undefined {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a)[0]?.[0];
}

/** A format that is not a table. */
export type OtherFormat =
  | { readonly kind: 'audio'; readonly name: string }
  | { readonly kind: 'spreadsheet' | 'data' | 'archive' | 'compressed' | 'document'; readonly name: string }
  | { readonly kind: 'jsonl' | 'json' | 'html' | 'address' };

type Signature = readonly [bytes: string, format: OtherFormat, offset?: number];

const audio = (name: string): OtherFormat => ({ kind: 'audio', name });
const archive = (name: string): OtherFormat => ({ kind: 'archive', name });
const compressed = (name: string): OtherFormat => ({ kind: 'compressed', name });
const data = (name: string): OtherFormat => ({ kind: 'data', name });
const document = (name: string): OtherFormat => ({ kind: 'document', name });

/** First bytes, as Latin-1 text. */
const SIGNATURES: readonly Signature[] = [
  ['RIFF', audio('WAV')],
  ['RIFX', audio('WAV')],
  ['RF64', audio('WAV')],
  ['riff', audio('Wave64')],
  ['fLaC', audio('FLAC')],
  ['ID3', audio('MP3')],
  ['OggS', audio('Ogg')],
  ['FORM', audio('AIFF')],
  ['caff', audio('Core Audio')],
  ['.snd', audio('Sun audio')],
  ['#!AMR', audio('AMR')],
  ['MAC ', audio("Monkey's Audio")],
  ['wvpk', audio('WavPack')],
  ['NIST_1A', audio('NIST SPHERE')],
  ['ftyp', audio('MP4'), 4],
  ['\x1aE\xdf\xa3', audio('Matroska or WebM')],
  ['0&\xb2u\x8ef\xcf\x11', audio('Windows Media')],
  ['FLV\x01', audio('Flash video')],
  ['\0\0\x01\xba', audio('MPEG')],
  ['\x1f\x8b', compressed('gzip')],
  ['BZh', compressed('bzip2')],
  ['\xfd7zXZ\0', compressed('xz')],
  ['(\xb5/\xfd', compressed('zstd')],
  ["7z\xbc\xaf'\x1c", archive('7z')],
  ['Rar!\x1a\x07', archive('RAR')],
  ['ustar', archive('tar'), 257],
  ['\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1', { kind: 'spreadsheet', name: 'Excel' }],
  ['PAR1', data('Parquet')],
  ['ARROW1', data('Arrow')],
  ['FEA1', data('Feather')],
  ['\x89HDF\r\n\x1a\n', data('HDF5')],
  ['SQLite format 3\0', data('SQLite')],
  ['\x93NUMPY', data('NumPy')],
  ['Obj\x01', data('Avro')],
  ['%PDF-', document('PDF')],
  ['\x89PNG\r\n', document('PNG image')],
  ['\xff\xd8\xff', document('JPEG image')],
  ['\x7fELF', document('program')],
];

/** The format of bytes that are not text; undefined if they may be text. */
export function formatOfBytes(bytes: Buffer): OtherFormat | undefined {
  const head = bytes.toString('latin1', 0, 512);
  if (head.startsWith('PK\x03\x04')) return zipFormat(bytes);
  if (head.startsWith('RIFF') && head.startsWith('AVI ', 8)) return audio('AVI');
  const found = SIGNATURES.find(([start, , offset = 0]) => head.startsWith(start, offset));
  // Text may also begin with some of these letters: a header `FORM,label` is not AIFF.
  if (found && (/[^\x20-\x7e]/.test(found[0]) || found[0] === 'NIST_1A' || looksBinary(bytes)))
    return found[1];
  if (bytes[0] === 0x80 && bytes[1]! >= 2 && bytes[1]! <= 5) return data('pickle');
  // Packets of a transport stream are 188 bytes long and begin with a G.
  if ([0, 188, 376].every((at) => bytes[at] === 0x47) && looksBinary(bytes)) return audio('MPEG');
  return isMpegFrame(bytes) ? audio('MPEG audio') : undefined;
}

/** The format of text that is not a table; undefined if it may be one. */
export function formatOfText(text: string): OtherFormat | undefined {
  const start = text.slice(0, 4096).trimStart();
  if (/^<(?:!doctype html|html|\?xml)/i.test(start)) return { kind: 'html' };
  if (!/^[[{]/.test(start)) return undefined;
  const parsed = (source: string): unknown => {
    try {
      return JSON.parse(source);
    } catch {
      return undefined;
    }
  };
  const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null;
  if (start.startsWith('{') && isObject(parsed(text.trimStart().split('\n', 1)[0]!))) {
    return { kind: 'jsonl' };
  }
  const whole = parsed(text); // undefined for the beginning of a long file
  const isList = Array.isArray(whole) ? whole.every(isObject) : /^\[\s*\{\s*"/.test(start);
  const isJson = isList || (isObject(whole) && !Array.isArray(whole));
  return isJson ? { kind: 'json' } : undefined;
}

/** Spreadsheets are zip files too. */
function zipFormat(bytes: Buffer): OtherFormat {
  const has = (name: string): boolean => bytes.includes(name);
  if (has('xl/workbook') || has('xl/worksheets')) return { kind: 'spreadsheet', name: 'Excel' };
  if (has('opendocument.spreadsheet')) return { kind: 'spreadsheet', name: 'LibreOffice' };
  if (has('Index/Document.iwa')) return { kind: 'spreadsheet', name: 'Numbers' };
  if (has('word/document.xml')) return document('Word document');
  if (has('.npy')) return data('NumPy');
  return archive('zip');
}

/**
 * Zeros and control characters in the first bytes, which do not occur in text; UTF-16 begins with a byte-order mark or
 * a letter.
 */
function looksBinary(bytes: Buffer): boolean {
  const head = bytes.subarray(0, 512);
  return head.some((byte) => byte < 9 || (byte > 13 && byte < 32)) || head.includes(0);
}

/** An MPEG audio frame without a preceding tag: 11 set bits, then a valid layer, bit rate and sampling rate. */
function isMpegFrame(bytes: Buffer): boolean {
  const [first = 0, second = 0, third = 0] = bytes;
  if (first !== 0xff || second < 0xe0 || second === 0xfe) return false; // FF FE is UTF-16
  const layer = (second >> 1) & 3;
  if (layer === 0) return (second & 0xf6) === 0xf0; // AAC in ADTS
  return (second & 0x18) !== 0x08 && third >> 4 !== 15 && ((third >> 2) & 3) !== 3;
}

/** Names of audio and video files, in formats that ffmpeg reads. */
export const AUDIO_NAME =
  /\.(?:wav|wave|w64|rf64|flac|mp2|mp3|m4a|m4b|mp4|m4v|aac|ac3|ogg|oga|ogv|opus|spx|aif|aiff|aifc|au|snd|amr|awb|wma|wmv|webm|mka|mkv|mov|avi|flv|3gp|3g2|mpg|mpeg|sph|caf|ape|wv|tta|voc|gsm)$/i;

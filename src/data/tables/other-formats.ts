/** @file What a file is that was given for a table and is none: told by its first bytes, whatever its name says. */

/** Something that is no table. */
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

/** What the bytes are where they are no text; undefined where they may be. */
export function formatOfBytes(bytes: Buffer): OtherFormat | undefined {
  const head = bytes.toString('latin1', 0, 512);
  if (head.startsWith('PK\x03\x04')) return zipFormat(bytes);
  if (head.startsWith('RIFF') && head.startsWith('AVI ', 8)) return audio('AVI');
  const found = SIGNATURES.find(([start, , offset = 0]) => head.startsWith(start, offset));
  // Text may begin with a few letters of these too: a header `FORM,label` is no AIFF.
  if (found && (/[^\x20-\x7e]/.test(found[0]) || found[0] === 'NIST_1A' || looksBinary(bytes)))
    return found[1];
  if (bytes[0] === 0x80 && bytes[1]! >= 2 && bytes[1]! <= 5) return data('pickle');
  // The packets of a transport stream are 188 bytes long and begin with a G.
  if ([0, 188, 376].every((at) => bytes[at] === 0x47) && looksBinary(bytes)) return audio('MPEG');
  return isMpegFrame(bytes) ? audio('MPEG audio') : undefined;
}

/** A text that is no table; undefined where it may be one. */
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
  const whole = parsed(text);
  const isJson = Array.isArray(whole) ? whole.every(isObject) : isObject(whole);
  return isJson ? { kind: 'json' } : undefined;
}

/** A zip is also what spreadsheets are packed in. */
function zipFormat(bytes: Buffer): OtherFormat {
  const has = (name: string): boolean => bytes.includes(name);
  if (has('xl/workbook') || has('xl/worksheets')) return { kind: 'spreadsheet', name: 'Excel' };
  if (has('opendocument.spreadsheet')) return { kind: 'spreadsheet', name: 'LibreOffice' };
  if (has('Index/Document.iwa')) return { kind: 'spreadsheet', name: 'Numbers' };
  if (has('word/document.xml')) return document('Word document');
  if (has('.npy')) return data('NumPy');
  return archive('zip');
}

/** Zeros and control characters within the first bytes, which no text has; UTF-16 begins with a mark or a letter. */
function looksBinary(bytes: Buffer): boolean {
  const head = bytes.subarray(0, 512);
  return head.some((byte) => byte < 9 || (byte > 13 && byte < 32)) || head.includes(0);
}

/** An MPEG audio frame without a tag before it: 11 bits of ones, then layer, bit rate and sampling rate that exist. */
function isMpegFrame(bytes: Buffer): boolean {
  const [first = 0, second = 0, third = 0] = bytes;
  if (first !== 0xff || second < 0xe0 || second === 0xfe) return false; // FF FE is UTF-16
  const layer = (second >> 1) & 3;
  if (layer === 0) return (second & 0xf6) === 0xf0; // AAC in ADTS
  return (second & 0x18) !== 0x08 && third >> 4 !== 15 && ((third >> 2) & 3) !== 3;
}

/** Names of audio and video files. */
export const AUDIO_NAME =
  /\.(?:wav|wave|flac|mp3|m4a|mp4|aac|ogg|oga|opus|aif|aiff|aifc|au|snd|amr|wma|webm|mkv|mov|avi|3gp|sph|w64|caf)$/i;

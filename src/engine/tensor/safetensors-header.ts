/**
 * @file The JSON header of a safetensors file: the type, shape and offset of each tensor.
 *
 * Follows the format's specification and reference reader: the header begins with '{', keys are unique, and the tensors
 * fill the data section without gaps, overlaps or trailing bytes. Only the limit on the header's length is lower than
 * the 100 MB of the specification: parsed JSON can take 65 times the space of its text, and a header of 2 MB names some
 * 15,000 tensors, where a model of 72 billion parameters has 1,000.
 */

import { errorMessage, type InputError, quoted, repeatedKey } from '../../base/index.js';
import { type DType, dtypeInfo, dtypes } from './dtype.js';
import { elementCount } from './tensor.js';

/** Location of one tensor in a file. */
export interface SafetensorsEntry {
  dtype: DType;
  shape: number[];
  /** Absolute byte offset in the file. */
  offset: number;
  byteLength: number;
}

/** Size of the length field that precedes the header. */
export const LENGTH_BYTES = 8;
export const MAX_HEADER_BYTES = 2_000_000;
export const METADATA_KEY = '__metadata__';

const dtypeOfName = new Map(dtypes.map((dtype) => [dtypeInfo[dtype].safetensors as string, dtype]));

/** Makes an error that says what is wrong with the file. */
type Fail = (why: string) => InputError;

/**
 * Parses and validates a header. `entries` are in the order of the data, `end` is the file offset where they end.
 * @param dataStart file offset of the data section
 */
export function parseHeader(
  bytes: Uint8Array,
  dataStart: number,
  fail: Fail,
): { entries: Map<string, SafetensorsEntry>; metadata: Record<string, string>; end: number } {
  const located: [string, SafetensorsEntry][] = [];
  let metadata: Record<string, string> = {};
  for (const [key, value] of Object.entries(parseJson(bytes, fail))) {
    if (key === METADATA_KEY) metadata = parseMetadata(value, fail);
    else located.push([key, parseEntry(key, value, dataStart, fail)]);
  }
  // At equal offsets, an empty tensor comes before a non-empty one.
  located.sort(([, a], [, b]) => a.offset - b.offset || a.byteLength - b.byteLength);
  let end = dataStart;
  for (const [key, { offset, byteLength }] of located) {
    if (offset !== end) {
      const fault =
        offset > end ? `leaves a gap of ${offset - end} bytes before` : 'overlaps the tensor before';
      throw fail(`${fault} tensor ${quoted(key)}`);
    }
    end += byteLength;
  }
  return { entries: new Map(located), metadata, end };
}

function parseJson(bytes: Uint8Array, fail: Fail): object {
  if (bytes.length > 0 && bytes[0] !== 0x7b) throw fail("has a header that does not begin with '{'");
  let text: string;
  let json: object;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    json = JSON.parse(text);
  } catch (error) {
    throw fail(`has a header that is not JSON text: ${oneLine(errorMessage(error))}`);
  }
  const twice = repeatedKey(text);
  if (twice !== undefined) throw fail(`has the key ${quoted(twice)} twice in one object of its header`);
  return json;
}

function parseMetadata(value: unknown, fail: Fail): Record<string, string> {
  if (!isObject(value) || Object.values(value).some((item) => typeof item !== 'string')) {
    throw fail(`has a ${METADATA_KEY} that is not an object of strings`);
  }
  return value as Record<string, string>;
}

function parseEntry(key: string, value: unknown, dataStart: number, fail: Fail): SafetensorsEntry {
  const where = `tensor ${quoted(key)}`;
  if (!isObject(value)) throw fail(`has no dtype, shape and data_offsets for ${where}`);
  const { dtype: name, shape, data_offsets: offsets } = value as Record<string, unknown>;
  const dtype = typeof name === 'string' ? dtypeOfName.get(name) : undefined;
  if (!dtype) {
    const known = [...dtypeOfName.keys()].join(', ');
    throw fail(`has dtype ${quoted(name)} for ${where}; what can be read is ${known}`);
  }
  if (!isNaturals(shape)) throw fail(`has shape ${quoted(shape)} for ${where}, not a list of sizes`);
  if (!isNaturals(offsets) || offsets.length !== 2) {
    throw fail(`has data_offsets ${quoted(offsets)} for ${where}, not [begin, end]`);
  }
  const [begin, end] = offsets as [number, number];
  if (end < begin) throw fail(`has data_offsets that end before they begin for ${where}: [${begin}, ${end}]`);
  const byteLength = elementCount(shape) * dtypeInfo[dtype].bytes;
  if (end - begin !== byteLength) {
    throw fail(
      `has ${end - begin} bytes for ${where}; ${name} of shape ${quoted(shape)} takes ${byteLength}`,
    );
  }
  return { dtype, shape, offset: dataStart + begin, byteLength };
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isNaturals(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').slice(0, 160);
}

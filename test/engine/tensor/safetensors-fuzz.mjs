/**
 * @file Fuzzes safetensors files. Each must give a one-line InputError if an independent strict reader finds a fault
 * too, and otherwise exactly that reader's tensors.
 *
 *     node --expose-gc safetensors-fuzz.mjs TRIALS SEED FOLDER
 */

import { strict as assert } from 'node:assert';
import { isUtf8 } from 'node:buffer';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { InputError } from '../../../dist/base/index.js';
import { readSafetensors, readSafetensorsHeader, seededRandom } from '../../../dist/engine/tensor/index.js';
import { damagedBytes, nonsenseText, peakMiB } from '../../fuzz/mutations.mjs';
import { cpuSecSince } from '../../fuzz/processor-time.mjs';
import { hasDoubledKey, Members, strictJson } from '../../fuzz/strict-json.mjs';

const [trials, seed, folder] = [Number(process.argv[2]), Number(process.argv[3]), process.argv[4]];
const SIZES = { F32: 4, U8: 1, I8: 1, I32: 4, I64: 8, BOOL: 1, F16: 2, F64: 8, BF16: 2 };
const path = join(folder, 'damaged.safetensors');

/** A file from parts; `length` is the stored header length. */
function fileOf(header, data, length = BigInt(header.length)) {
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt.asUintN(64, length));
  return Buffer.concat([prefix, header, data]);
}

/** The tensors of a file by the rules of the format, read independently; undefined if it breaks them. */
function strictly(bytes) {
  if (bytes.length < 8) return undefined;
  const dataStart = 8n + bytes.readBigUInt64LE();
  if (dataStart > BigInt(bytes.length)) return undefined;
  const header = bytes.subarray(8, Number(dataStart));
  if (!isUtf8(header) || header[0] !== 0x7b) return undefined;
  const members = strictJson(header.toString('utf8'));
  if (members === undefined || hasDoubledKey(members)) return undefined;
  const data = bytes.subarray(Number(dataStart));
  const covered = [];
  const tensors = new Map();
  for (const [key, value] of members) {
    if (!(value instanceof Members)) return undefined;
    if (key === '__metadata__') {
      if (value.some(([, text]) => typeof text !== 'string')) return undefined;
      continue;
    }
    const { dtype, shape, data_offsets: offsets } = Object.fromEntries(value);
    const natural = (list) =>
      Array.isArray(list) &&
      !(list instanceof Members) &&
      list.every((item) => Number.isSafeInteger(item) && item >= 0);
    if (typeof dtype !== 'string' || !Object.hasOwn(SIZES, dtype)) return undefined;
    if (!natural(shape) || !natural(offsets)) return undefined;
    const [begin, end] = offsets;
    const count = shape.reduce((product, size) => product * BigInt(size), 1n);
    if (offsets.length !== 2 || BigInt(end) - BigInt(begin) !== count * BigInt(SIZES[dtype]))
      return undefined;
    if (end > data.length) return undefined;
    covered.push([begin, end]);
    tensors.set(key, { dtype, shape, bytes: data.subarray(begin, end) });
  }
  covered.sort(([a, b], [c, d]) => a - c || b - d);
  let reached = 0;
  for (const [begin, end] of covered) {
    if (begin !== reached) return undefined;
    reached = end;
  }
  return reached === data.length ? tensors : undefined;
}

/** A valid file: every dtype, empty tensors, a scalar, metadata, keys that need escapes. */
function soundFile(random) {
  const shapes = [[], [0], [3], [2, 2], [1, 0, 4], [5]];
  const entries = Object.keys(SIZES).map((dtype, index) => [`layer.${index}"é`, dtype, random.pick(shapes)]);
  let end = 0;
  const header = { __metadata__: { format: 'pt', note: 'a:"b",{}' } };
  for (const [key, dtype, shape] of random.shuffle(entries)) {
    const begin = end;
    end += SIZES[dtype] * shape.reduce((product, size) => product * size, 1);
    header[key] = { dtype, shape, data_offsets: [begin, end] };
  }
  return { header, data: Buffer.from(Array.from({ length: end }, () => random.integer(256))) };
}

/** The header's JSON text with one value, key or number replaced, duplicated or moved. */
function damagedHeader(header, random) {
  const keys = Object.keys(header);
  const key = random.pick(keys);
  const entry = header[key];
  const value = 'PLACEHOLDER'; // placeholder for a value until its text is inserted
  const fields = Object.keys(entry);
  const field = random.pick(fields);
  const replace = (changed, text) => JSON.stringify(changed).replace('"PLACEHOLDER"', () => text);
  const numbers = ['data_offsets', 'shape'].filter((name) => entry[name]?.length > 0);
  const number = numbers.length > 0 ? random.pick(numbers) : undefined;
  return random.pick([
    () => replace({ ...header, [key]: { ...entry, [field]: value } }, nonsenseText(random)),
    () => replace({ ...header, [key]: value }, nonsenseText(random)),
    () => replace({ ...header, [key]: { ...entry, more: value } }, nonsenseText(random)),
    () =>
      replace(
        { ...header, [random.pick(['', '__proto__', '__metadata__', 'k'.repeat(9999)])]: value },
        nonsenseText(random),
      ),
    () => {
      if (number === undefined) return JSON.stringify(header);
      const list = [...entry[number]];
      list[random.integer(list.length)] = value;
      return replace({ ...header, [key]: { ...entry, [number]: list } }, nonsenseText(random));
    },
    () => {
      const shift = random.pick([1, -1, 4, 8, 2 ** 31, 2 ** 53]);
      const offsets = entry.data_offsets?.map((at) => at + shift);
      return JSON.stringify({ ...header, [key]: { ...entry, data_offsets: offsets } });
    },
    () => JSON.stringify({ ...header, [key]: { ...entry, [field]: undefined } }),
    () => JSON.stringify({ ...header, [key]: header[random.pick(keys)] }),
    () => JSON.stringify(Object.fromEntries(random.shuffle(Object.entries(header)))),
    () => JSON.stringify(header, null, random.integer(3)) + ' '.repeat(random.integer(9)),
    () =>
      JSON.stringify(header).replace(
        /\}$/,
        `,${JSON.stringify(key)}:${JSON.stringify(header[random.pick(keys)])}}`,
      ),
    () => {
      const doubled = `{${JSON.stringify(field)}:${nonsenseText(random)},`;
      return JSON.stringify(header).replace(
        `${JSON.stringify(key)}:{`,
        () => `${JSON.stringify(key)}:${doubled}`,
      );
    },
    () =>
      JSON.stringify(header).replaceAll(
        random.pick(['e', 'a', '0', '"', ',', ':']),
        random.pick(['\\u0065', '', '00', "'", ' ']),
      ),
  ])();
}

function damagedFile(random) {
  const { header, data } = soundFile(random);
  const text = JSON.stringify(header);
  const sound = fileOf(Buffer.from(text), data);
  return random.pick([
    () => fileOf(Buffer.from(damagedHeader(header, random)), data),
    () => fileOf(Buffer.from(damagedHeader(header, random)), data),
    () => fileOf(Buffer.from(damagedHeader(header, random)), data),
    () => fileOf(damagedBytes(Buffer.from(text), random), data),
    () => damagedBytes(sound, random),
    () => damagedBytes(damagedBytes(sound, random), random),
    () => fileOf(Buffer.from(text), data, BigInt(text.length + random.integer(41) - 20)),
    () =>
      fileOf(
        Buffer.from(text),
        data,
        random.pick([0n, 1n, 2n ** 31n, 2n ** 53n, 2n ** 63n, -1n, 2_000_001n]),
      ),
    () => fileOf(Buffer.from(text), damagedBytes(data, random)),
  ])();
}

/** Headers at the size limit that take the most memory and time. */
function* enormousHeaders() {
  const size = 2_000_000;
  const repeated = (before, unit, after) => {
    const header = Buffer.alloc(size, unit);
    header.write(before);
    header.write(after, size - after.length);
    return header;
  };
  yield repeated('{"a":', '[', '');
  yield repeated('{"a":{"dtype":"F32","data_offsets":[0,0],"shape":', '[', '');
  yield repeated('{"a":{"dtype":"F32","data_offsets":[0,0],"shape":[0,', '0,', ' 0]}}');
  yield repeated('{"a":{"dtype":"F32","data_offsets":[0,0],"shape":[{},', '{},', '   0]}}');
  yield repeated('{"__metadata__":{"a":"', 'x', '"}}');
  yield repeated('{"', '\\n', '":1}');
  yield repeated('', '{"a":', '');
  for (const value of ['{"dtype":"U8","shape":[0],"data_offsets":[0,0]}', '{}']) {
    const header = Buffer.alloc(size, ' ');
    let length = header.write('{');
    for (let index = 0; length < size - 80; index++)
      length += header.write(`"${index.toString(36)}":${value},`, length);
    header.write('}', length - 1);
    yield header;
  }
}

async function check(bytes) {
  writeFileSync(path, bytes);
  const outcome = await readSafetensors(path).catch((error) => error);
  const expected = strictly(bytes);
  if (outcome instanceof Error) {
    assert.ok(outcome instanceof InputError, outcome.stack);
    assert.match(outcome.message, /^safetensors file \S+damaged\.safetensors [^\n]{1,1000}$/);
    assert.equal(expected, undefined, `a sound file is refused: ${outcome.message}`);
    return false;
  }
  assert.ok(expected, 'a broken file is read');
  assert.deepEqual([...outcome.tensors.keys()].sort(), [...expected.keys()].sort());
  for (const [key, { shape, data }] of outcome.tensors) {
    assert.deepEqual(shape.map(String), expected.get(key).shape.map(String), key);
    assert.ok(Buffer.from(data.buffer).equals(expected.get(key).bytes), `bytes of ${key}`);
  }
  return true;
}

const random = seededRandom(seed, 'safetensors');
assert.equal(
  await check(readFileSync(new URL('../../fixtures/safetensors/python.safetensors', import.meta.url))),
  true,
);
const baselineMiB = peakMiB();
let read = 0;
for (let trial = 0; trial < trials; trial++) {
  if (trial % 100 === 0) console.log(`trial ${trial}`);
  const bytes = damagedFile(random);
  try {
    if (await check(bytes)) read++;
  } catch (error) {
    writeFileSync(join(folder, 'found.safetensors'), bytes);
    throw new Error(`trial ${trial} of seed ${seed}: ${error.message}`, { cause: error });
  }
}
const manyMiB = peakMiB();
let longestSec = 0;
for (const header of enormousHeaders()) {
  writeFileSync(path, fileOf(header, Buffer.alloc(0)));
  globalThis.gc();
  const start = process.cpuUsage();
  const outcome = await readSafetensorsHeader(path).catch((error) => error);
  longestSec = Math.max(longestSec, cpuSecSince(start));
  if (outcome instanceof Error) {
    assert.ok(outcome instanceof InputError, outcome.stack);
    assert.ok(
      outcome.message.length < 1000 && !outcome.message.includes('\n'),
      outcome.message.slice(0, 2000),
    );
  }
}
console.log(
  JSON.stringify({ baselineMiB, manyMiB, peakMiB: peakMiB(), read, refused: trials - read, longestSec }),
);

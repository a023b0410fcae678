/**
 * @file Random weights for models of any size, in one file that graphs read in place. A matrix is a block of 2^20 random
 * numbers, repeated from a start of its own: writing 15 GB then takes as long as the disk does, not as long as drawing
 * numbers, and products cost the same as with any other numbers.
 */

import { closeSync, existsSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { dtypeInfo, elementCount, seededRandom, tensor } from '../../dist/engine/tensor/index.js';

const BLOCK = 1 << 20;

/** Weights called so scale what is normalised. */
const isScale = (key, shape) => shape.length === 1 && /norm/i.test(key) && key.endsWith('.weight');

/**
 * A file of weights that grows with what graphs ask for; what is there already is kept, also by another process.
 * @param path the file; beside it, `<path>.json` lists what it has
 */
export function randomWeights(path) {
  const index = `${path}.json`;
  const written = existsSync(index) ? JSON.parse(readFileSync(index, 'utf8')) : { bytes: 0, refs: {} };
  const pending = [];
  return {
    folder: dirname(path),
    /** The lookup of `checkpointWeights`: a weight of the given type. */
    lookup(key, shape, dtype) {
      const id = `${key} ${dtype} ${shape.join('x')}`;
      written.refs[id] ??= place(key, shape, dtype);
      return { key, shape, dtype, path, ...written.refs[id] };
    },
    /** Writes what graphs asked for since; call it before opening a session. Returns the size of the file. */
    write() {
      if (pending.length === 0) return written.bytes;
      const file = openSync(path, existsSync(path) ? 'r+' : 'w');
      for (const each of pending) writeWeight(file, each);
      closeSync(file);
      pending.length = 0;
      writeFileSync(index, JSON.stringify(written));
      return written.bytes;
    },
  };

  function place(key, shape, dtype) {
    const offset = written.bytes;
    const byteLength = dtypeInfo[dtype].bytes * elementCount(shape);
    written.bytes += 4096 * Math.ceil(byteLength / 4096);
    pending.push({ key, shape, dtype, offset });
    return { offset, byteLength };
  }
}

/** The path of the weights of a size of models, in a folder. */
export const weightsPath = (folder, name) => join(folder, `${name}.weights`);

function writeWeight(file, { offset, ...weight }) {
  let done = 0;
  for (const part of randomBytes(weight)) done += writeSync(file, part, 0, part.length, offset + done);
}

/** The bytes of a weight, in parts. */
export function* randomBytes({ key, shape, dtype }) {
  const block = isScale(key, shape) ? onesOf(dtype) : blockOf(dtype, deviationOf(key, shape));
  const { bytes } = dtypeInfo[dtype];
  const byteLength = bytes * elementCount(shape);
  const start = bytes * seededRandom('start of a weight', key).integer(BLOCK);
  for (let done = 0; done < byteLength; ) {
    const from = done === 0 ? start : 0;
    const part = block.subarray(from, from + byteLength - done);
    done += part.length;
    yield part;
  }
}

/** Such that a layer keeps the size of its input; small biases. */
function deviationOf(key, shape) {
  if (shape.length === 1) return 0.02;
  return key.includes('embed') ? 0.2 : 1 / Math.sqrt(elementCount(shape.slice(1)));
}

const blocks = new Map();

/** Bytes of uniform numbers with a deviation. */
function blockOf(dtype, deviation) {
  const id = `${dtype} ${deviation}`;
  if (!blocks.has(id))
    blocks.set(
      id,
      bytesOf(
        dtype,
        unitBlock().map((value) => deviation * value),
      ),
    );
  return blocks.get(id);
}

function onesOf(dtype) {
  const id = `${dtype} ones`;
  if (!blocks.has(id)) blocks.set(id, bytesOf(dtype, new Float32Array(BLOCK).fill(1)));
  return blocks.get(id);
}

let unit;

/** Uniform numbers of mean 0 and variance 1. */
function unitBlock() {
  unit ??= fillUniform(new Float32Array(BLOCK), 1, 1);
  return unit;
}

/** Marsaglia's xorshift generator (2003): millions of numbers in some milliseconds. */
function fillUniform(data, deviation, seed) {
  const half = Math.sqrt(3) * deviation;
  let state = seed;
  for (let i = 0; i < data.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    data[i] = half * (state / 0x80000000);
  }
  return data;
}

function bytesOf(dtype, values) {
  if (dtype === 'float32') return new Uint8Array(values.buffer);
  if (dtype !== 'bfloat16') throw new Error(`no random weights of ${dtype}`);
  const bits = new Uint32Array(values.buffer);
  const words = new Uint16Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = toBfloat16(bits[i]);
  return new Uint8Array(words.buffer);
}

/** The upper half of a float32's bits, rounded to nearest, ties to even. */
const toBfloat16 = (bits) => (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;

/** Numbers rounded to bfloat16, as float32. */
export function roundedToBfloat16(values) {
  const rounded = Float32Array.from(values);
  const bits = new Uint32Array(rounded.buffer);
  for (let i = 0; i < bits.length; i++) bits[i] = toBfloat16(bits[i]) << 16;
  return rounded;
}

/** Parameters as a training starts with them: matrices of uniform numbers, scales of 1, biases of 0. */
export function startValues(parameters, seed) {
  return Object.fromEntries(
    parameters.map(({ key, shape }) => {
      const value = tensor('float32', shape);
      if (isScale(key, shape)) value.data.fill(1);
      else if (shape.length > 1)
        fillUniform(value.data, deviationOf(key, shape), 1 + seededRandom(seed, key).integer(2 ** 31 - 2));
      return [key, value];
    }),
  );
}

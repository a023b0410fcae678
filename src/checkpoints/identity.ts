/**
 * @file The identity of a checkpoint, independent of its folder and of how its weights are split into files: config,
 * tokenizer and a sample of the weights. A hash of 15 GB would take longer than much of the work done with them.
 */

import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, open, realpath, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { errorMessage, formatBytes, InputError, pathExists, quoted, sha256OfFile } from '../base/index.js';
import { type Checkpoint, storedParts } from './checkpoint.js';
import { snapshotOf } from './hub/index.js';
import type { WeightRef } from './quantized-weights.js';

/** Enough to tell one model from another, without any paths. Fields missing on one side are not compared. */
export interface ModelIdentity {
  /** Commit, if it is in the Hugging Face cache; not compared. */
  readonly commit?: string;
  /** Size of each weight file, by name; not compared. */
  readonly files: Readonly<Record<string, number>>;
  /** The config keys that the model builders read. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** SHA-256 of tokenizer.json. */
  readonly tokenizer?: string;
  /** Total bytes of the weights; absent, like `weights`, if only the config was read. */
  readonly bytes?: number;
  /** SHA-256 of the weights' names, types, shapes and content; above 64 MiB in total, of samples of the content. */
  readonly weights?: string;
}

/** Weights up to this total size are hashed completely. */
const WHOLE_BYTES = 64 * 1024 * 1024;
/** Above that, each tensor (or file) is sampled in this many blocks, evenly spaced from start to end. */
const TENSOR_BLOCKS = 4;
const FILE_BLOCKS = 64;
const BLOCK_BYTES = 4096;

/** A range of a file. */
interface Range {
  readonly path: string;
  readonly offset: number;
  readonly byteLength: number;
  /** Name that is hashed with it. */
  readonly name: string;
}

/** The identity of an opened checkpoint. @param config as parsed by the model's builder */
export async function checkpointIdentity(
  { dir, weights }: Pick<Checkpoint, 'dir' | 'weights'>,
  config: object,
): Promise<ModelIdentity> {
  const refs = [...new Set(weights.values())].sort((a, b) => (a.key < b.key ? -1 : 1));
  const ranges = refs.flatMap(storedParts).map((ref) => ({ ...ref, name: describe(ref) }));
  const tokenizer = join(dir, 'tokenizer.json');
  const { commit } = snapshotOf(dir) ?? {};
  return {
    ...(commit !== undefined && { commit }),
    files: await sizesOf([...new Set(refs.map(({ path }) => path))]),
    config: { ...config },
    ...((await pathExists(tokenizer)) && { tokenizer: await sha256OfFile(tokenizer) }),
    bytes: totalOf(ranges),
    weights: await digestOf(ranges, TENSOR_BLOCKS),
  };
}

/** The identity of a checkpoint whose weights are not read. @param config as parsed by the model's builder */
export function configIdentity(config: object): ModelIdentity {
  return { files: {}, config: { ...config } };
}

/** The identity of a model stored in other files, such as an exported graph with its weights. */
export async function filesIdentity(
  paths: readonly string[],
  config: object | undefined,
): Promise<ModelIdentity> {
  const files = await Promise.all(
    paths.map(async (path) => ({ path: await realpath(path), byteLength: (await stat(path)).size })),
  );
  const ranges = files.map(({ path, byteLength }) => ({
    path,
    offset: 0,
    byteLength,
    name: String(byteLength),
  }));
  return {
    files: await sizesOf(files.map(({ path }) => path)),
    ...(config !== undefined && { config: { ...config } }),
    bytes: totalOf(ranges),
    weights: await digestOf(ranges, FILE_BLOCKS),
  };
}

/** How two models differ, in words; empty if they are the same. */
export function identityDifferences(before: ModelIdentity, now: ModelIdentity): string[] {
  const [old, current] = [before.config ?? {}, now.config ?? {}];
  const changed = Object.keys(old).filter(
    (key) => key in current && JSON.stringify(old[key]) !== JSON.stringify(current[key]),
  );
  const hasOtherTokenizer =
    before.tokenizer !== undefined && now.tokenizer !== undefined && before.tokenizer !== now.tokenizer;
  const hasOtherWeights =
    before.weights !== undefined && now.weights !== undefined && before.weights !== now.weights;
  const [bytesBefore, bytesNow] = [before.bytes ?? 0, now.bytes ?? 0];
  const sizes =
    bytesBefore === bytesNow ? '' : ` (${formatBytes(bytesBefore)} then, ${formatBytes(bytesNow)} now)`;
  return [
    ...changed.map((key) => `${key} of its config was ${quoted(old[key])}, is ${quoted(current[key])}`),
    ...(hasOtherTokenizer ? ['its tokenizer.json differs'] : []),
    ...(hasOtherWeights ? [`its weights differ${sizes}`] : []),
  ];
}

function describe({ key, dtype, shape }: WeightRef): string {
  return `${key} ${dtype} [${shape.join(', ')}]`;
}

function totalOf(ranges: readonly Range[]): number {
  return ranges.reduce((sum, { byteLength }) => sum + byteLength, 0);
}

async function sizesOf(paths: readonly string[]): Promise<Record<string, number>> {
  const sizes = await Promise.all(
    paths.map(async (path) => [basename(path), (await stat(path)).size] as const),
  );
  return Object.fromEntries(sizes.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** SHA-256 of names and contents, with each content sampled in blocks if the total is too large. */
async function digestOf(ranges: readonly Range[], blocks: number): Promise<string> {
  const whole = totalOf(ranges) <= WHOLE_BYTES;
  const hash = createHash('sha256');
  const opened = new Map<string, FileHandle>();
  try {
    for (const range of ranges) {
      const file = opened.get(range.path) ?? (await open(range.path, 'r'));
      opened.set(range.path, file);
      hash.update(`${range.name}\n`);
      for (const [offset, length] of whole ? pieces(range) : samples(range, blocks)) {
        await updateFrom(hash, file, offset, length);
      }
    }
    return hash.digest('hex');
  } catch (error) {
    const [first] = ranges;
    throw new InputError(`the weights in ${first?.path} cannot be read: ${errorMessage(error)}`);
  } finally {
    await Promise.all([...opened.values()].map((file) => file.close()));
  }
}

type Piece = readonly [offset: number, length: number];

function* pieces({ offset, byteLength }: Range): Generator<Piece> {
  const most = 1 << 20;
  for (let done = 0; done < byteLength; done += most)
    yield [offset + done, Math.min(most, byteLength - done)];
}

function* samples({ offset, byteLength }: Range, blocks: number): Generator<Piece> {
  if (byteLength <= blocks * BLOCK_BYTES) {
    yield [offset, byteLength];
    return;
  }
  for (let block = 0; block < blocks; block++) {
    yield [offset + Math.floor(((byteLength - BLOCK_BYTES) * block) / (blocks - 1)), BLOCK_BYTES];
  }
}

async function updateFrom(hash: Hash, file: FileHandle, offset: number, length: number): Promise<void> {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await file.read(buffer, 0, length, offset);
  hash.update(buffer.subarray(0, bytesRead));
}

/**
 * @file An output that grows row by row and survives a kill: the rows so far, and a progress file that says what they
 * were predicted from. The same command goes on after the last whole rows.
 */

import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { z } from 'zod';
import {
  claimLock,
  type FileTarget,
  type GrowingFile,
  InputError,
  openGrowingFile,
  pathExists,
  readJson,
  writeJsonAtomic,
} from '../../base/index.js';
import { type Counts, countsSchema, noCounts } from './counts.js';

const scalar = z.union([z.string(), z.number(), z.boolean(), z.null()]);

/** What an output is made from and how: the rows of two outputs belong together if these are equal. */
export const identitySchema = z.strictObject({
  model: z.record(z.string(), scalar),
  input: z.strictObject({ kind: z.string(), sha256: z.string(), rows: z.number() }),
  options: z.record(z.string(), scalar),
  format: z.string(),
  columns: z.array(z.string()),
});

export type PredictionIdentity = Readonly<z.infer<typeof identitySchema>>;

const progressSchema = z.strictObject({
  format: z.literal('emoq-prediction-progress'),
  identity: identitySchema,
  done: z.strictObject({ next_row: z.number(), bytes: z.number(), sha256: z.string() }),
  counts: countsSchema,
});

type ProgressFile = z.infer<typeof progressSchema>;

/** Where the parts of an unfinished output are. */
export interface UnfinishedFiles {
  /** The rows so far, in the format of the output. */
  readonly partial: string;
  readonly progress: string;
  readonly lock: string;
}

export function unfinishedFiles({ path }: FileTarget): UnfinishedFiles {
  const extension = extname(path);
  return {
    partial: join(dirname(path), `${basename(path, extension)}.partial${extension}`),
    progress: `${path}.progress.json`,
    lock: `${path}.lock`,
  };
}

/** How far an output got. */
export interface UnfinishedState {
  /** The next row to predict, from 0 in the whole input. */
  readonly nextRow: number;
  readonly bytes: number;
  /** Of the rows so far. */
  readonly hash: Hash;
  readonly counts: Counts;
}

/**
 * How far an earlier command got with this output; undefined if there is nothing to go on with.
 * @throws InputError if it was begun with another model, input or option, or its files have been changed
 */
export async function readUnfinished(
  target: FileTarget,
  identity: PredictionIdentity,
): Promise<UnfinishedState | undefined> {
  const { partial, progress } = unfinishedFiles(target);
  const overAgain = 'or start over with --restart';
  if (!(await pathExists(progress))) {
    if (!(await pathExists(partial))) return undefined;
    throw new InputError(
      `${partial} is in the way: unfinished predictions have that name; move it, ${overAgain}, which deletes it`,
    );
  }
  const parsed = progressSchema.safeParse(await readJson(progress).catch(() => undefined));
  if (!parsed.success) throw new InputError(`${progress} is damaged; repair it, ${overAgain}`);
  const { done, counts, identity: begun } = parsed.data;
  const changes = differences(begun, identity);
  if (changes.length > 0) {
    throw new InputError(
      `${target.name} is unfinished, and was begun with ${changes.join(', ')}; finish it with the same command as before, ${overAgain}`,
    );
  }
  const found = await stat(partial).catch(() => undefined);
  if (found === undefined || done.bytes === 0) return undefined;
  const hash = createHash('sha256');
  if (found.size >= done.bytes) {
    for await (const chunk of createReadStream(partial, { end: done.bytes - 1 }))
      hash.update(chunk as Buffer);
  }
  if (hash.copy().digest('hex') !== done.sha256) {
    throw new InputError(`${partial} has been changed since it was written; restore it, ${overAgain}`);
  }
  return { nextRow: done.next_row, bytes: done.bytes, hash, counts };
}

/** Deletes an unfinished output. */
export async function discardUnfinished(target: FileTarget): Promise<void> {
  const { partial, progress } = unfinishedFiles(target);
  await rm(partial, { force: true });
  await rm(progress, { force: true });
}

/**
 * What differs between two identities, in words about the first: `another model`, `--channel 1 (now mix)`.
 */
export function differences(first: PredictionIdentity, second: PredictionIdentity): string[] {
  const isEqual = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
  const keys = [...new Set([...Object.keys(first.options), ...Object.keys(second.options)])];
  const options = keys.flatMap((key) => {
    const [before, now] = [first.options[key] ?? null, second.options[key] ?? null];
    return before === now ? [] : [`${optionText(key, before)} (now ${now ?? 'not given'})`];
  });
  return [
    ...(isEqual(sorted(first.model), sorted(second.model)) ? [] : ['another model']),
    ...(isEqual(first.input, second.input) ? [] : ['another input, or it has changed']),
    ...options,
    ...(first.format === second.format ? [] : [`--format ${first.format} (now ${second.format})`]),
    ...(isEqual(first.columns, second.columns) ? [] : ['other columns']),
  ];
}

function optionText(key: string, value: string | number | boolean | null): string {
  return value === null ? `no --${key}` : `--${key} ${value}`;
}

function sorted(record: Readonly<Record<string, unknown>>): unknown[] {
  return Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
}

/** An open output. */
export interface UnfinishedOutput {
  /** Where it goes on. */
  readonly nextRow: number;
  readonly counts: Counts;
  /** Appends whole rows; `nextRow` is the one after them. */
  append(text: string, nextRow: number, counts: Counts): Promise<void>;
  /** Gives the output its final name. @returns its length and checksum */
  commit(before?: (bytes: number, sha256: string) => Promise<void>): Promise<void>;
  /** Closes it and keeps what there is. Safe after `commit`. */
  close(): Promise<void>;
}

/**
 * Opens an output to go on with, or a new one, which is created with its first rows.
 * @param firstRow where a new one begins
 * @throws InputError as `readUnfinished`, and if another process is writing it
 */
export async function openUnfinished(
  target: FileTarget,
  identity: PredictionIdentity,
  { header, firstRow, restart }: { header: string; firstRow: number; restart: boolean },
): Promise<UnfinishedOutput> {
  const { partial, progress, lock } = unfinishedFiles(target);
  const release = await claimLock(lock);
  if (typeof release !== 'function') {
    throw new InputError(
      `process ${release.pid} on ${release.host} is writing ${target.name}; wait for it, or name another file with -o`,
    );
  }
  try {
    if (restart) await discardUnfinished(target);
    const state = await readUnfinished(target, identity);
    const hash = state?.hash ?? createHash('sha256');
    let bytes = state?.bytes ?? 0;
    const save = (nextRow: number, counts: Counts): Promise<void> => {
      const done = { next_row: nextRow, bytes, sha256: hash.copy().digest('hex') };
      const file: ProgressFile = { format: 'emoq-prediction-progress', identity, done, counts };
      return writeJsonAtomic(progress, file);
    };
    let file: GrowingFile | undefined;
    const append = async (text: string, nextRow: number, counts: Counts): Promise<void> => {
      if (bytes === 0) await save(firstRow, noCounts());
      file ??= await openGrowingFile(target, partial, bytes);
      const all = bytes === 0 ? header + text : text;
      await file.append(all);
      hash.update(all);
      bytes += Buffer.byteLength(all);
      await save(nextRow, counts);
    };
    return {
      nextRow: state?.nextRow ?? firstRow,
      counts: state?.counts ?? noCounts(),
      append,
      async commit(before) {
        if (bytes === 0) await append('', firstRow, noCounts());
        file ??= await openGrowingFile(target, partial, bytes);
        await before?.(bytes, hash.copy().digest('hex'));
        await file.commit();
        await rm(progress, { force: true });
      },
      async close() {
        await file?.close();
        await release();
      },
    };
  } catch (error) {
    await release();
    throw error;
  }
}

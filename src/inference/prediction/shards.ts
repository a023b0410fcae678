/**
 * @file Shards: outputs for parts of an input, each with a file that says what it is part of, and how they are joined to
 * the output of the whole input.
 */

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { z } from 'zod';
import {
  createOutput,
  InputError,
  isSameFile,
  pathExists,
  readJson,
  sha256OfFile,
  writeJsonAtomic,
} from '../../base/index.js';
import { differences, identitySchema } from './unfinished.js';

/** Part `index` of `count`, from 1. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}

const sidecarSchema = z.strictObject({
  format: z.literal('emoq-prediction-part'),
  identity: identitySchema,
  shard: z.strictObject({ index: z.number(), count: z.number() }),
  /** In the whole input: the first row, from 1, and how many. */
  rows: z.strictObject({ first: z.number(), count: z.number() }),
  header_bytes: z.number(),
  bytes: z.number(),
  sha256: z.string(),
});

/** What a part is part of. */
export type PartSidecar = z.infer<typeof sidecarSchema>;

/** The file next to a part that says what it is part of. */
export function partSidecarPath(part: string): string {
  return `${part}.json`;
}

export function writePartSidecar(path: string, sidecar: PartSidecar): Promise<void> {
  return writeJsonAtomic(partSidecarPath(path), sidecar);
}

interface OpenedPart {
  readonly path: string;
  readonly sidecar: PartSidecar;
}

/**
 * Joins the parts of one prediction, in any order, to the output that it would have had without shards.
 * @returns the number of rows of the input
 * @throws InputError naming the part that is missing, given twice, changed, or of another prediction
 */
export async function mergeParts(paths: readonly string[], output: string): Promise<number> {
  const parts: OpenedPart[] = [];
  for (const path of paths) {
    const sidecar = await readSidecar(path);
    if (await isSameFile(path, output)) {
      throw new InputError(`output ${output} is one of the parts; name another file with -o`);
    }
    parts.push({ path, sidecar });
  }
  const ordered = orderedParts(parts);
  for (const { path, sidecar } of ordered) {
    if ((await stat(path)).size === sidecar.bytes && (await sha256OfFile(path)) === sidecar.sha256) continue;
    throw new InputError(`${path} has been changed since it was predicted; predict it again`);
  }
  const file = await createOutput(output);
  try {
    for (const [index, { path, sidecar }] of ordered.entries()) {
      const start = index === 0 ? 0 : sidecar.header_bytes;
      if (start === sidecar.bytes) continue;
      for await (const chunk of createReadStream(path, { start, highWaterMark: 1 << 20 })) {
        await file.write(chunk as Buffer);
      }
    }
    await file.commit();
  } finally {
    await file.discard();
  }
  return ordered[0]!.sidecar.identity.input.rows;
}

async function readSidecar(path: string): Promise<PartSidecar> {
  if (!(await pathExists(path))) throw new InputError(`part ${path} does not exist`);
  const name = partSidecarPath(path);
  if (!(await pathExists(name))) {
    throw new InputError(`${path} is no part: ${name} is missing, which predict --shard writes beside it`);
  }
  const parsed = sidecarSchema.safeParse(await readJson(name));
  if (!parsed.success)
    throw new InputError(`${name} is damaged, or of another version; predict ${path} again`);
  return parsed.data;
}

/** The parts in the order of their rows. @throws InputError unless they are all of one prediction */
function orderedParts(parts: readonly OpenedPart[]): OpenedPart[] {
  const [first, ...others] = parts as [OpenedPart, ...OpenedPart[]];
  const whole = ({ identity }: PartSidecar) => ({
    ...identity,
    options: { ...identity.options, shard: null },
  });
  for (const { path, sidecar } of others) {
    const changes = differences(whole(first.sidecar), whole(sidecar));
    if (changes.length > 0) {
      throw new InputError(
        `${first.path} and ${path} are not of one prediction: the first has ${changes.join(', ')}`,
      );
    }
    if (sidecar.shard.count !== first.sidecar.shard.count) {
      throw new InputError(
        `${first.path} is one of ${first.sidecar.shard.count} parts, and ${path} one of ${sidecar.shard.count}; predict all with the same --shard i/n`,
      );
    }
  }
  const { count } = first.sidecar.shard;
  const byIndex = new Map<number, OpenedPart>();
  for (const part of parts) {
    const { index } = part.sidecar.shard;
    const other = byIndex.get(index);
    if (other !== undefined) {
      throw new InputError(
        `${other.path} and ${part.path} are both part ${index} of ${count}; name each part once`,
      );
    }
    byIndex.set(index, part);
  }
  const missing = Array.from({ length: count }, (_, at) => at + 1).filter((index) => !byIndex.has(index));
  if (missing.length > 0) {
    throw new InputError(
      `part${missing.length > 1 ? 's' : ''} ${missing.slice(0, 10).join(', ')}${missing.length > 10 ? ' and more' : ''} of ${count} ${missing.length > 1 ? 'are' : 'is'} missing; name all of them`,
    );
  }
  return [...byIndex].sort(([a], [b]) => a - b).map(([, part]) => part);
}

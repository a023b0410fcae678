/** @file The JSON beside a manifest: read, and held to its schema. */

import { z } from 'zod';
import {
  errorMessage,
  InputError,
  oneLine,
  pathExists,
  quoted,
  readJson,
  readTextFile,
  repeatedKey,
} from '../../base/index.js';
import { AUDIO_NOTE_KINDS, type AudioNoteKind } from '../audio/index.js';
import type { ManifestInfo } from './manifest.js';

const notesSchema = z.array(z.object({ id: z.string(), reason: z.string() }));
const audioNotesSchema = Object.fromEntries(
  AUDIO_NOTE_KINDS.map((kind) => [kind, notesSchema.default([])]),
) as Record<AudioNoteKind, z.ZodDefault<typeof notesSchema>>;
const countsSchema = z.record(z.string(), z.number().int().min(0));
const infoSchema = z.object({
  format: z.literal('emoq-manifest'),
  version: z.literal(1, { error: 'this emoq reads manifest version 1' }),
  name: z.string().min(1),
  source: z.string(),
  utterances: z.number().int().min(0),
  durationSec: z.number().min(0),
  counts: z.object({
    total: countsSchema,
    split: z.record(z.string(), countsSchema).optional(),
    session: z.record(z.string(), countsSchema).optional(),
  }),
  episodes: z.record(z.string(), z.string()).optional(),
  sha256: z.string(),
  ffmpeg: z.string().optional(),
  merged_labels: z
    .array(z.object({ from: z.string(), to: z.string(), utterances: z.number().int().min(0) }))
    .optional(),
  notes: z.object({
    cut: notesSchema,
    padded: notesSchema,
    ...audioNotesSchema,
    skipped: notesSchema,
    differences: z.array(z.string()),
    rules: z.array(z.string()).default([]),
  }),
});

/**
 * The emoq JSON beside a CSV; undefined where there is none, or another program's.
 * @throws InputError naming file and key: no JSON, a key that is there twice, a value of the wrong kind
 */
export async function readManifestInfo(path: string): Promise<ManifestInfo | undefined> {
  if (!(await pathExists(path))) return undefined;
  const json = await readJson(path, 'manifest information').catch((error) => {
    throw new InputError(`${errorMessage(error)}; prepare the corpus again`);
  });
  if ((json as { format?: unknown } | null)?.format !== 'emoq-manifest') return undefined;
  const repeated = repeatedKey(await readTextFile(path));
  if (repeated !== undefined) {
    throw new InputError(`${path}: key ${quoted(repeated)} is there twice; prepare the corpus again`);
  }
  const parsed = infoSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new InputError(
    oneLine(
      `${path}, key ${issue?.path.join('.')}: ${issue?.message}; prepare the corpus again with this emoq`,
    ),
  );
}

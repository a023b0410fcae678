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

/** A clip that preparation did not take over as it was, and why. */
export interface ClipNote {
  id: string;
  reason: string;
}

/**
 * What preparation did, clip by clip, what is to be known of the sound of those that it kept (`silent`, `clipped` and so
 * on), and where the corpus differs from what is known of it.
 */
export interface PreparationNotes extends Record<AudioNoteKind, ClipNote[]> {
  cut: ClipNote[];
  padded: ClipNote[];
  skipped: ClipNote[];
  differences: string[];
  /** What was done to every clip, in words. */
  rules: string[];
}

/** label -> utterances */
export type LabelCounts = Record<string, number>;

export interface CorpusCounts {
  total: LabelCounts;
  /** By split and by session, where the corpus has them. */
  split?: Record<string, LabelCounts> | undefined;
  session?: Record<string, LabelCounts> | undefined;
}

/** A spelling of a label that was merged into another. */
export interface MergedLabel {
  from: string;
  to: string;
  utterances: number;
}

/** The JSON beside the CSV. */
export interface ManifestInfo {
  format: 'emoq-manifest';
  version: 1;
  name: string;
  /** The release that the audio and labels come from, in words. */
  source: string;
  utterances: number;
  durationSec: number;
  counts: CorpusCounts;
  /** dialogue -> episode of the series, where a corpus has such. */
  episodes?: Record<string, string> | undefined;
  /** SHA-256 of the CSV. */
  sha256: string;
  /** Version of the ffmpeg that decoded clips; absent where none was needed, or preparation did not record it. */
  ffmpeg?: string | undefined;
  /** Spellings of labels that preparation merged into others; absent where it merged none. */
  merged_labels?: MergedLabel[] | undefined;
  notes: PreparationNotes;
}

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

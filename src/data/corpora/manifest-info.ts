/** @file The JSON file next to a manifest: schema and reader. */

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
import { languageTags } from './language-tags.js';

/** A clip that preparation changed or left out, and why. */
export interface ClipNote {
  id: string;
  reason: string;
}

/**
 * What preparation did to each clip, the quality notes of those it kept (`silent`, `clipped` and so on), and how the
 * corpus differs from its metadata.
 */
export interface PreparationNotes extends Record<AudioNoteKind, ClipNote[]> {
  cut: ClipNote[];
  padded: ClipNote[];
  skipped: ClipNote[];
  differences: string[];
  /** What was done to every clip. */
  rules: string[];
}

/** label -> utterances */
export type LabelCounts = Record<string, number>;

export interface CorpusCounts {
  total: LabelCounts;
  /** By split and by session, if the corpus has them. */
  split?: Record<string, LabelCounts> | undefined;
  session?: Record<string, LabelCounts> | undefined;
}

/** A spelling of a label that was merged into another. */
export interface MergedLabel {
  from: string;
  to: string;
  utterances: number;
}

/** Where the texts in the column `recognised` come from. */
export interface RecogniserInfo {
  /** Its name on the Hugging Face hub or its folder; or that the table had the texts. */
  name: string;
  /** SHA-256 of its weights and of its vocabulary; absent if the table had the texts. */
  weights_sha256?: string | undefined;
  vocabulary_sha256?: string | undefined;
  /** Prefixes of its beam search; 1 is greedy. */
  beam?: number | undefined;
  /** The language that it was told, such as `de`; absent if it was told none. */
  language?: string | undefined;
}

/** A {@link RecogniserInfo} in a file. */
export const recogniserSchema = z.object({
  name: z.string(),
  weights_sha256: z.string().optional(),
  vocabulary_sha256: z.string().optional(),
  beam: z.number().int().positive().optional(),
  language: z.string().optional(),
});

/** A turn of a dialogue that is no row of the manifest, because it has no usable clip or no label. */
export interface OtherTurn {
  dialogue: string;
  /** Its place, among the numbers in the column `turn`. */
  turn: number;
  speaker: string;
  gender: string;
  text: string;
  session: string;
  split: string;
}

/** The JSON next to the CSV. */
export interface ManifestInfo {
  format: 'emoq-manifest';
  version: 1;
  name: string;
  /** The release that audio and labels come from. */
  source: string;
  /** Of the speech, as BCP 47 tags; absent if unknown. */
  languages?: readonly string[] | undefined;
  utterances: number;
  durationSec: number;
  counts: CorpusCounts;
  /** dialogue -> episode of the series, for corpora with episodes. */
  episodes?: Record<string, string> | undefined;
  /** SHA-256 of the CSV. */
  sha256: string;
  /** Version of the ffmpeg that decoded clips; absent if none was needed, or preparation did not record it. */
  ffmpeg?: string | undefined;
  /** Spellings of labels that preparation merged into others; absent if it merged none. */
  merged_labels?: MergedLabel[] | undefined;
  /** Absent without recognised texts. */
  recogniser?: RecogniserInfo | undefined;
  /** What else was said in the dialogues of the utterances; absent if that is all in the CSV. */
  other_turns?: OtherTurn[] | undefined;
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
  languages: languageTags.optional(),
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
  recogniser: recogniserSchema.optional(),
  other_turns: z
    .array(
      z.object({
        dialogue: z.string().min(1),
        turn: z.number().int(),
        speaker: z.string(),
        gender: z.string(),
        text: z.string(),
        session: z.string(),
        split: z.string(),
      }),
    )
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
 * The emoq JSON next to a CSV; undefined if there is none, or it belongs to another program.
 * @throws InputError naming file and key: invalid JSON, a duplicate key, a value of the wrong type
 */
export async function readManifestInfo(path: string): Promise<ManifestInfo | undefined> {
  if (!(await pathExists(path))) return undefined;
  const json = await readJson(path, 'manifest information').catch((error) => {
    throw new InputError(`${errorMessage(error)}; prepare the corpus again`);
  });
  if ((json as { format?: unknown } | null)?.format !== 'emoq-manifest') return undefined;
  const repeated = repeatedKey(await readTextFile(path));
  if (repeated !== undefined) {
    throw new InputError(`${path}: key ${quoted(repeated)} appears twice; prepare the corpus again`);
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

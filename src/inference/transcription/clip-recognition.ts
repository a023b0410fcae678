/**
 * @file Recognises clips, each once: what is done is kept in a journal, so that work that was stopped goes on, and work
 * that is repeated recognises nothing again.
 */

import { appendFile, mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import {
  defaultJobs,
  InputError,
  InterruptedError,
  mapConcurrently,
  sha256Of,
  writeFileAtomic,
} from '../../base/index.js';
import { type Alter, type Alteration, clipContents, decodingKey } from '../../data/audio/index.js';
import { fileFinder } from '../../data/tables/index.js';
import type { ComputeOptions } from '../../training/index.js';
import { CUT_RECOGNITION, type PredictionSource } from '../prediction/index.js';
import { type NamedRecogniser, openRecogniser } from '../speech-recogniser.js';
import { recognisedRows } from './transcribe.js';

export interface ClipToRecognise {
  readonly id: string;
  readonly path: string;
  /** Changes the clip before it is recognised. */
  readonly alter?: Alter;
}

/** Where texts are kept: a line with the recogniser, then one for each clip, by its content and what altered it. */
export interface RecognitionJournal {
  readonly path: string;
  /** Texts of a recogniser with another identity do not count. */
  readonly identity: object;
}

export interface RecognitionListener {
  /** Clips with a text, of all. */
  readonly onProgress: (done: number, total: number) => void;
  /** Texts that are cut. */
  readonly onWarning: (text: string) => void;
}

const entrySchema = z.strictObject({
  clip: z.string(),
  text: z.string(),
  /** Only of a text that the recogniser did not get to the end of. */
  cut: z.literal(true).optional(),
});

type Entry = z.infer<typeof entrySchema>;
type Recognised = Omit<Entry, 'clip'>;

/** A clip whose file was read. */
interface KnownClip extends ClipToRecognise {
  /** The same for clips of equal content that are altered alike. */
  readonly key: string;
  readonly alteration: Alteration | undefined;
}

/**
 * The texts of clips, in order.
 * @throws InputError for a clip that cannot be read or recognised; InterruptedError when `compute.stop` is aborted
 */
export async function recogniseClips(
  named: NamedRecogniser,
  clips: readonly ClipToRecognise[],
  journal: RecognitionJournal,
  compute: ComputeOptions,
  { onProgress, onWarning }: RecognitionListener,
): Promise<readonly string[]> {
  const { stop } = compute;
  const texts = await readJournal(journal);
  let done = 0;
  try {
    const contentOf = clipContents();
    const known = await mapConcurrently(clips, defaultJobs(), (clip) => knownClip(clip, contentOf), stop);
    const first = new Map(known.map((clip) => [clip.key, clip]));
    const missing = [...first.values()].filter(({ key }) => !texts.has(key));
    done = first.size - missing.length;
    onProgress(done, first.size);
    if (missing.length > 0) {
      await mkdir(dirname(journal.path), { recursive: true });
      if (texts.size === 0) await writeFileAtomic(journal.path, headerOf(journal));
      for await (const entries of recognised(named, missing, compute)) {
        await appendFile(journal.path, entries.map((entry) => `${JSON.stringify(entry)}\n`).join(''));
        for (const { clip, ...heard } of entries) texts.set(clip, heard);
        done += entries.length;
        onProgress(done, first.size);
      }
    }
    const cut = [...first.values()].filter(({ key }) => texts.get(key)!.cut);
    if (cut.length > 0) onWarning(cutWarning(cut));
    return known.map(({ key }) => texts.get(key)!.text);
  } catch (error) {
    if (stop?.aborted !== true) throw error;
    throw new InterruptedError(
      `interrupted with ${done} clips recognised in ${journal.path}; run the same command again to go on`,
    );
  }
}

/** Says of clips that their texts are cut. */
function cutWarning(cut: readonly ClipToRecognise[]): string {
  const count = `${cut.length.toLocaleString('en')} recognised ${cut.length === 1 ? 'text' : 'texts'}`;
  return `${count} reached the longest that the recogniser writes, where it stops (first ${cut[0]!.id})`;
}

/** The entries of clips, those that are finished together. */
async function* recognised(
  named: NamedRecogniser,
  clips: readonly KnownClip[],
  compute: ComputeOptions,
): AsyncGenerator<readonly Entry[]> {
  const recogniser = openRecogniser(named, compute);
  try {
    const input = {
      source: clipSource(clips),
      range: { first: 0, end: clips.length },
      job: { pathColumn: 'path', channel: undefined },
    };
    for await (const rows of recognisedRows(input, recogniser, 0, compute.stop)) {
      yield rows.map((done): Entry => {
        const { key, id } = clips[done.row.index]!;
        if (done.kind === 'failed') throw new InputError(`clip "${id}" cannot be recognised: ${done.error}`);
        return { clip: key, text: done.text, ...(done.notes.includes(CUT_RECOGNITION) && { cut: true }) };
      });
    }
  } finally {
    await recogniser.encoder.close();
  }
}

async function knownClip(
  clip: ClipToRecognise,
  contentOf: ReturnType<typeof clipContents>,
): Promise<KnownClip> {
  const content = await contentOf(clip);
  const alteration = await clip.alter?.(content);
  if (alteration === undefined) return { ...clip, key: content, alteration };
  const key = sha256Of([content, await decodingKey(clip.path), alteration.key].join('\n'));
  return { ...clip, key, alteration };
}

function headerOf({ identity }: RecognitionJournal): string {
  return `${JSON.stringify({ format: 'emoq-recognition', recogniser: identity })}\n`;
}

/** The texts of clips by key; none if another recogniser wrote them. A last line that was cut off does not count. */
async function readJournal(journal: RecognitionJournal): Promise<Map<string, Recognised>> {
  const { path } = journal;
  const header = headerOf(journal);
  const texts = new Map<string, Recognised>();
  const content = await readFile(path, 'utf8').catch(() => '');
  if (!content.startsWith(header)) return texts;
  const lines = content.slice(header.length).split('\n');
  for (const line of lines.slice(0, -1)) {
    const entry = entrySchema.safeParse(parsed(line));
    if (!entry.success) continue;
    const { clip, ...heard } = entry.data;
    texts.set(clip, heard);
  }
  // What is appended must begin a line.
  if (lines.at(-1) !== '') await writeFileAtomic(path, content.slice(0, content.lastIndexOf('\n') + 1));
  return texts;
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** Clips as rows. */
function clipSource(clips: readonly KnownClip[]): PredictionSource {
  return {
    ...{ columns: ['path'], decimalComma: false, namesFiles: true, notes: [], files: fileFinder('.') },
    identity: { kind: 'recordings', sha256: '', rows: clips.length },
    async *read() {
      yield clips.map(({ path, alteration }, index) => ({
        ...{ index, line: undefined, fields: { path } },
        ...(alteration && { alteration }),
      }));
    },
  };
}

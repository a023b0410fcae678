/**
 * @file Clip tasks, their outcomes, and the journal of a preparation: one JSON line per finished clip, so that a killed
 * preparation resumes and a finished one does nothing. A clip is done if the journal has its source, rule and target,
 * and the target has the recorded size.
 */

import { mkdir, open, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomic } from '../../../base/index.js';
import { AUDIO_NOTE_KINDS, type AudioNote, type ChannelChoice } from '../../audio/index.js';

/** Keep only the first or last `keepSec` seconds of a clip longer than `longerThanSec`. */
export interface CutRule {
  longerThanSec: number;
  keep: 'first' | 'last';
  keepSec: number;
}

/** A clip inside an archive. */
export interface ArchivedClip {
  /** Absolute path of the .tar.gz. */
  archive: string;
  /** Possible file names, in any folder of the archive; the first one found is used. */
  names: readonly string[];
}

/** One clip to make. */
export interface ClipTask {
  id: string;
  /** The released clip: its absolute path, or its archive. */
  source: string | ArchivedClip;
  /** Path of the WAV or FLAC, relative to the corpus folder; the extension gives the format. */
  target: string;
  /** Only this part of the source. */
  segment?: Segment | undefined;
  /** Which channel to use, if specified. */
  channel?: ChannelChoice | undefined;
  cut?: CutRule | undefined;
}

/**
 * Outcome of a clip. `cut` and `padded` describe changes, `notes` its audio quality, and `ffmpeg` is the version that
 * decoded it, if any. A clip that is not in its archive is `absent`, as are those after the damage in a damaged
 * `archive`. Clips that could not be read (`unread`) may be readable next time.
 */
export type ClipOutcome =
  | {
      kind: 'made';
      durationSec: number;
      /** Size of the finished file. */
      bytes: number;
      cut?: string | undefined;
      padded?: string | undefined;
      notes?: readonly AudioNote[] | undefined;
      ffmpeg?: string | undefined;
    }
  | { kind: 'skipped'; skipped: string; unread?: true | undefined; ffmpeg?: string | undefined }
  | { kind: 'absent'; absent: 'clip'; unread?: undefined }
  | { kind: 'absent'; absent: 'archive'; unread: true };

export interface WorkQueue {
  /** Starts `work` as soon as a job is free; a caller that awaits this is never more than one piece ahead. */
  submit(work: () => Promise<void>): Promise<void>;
  /** Waits for all running work. @throws the first failure */
  drain(): Promise<void>;
}

/** A queue that starts nothing more after a failure or once `signal` is aborted. */
export function workQueue(jobs: number, signal: AbortSignal | undefined): WorkQueue {
  const running = new Set<Promise<void>>();
  let failure: { error: unknown } | undefined;
  const throwIfFailed = (): void => {
    if (failure) throw failure.error;
    signal?.throwIfAborted();
  };
  return {
    async submit(work) {
      while (running.size >= Math.max(1, jobs) && !failure) await Promise.race(running);
      throwIfFailed();
      const piece: Promise<void> = work()
        .catch((error: unknown) => {
          failure ??= { error };
        })
        .finally(() => running.delete(piece));
      running.add(piece);
    },
    async drain() {
      await Promise.all(running);
      throwIfFailed();
    },
  };
}

/** From `startSec` to `endSec`, or to the end of the recording. */
export interface Segment {
  startSec: number;
  endSec?: number | undefined;
}

/** `12.5-14`: part of an id, to distinguish segments of one recording. */
export function segmentName({ startSec, endSec }: Segment): string {
  return `${startSec}-${endSec ?? 'end'}`;
}

/** Describes channel and segment; undefined for a whole recording. */
export function describePart(
  segment: Segment | undefined,
  channel: ChannelChoice | undefined,
): string | undefined {
  const which = typeof channel === 'number' ? `channel ${channel}` : undefined;
  const when = segment && describeSegment(segment);
  return which && when ? `${which}, ${when}` : (which ?? when);
}

/** For notes and messages. */
export function describeSegment({ startSec, endSec }: Segment): string {
  return `${startSec} s to ${endSec === undefined ? 'the end' : `${endSec} s`}`;
}

const JOURNAL = 'preparation.jsonl';

/** The source, rule and target of a clip. */
export interface ClipIdentity {
  id: string;
  target: string;
  /** How it was made: a different conversion, segment or cut makes a different clip. */
  rule: string;
  /** Name, size and modification time of the source; '' if there is none. */
  source: string;
  /** For an archived clip: size and modification time of its archive, and the names that were looked for. */
  archive?: string | undefined;
}

export type JournalEntry = ClipIdentity & ClipOutcome;

export interface Journal {
  /** The last entry of each clip. */
  entries: ReadonlyMap<string, JournalEntry>;
  /** All targets that were ever finished in this folder. */
  targets: ReadonlySet<string>;
  /** The unmodified text of the file. */
  text: string;
}

const entrySchema = z.intersection(
  z.looseObject({
    id: z.string(),
    target: z.string().refine(isTarget),
    rule: z.string(),
    source: z.string(),
    archive: z.string().optional(),
    ffmpeg: z.string().optional(),
  }),
  z.union([
    z.looseObject({
      durationSec: z.number().min(0),
      bytes: z.int().min(0),
      cut: z.string().optional(),
      padded: z.string().optional(),
      notes: z.array(z.looseObject({ kind: z.enum(AUDIO_NOTE_KINDS), text: z.string() })).optional(),
    }),
    z.looseObject({ skipped: z.string() }),
    z.looseObject({ absent: z.literal('clip') }),
  ]),
);

/** Lines cut off by a kill are not valid JSON; their clips are made again. */
export async function readJournal(out: string): Promise<Journal> {
  const text = await readFile(join(out, JOURNAL), 'utf8').catch(() => '');
  const entries = new Map<string, JournalEntry>();
  const targets = new Set<string>();
  for (const line of text.split('\n')) {
    const entry = parseEntry(line);
    if (!entry) continue;
    entries.set(entry.id, entry);
    if (entry.kind === 'made') targets.add(entry.target);
  }
  return { entries, targets, text };
}

function parseEntry(line: string): JournalEntry | undefined {
  try {
    const entry: unknown = JSON.parse(line);
    if (!entrySchema.safeParse(entry).success) return undefined;
    const outcome = entry as object;
    // A line has no kind field; its keys show which it is.
    const kind = 'durationSec' in outcome ? 'made' : 'skipped' in outcome ? 'skipped' : 'absent';
    return { ...outcome, kind } as JournalEntry;
  } catch {
    return undefined;
  }
}

/** Targets of removed clips are deleted, so only files written by emoq may match. */
function isTarget(target: string): boolean {
  return target.startsWith('audio/') && !target.split('/').includes('..');
}

/** The journal line of a clip; empty for one that could not be read, which may be readable next time. */
export function journalLine(identity: ClipIdentity, outcome: ClipOutcome): string {
  if (outcome.kind !== 'made' && outcome.unread) return '';
  const { kind: _, ...recorded } = outcome;
  return `${JSON.stringify({ ...identity, ...recorded })}\n`;
}

/** The recorded outcome of an entry, if its file still exists as written. */
export async function stillThere(out: string, entry: JournalEntry): Promise<ClipOutcome | undefined> {
  const { id: _id, target, rule: _rule, source: _source, archive: _archive, ...outcome } = entry;
  if (outcome.kind !== 'made') return outcome;
  const size = await stat(join(out, target)).then(
    (file) => file.size,
    () => -1,
  );
  return size === outcome.bytes ? outcome : undefined;
}

/**
 * True if an entry is for exactly this clip. An archived clip is identified by its archive until its own data has been
 * seen. A clip decoded by another version of ffmpeg is a different clip; undefined means that no ffmpeg is installed to
 * make it again.
 */
export function isEntryOf(
  entry: JournalEntry | undefined,
  identity: ClipIdentity,
  ffmpeg: string | undefined,
): entry is JournalEntry {
  if (entry?.target !== identity.target || entry.rule !== identity.rule) return false;
  if (ffmpeg !== undefined && (decoderOf(entry) ?? ffmpeg) !== ffmpeg) return false;
  return identity.source === '' ? entry.archive === identity.archive : entry.source === identity.source;
}

/** The version of ffmpeg that decoded a clip, if any. */
export function decoderOf(outcome: ClipOutcome): string | undefined {
  return outcome.kind === 'absent' ? undefined : outcome.ffmpeg;
}

/** Appends lines in call order. */
export async function openJournal(
  out: string,
  { text }: Journal,
): Promise<{ append(lines: string): Promise<void>; close(): Promise<void> }> {
  await mkdir(out, { recursive: true });
  const handle = await open(join(out, JOURNAL), 'a');
  let last: Promise<void> = Promise.resolve();
  const append = (lines: string): Promise<void> => {
    last = last.then(() => handle.appendFile(lines));
    return last;
  };
  if (text !== '' && !text.endsWith('\n')) await append('\n');
  return { append, close: () => last.catch(() => {}).then(() => handle.close()) };
}

/** Replaces the journal with one line per clip in task order, so that the same corpus gives the same bytes. */
export async function settleJournal(out: string, lines: string): Promise<void> {
  await writeFileAtomic(join(out, JOURNAL), lines);
}

/** The part of a clip's identity that depends on the task alone. */
export function ruleOf(conversion: string, { segment, channel, cut }: ClipTask): string {
  return JSON.stringify([conversion, segment ?? null, channel ?? null, cut ?? null]);
}

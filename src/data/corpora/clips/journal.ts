/**
 * @file One clip to make (its source, the part of it that is kept, what became of it) and the journal of a
 * preparation: a line of JSON for each clip that is done, so that a killed preparation goes on and a finished one does
 * nothing. A clip is done when the journal knows its source, its rule and its target, and the target has the size that
 * the journal says.
 */

import { mkdir, open, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomic } from '../../../base/index.js';
import { AUDIO_NOTE_KINDS, type AudioNote, type ChannelChoice } from '../../audio/index.js';

/** Keep only the first or last `keepSec` seconds of a clip that lasts over `longerThanSec`. */
export interface CutRule {
  longerThanSec: number;
  keep: 'first' | 'last';
  keepSec: number;
}

/** A clip that is still packed. */
export interface ArchivedClip {
  /** Absolute path of the .tar.gz. */
  archive: string;
  /** File names that it may have there, in whatever folder; the first of them that is there is taken. */
  names: readonly string[];
}

/** One clip to make. */
export interface ClipTask {
  id: string;
  /** The clip as released: its absolute path, or where it is packed. */
  source: string | ArchivedClip;
  /** Path of the WAV or FLAC, relative to the corpus folder; the ending says which. */
  target: string;
  /** Only this part of the source. */
  segment?: Segment | undefined;
  /** Which of its channels, where somebody chose. */
  channel?: ChannelChoice | undefined;
  cut?: CutRule | undefined;
}

/**
 * What became of it. `cut` and `padded` say in words what was changed, `notes` what is to be known of its sound, `ffmpeg`
 * the version that decoded it, where one did. A clip that is not in its archive is `absent`, as is the rest of a damaged
 * `archive`. What could not be read (`unread`) may be readable the next time.
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
  /** Starts `work` as soon as a job is free; a caller that awaits this never runs ahead by more than one piece. */
  submit(work: () => Promise<void>): Promise<void>;
  /** Waits for everything under way. @throws the first failure. */
  drain(): Promise<void>;
}

/** A queue that starts nothing more once a piece has failed or `signal` has fired. */
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

/** `12.5-14`: part of an id, so that segments of one recording differ. */
export function segmentName({ startSec, endSec }: Segment): string {
  return `${startSec}-${endSec ?? 'end'}`;
}

/** In words: which channel, from when to when; undefined for all of a recording. */
export function describePart(
  segment: Segment | undefined,
  channel: ChannelChoice | undefined,
): string | undefined {
  const which = typeof channel === 'number' ? `channel ${channel}` : undefined;
  const when = segment && describeSegment(segment);
  return which && when ? `${which}, ${when}` : (which ?? when);
}

/** In words, for notes and messages. */
export function describeSegment({ startSec, endSec }: Segment): string {
  return `${startSec} s to ${endSec === undefined ? 'the end' : `${endSec} s`}`;
}

const JOURNAL = 'preparation.jsonl';

/** What a clip was made from, how and where to. */
export interface ClipIdentity {
  id: string;
  target: string;
  /** How it was made: another version of the conversion, segment or cut is another clip. */
  rule: string;
  /** Name, size and time of change of the source; '' where there is none. */
  source: string;
  /** Of a packed clip: size and time of change of its archive, and the names that were looked for. */
  archive?: string | undefined;
}

export type JournalEntry = ClipIdentity & ClipOutcome;

export interface Journal {
  /** The last entry of each clip. */
  entries: ReadonlyMap<string, JournalEntry>;
  /** All targets that were ever finished here. */
  targets: ReadonlySet<string>;
  /** The file as it was. */
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

/** Lines that a kill left unfinished are not JSON: their clips are made again. */
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
    // A line has no kind: what it holds tells.
    const kind = 'durationSec' in outcome ? 'made' : 'skipped' in outcome ? 'skipped' : 'absent';
    return { ...outcome, kind } as JournalEntry;
  } catch {
    return undefined;
  }
}

/** Targets of clips that are gone are deleted: nothing but a file of ours may be taken for one. */
function isTarget(target: string): boolean {
  return target.startsWith('audio/') && !target.split('/').includes('..');
}

/** What is remembered of a clip: nothing of one that could not be read, which may be readable the next time. */
export function journalLine(identity: ClipIdentity, outcome: ClipOutcome): string {
  if (outcome.kind !== 'made' && outcome.unread) return '';
  const { kind: _, ...recorded } = outcome;
  return `${JSON.stringify({ ...identity, ...recorded })}\n`;
}

/** The outcome that an entry promises, if its file is there as it was written. */
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
 * True where an entry is of this very clip. A packed clip is known by its archive before its own data is met. What
 * another version of ffmpeg decoded is another clip; undefined where none is here to make it again.
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

/** The version of ffmpeg that decoded a clip, where one did. */
export function decoderOf(outcome: ClipOutcome): string | undefined {
  return outcome.kind === 'absent' ? undefined : outcome.ffmpeg;
}

/** Appends lines in the order of the calls. */
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

/** Replaces the journal by one line for each clip in the tasks' order: the same corpus leaves the same bytes. */
export async function settleJournal(out: string, lines: string): Promise<void> {
  await writeFileAtomic(join(out, JOURNAL), lines);
}

/** The part of an identity that the task alone decides. */
export function ruleOf(conversion: string, { segment, channel, cut }: ClipTask): string {
  return JSON.stringify([conversion, segment ?? null, channel ?? null, cut ?? null]);
}

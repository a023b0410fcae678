/** @file One clip to make: its source, the part of it that is kept, what became of it; and the queue that works on several. */

import type { AudioNote, ChannelChoice } from '../../audio/index.js';

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

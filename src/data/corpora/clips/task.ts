/** @file One clip to make of a corpus, and what can become of it. */

import type { AudioNote, ChannelChoice } from '../../audio/index.js';
import type { Segment } from './segments.js';

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
      durationSec: number;
      /** Size of the finished file. */
      bytes: number;
      cut?: string | undefined;
      padded?: string | undefined;
      notes?: readonly AudioNote[] | undefined;
      ffmpeg?: string | undefined;
    }
  | { skipped: string; unread?: true | undefined; ffmpeg?: string | undefined }
  | { absent: 'clip' }
  | { absent: 'archive'; unread: true };

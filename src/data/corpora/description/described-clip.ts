/** @file A clip as a description finds it, by its name or by its line in a table. */

import type { ClipTask } from '../clips/index.js';
import type { ClipFields } from './value-reader.js';

export interface DescribedClip extends ClipFields {
  readonly id: string;
  readonly source: ClipTask['source'];
  readonly segment?: ClipTask['segment'];
  /** Why it cannot be used; it is counted nevertheless. */
  readonly fault?: string | undefined;
  /** There is no such file (`clip`), nor its folder (`split`). */
  readonly absent?: 'clip' | 'split' | undefined;
}

export interface FoundClips {
  readonly clips: readonly DescribedClip[];
  /** How the release differs from its description. */
  readonly differences: readonly string[];
  /** What was left out as described. */
  readonly remarks: readonly string[];
}

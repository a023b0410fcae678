/** @file What a toy corpus is made from, and what its preparation hands back. */

import type { PreparationControls } from '../clips/index.js';
import type { CorpusCounts } from '../manifest-info.js';

/** The form that a toy corpus is written in: prepared, or as one of the raw releases. */
export type ToyForm = 'corpus' | 'meld' | 'iemocap';

export interface ToyCorpusOptions extends PreparationControls {
  /** Folder for everything; a raw tree goes into a folder of its own below it. */
  readonly out: string;
  readonly seed?: number | undefined;
  /** At least 5; 20 by default. An IEMOCAP tree has 10, two for each session. */
  readonly speakers?: number | undefined;
  /** A multiple of 4; 32 by default. */
  readonly utterancesPerSpeaker?: number | undefined;
  readonly raw?: 'meld' | 'iemocap' | undefined;
  /** The voice says the transcript. */
  readonly spoken?: boolean | undefined;
}

export interface ToyCorpusSummary {
  readonly form: ToyForm;
  /** The manifest, or the root of the raw tree. */
  readonly path: string;
  readonly utterances: number;
  readonly speakers: number;
  readonly durationSec: number;
  readonly counts: CorpusCounts;
}

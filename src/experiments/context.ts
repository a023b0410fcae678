/** @file What the work on experiments needs of whoever asks for it: a device, versions to record, and somebody to tell. */

import type { Resampling } from '../evaluation/index.js';
import type { ComputeOptions } from '../training/index.js';

/** Whoever follows the work. */
export interface Listener {
  /** Told what was done or decided. */
  readonly onNote: (text: string) => void;
  /** Told what may not be wanted. */
  readonly onWarning: (text: string) => void;
}

/** How far something is. */
export interface ProgressView {
  update(done: number, total: number): void;
  finish(): void;
}

export interface ExperimentContext extends Listener {
  /** How intervals are found; null for none. */
  readonly resampling: Resampling | null;
  /** Versions of everything that a result depends on. */
  readonly versions: Readonly<Record<string, string>>;
  /** Gives the work a device to compute on. The signal that stops it is in the options. */
  readonly withCompute: <T>(work: (compute: ComputeOptions) => Promise<T>) => Promise<T>;
  /** Begins to show the progress of the prediction of a run's utterances. */
  readonly onPrediction: (dir: string) => ProgressView;
}

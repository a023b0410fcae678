/** @file What `emoq stage1 --jobs` and the processes that train its runs say to each other. */

import type { Recipe } from '../../recipe/index.js';
import type { ComputeOptions, StageOutcome, TrainingReport } from '../../train/index.js';

/** One run of a stage: a seed's, a fold's, or the only one. */
export interface StageRun {
  readonly stage: 1 | 2;
  readonly recipe: Recipe;
  readonly fold: number | undefined;
  /** Folder of the experiment. */
  readonly root: string;
}

/** Everything that a process needs to train one. */
export interface RunTask extends StageRun {
  readonly compute: Pick<ComputeOptions, 'device' | 'threads' | 'cacheDir'>;
  readonly versions: Readonly<Record<string, string>>;
  readonly saveIntervalSec: number | undefined;
}

/** To the process. */
export type RunOrder = { readonly kind: 'train'; readonly task: RunTask } | { readonly kind: 'stop' };

/** From the process. */
export type RunMessage =
  | { readonly kind: 'start'; readonly step: number; readonly totalSteps: number }
  | { readonly kind: 'report'; readonly report: TrainingReport }
  | { readonly kind: 'note' | 'warning'; readonly text: string }
  | { readonly kind: 'ended'; readonly outcome: StageOutcome }
  | { readonly kind: 'failed'; readonly error: SentError };

/** An error on its way between processes. */
export interface SentError {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
}

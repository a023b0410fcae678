/** @file What a process that trains several runs and the processes of the runs say to each other. */

import type { ComputeOptions, PhaseOutcome, PhaseRun, TrainingReport } from '../training/index.js';

/** Everything that a process needs to train one run. */
export interface RunTask extends PhaseRun {
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
  | { readonly kind: 'ended'; readonly outcome: PhaseOutcome }
  | { readonly kind: 'failed'; readonly error: SentError };

/** An error on its way between processes. */
export interface SentError {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
}

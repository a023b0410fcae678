/** @file Trains a run in a child process, and defines the messages between it and its parent. */

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import {
  ComputationError,
  InputError,
  InterruptedError,
  OutOfMemoryError,
  UnavailableError,
} from '../base/index.js';
import type { ComputeOptions, PhaseOutcome, PhaseRun, TrainingReport } from '../training/index.js';
import type { StopRule } from './stop-rule.js';

/** Everything a process needs to train one run. */
export interface RunTask extends PhaseRun {
  readonly compute: Pick<ComputeOptions, 'device' | 'threads' | 'cacheDir' | 'precision' | 'memoryBytes'>;
  readonly versions: Readonly<Record<string, string>>;
  readonly saveIntervalSec: number | undefined;
  /** When it is stopped as hopeless; its figures so far are those of a resumed run. */
  readonly stopping?: { readonly rule: StopRule; readonly earlier: readonly (number | null)[] } | undefined;
}

/** Sent to the process. */
export type RunOrder = { readonly kind: 'train'; readonly task: RunTask } | { readonly kind: 'stop' };

/** Sent by the process. */
export type RunMessage =
  | { readonly kind: 'start'; readonly step: number; readonly totalSteps: number }
  | { readonly kind: 'report'; readonly report: TrainingReport }
  | { readonly kind: 'note' | 'warning'; readonly text: string }
  | { readonly kind: 'ended'; readonly outcome: PhaseOutcome }
  | { readonly kind: 'failed'; readonly error: SentError };

/** An error serialised for another process. */
export interface SentError {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
}

/**
 * With more arenas, glibc gives heaps of the thread that computes back to the system after each step and takes them
 * again: a step of RoBERTa-base size took a tenth longer. Other C libraries ignore it.
 */
const ONE_ARENA = { MALLOC_ARENA_MAX: '1' };

const WORKER = fileURLToPath(new URL('./run-worker.js', import.meta.url));

/**
 * Trains a run in a child process.
 * @param stop when aborted, the process finishes the current steps and saves
 * @throws what the process threw, or a ComputationError if it exited without a result
 */
export async function trainInProcess(
  task: RunTask,
  stop: AbortSignal,
  listen: (message: RunMessage) => void,
): Promise<PhaseOutcome> {
  const child = fork(WORKER, {
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: { ...ONE_ARENA, ...process.env },
  });
  const order = (message: RunOrder): void => {
    if (child.connected) child.send(message, () => undefined); // already exited: `close` reports it
  };
  const onStop = (): void => order({ kind: 'stop' });
  const kill = (): void => void child.kill('SIGKILL'); // a second Ctrl-C exits at once
  stop.addEventListener('abort', onStop);
  process.on('exit', kill);
  let lastWords = '';
  child.stderr!.on('data', (chunk) => {
    lastWords = (lastWords + String(chunk)).slice(-MOST_LAST_WORDS);
  });
  try {
    return await new Promise<PhaseOutcome>((resolve, reject) => {
      child.on('message', (message: RunMessage) => {
        if (message.kind === 'ended') resolve(message.outcome);
        else if (message.kind === 'failed') reject(revived(message.error));
        else listen(message);
      });
      child.on('error', reject);
      child.on('close', (code, signal) => reject(new ComputationError(endOf(code, signal, lastWords))));
      order({ kind: 'train', task });
      if (stop.aborted) onStop();
    });
  } finally {
    stop.removeEventListener('abort', onStop);
    process.off('exit', kill);
  }
}

const MOST_LAST_WORDS = 2000;

function endOf(code: number | null, signal: NodeJS.Signals | null, lastWords: string): string {
  const how = signal === null ? `with exit code ${code}` : `by ${signal}`;
  const why = signal === 'SIGKILL' ? '; if memory ran out, use fewer --jobs' : '';
  const line = lastWords.split('\n').findLast((words) => words.trim() !== '');
  return `its process was ended ${how}${why}${line === undefined ? '' : `: ${line.trim()}`}. Run the same command again to resume from the last saved state`;
}

/** Errors shown to the user keep their class, and thus their exit code. */
function revived({ name, message, stack }: SentError): Error {
  const classes = [InputError, InterruptedError, UnavailableError, ComputationError, OutOfMemoryError];
  const known = classes.find((each) => each.name === name);
  const error = known === undefined ? new Error(message) : new known(message);
  if (stack !== undefined) error.stack = stack;
  return error;
}

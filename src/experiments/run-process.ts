/** @file A run in a process of its own, and what it and the process that trains several runs say to each other. */

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { ComputationError, InputError, InterruptedError, UnavailableError } from '../base/index.js';
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

const WORKER = fileURLToPath(new URL('./run-worker.js', import.meta.url));

/**
 * Trains a run in a process of its own.
 * @param stop aborted, makes it finish the steps in hand and save
 * @throws what was thrown in the process, or a ComputationError when it ended without a word
 */
export async function trainInProcess(
  task: RunTask,
  stop: AbortSignal,
  listen: (message: RunMessage) => void,
): Promise<PhaseOutcome> {
  const child = fork(WORKER, { serialization: 'advanced', stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
  const order = (message: RunOrder): void => {
    if (child.connected) child.send(message, () => undefined); // gone already: `close` tells
  };
  const onStop = (): void => order({ kind: 'stop' });
  const kill = (): void => void child.kill('SIGKILL'); // a second Ctrl-C leaves at once
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
  const why = signal === 'SIGKILL' ? '; where memory ran out, use fewer --jobs' : '';
  const line = lastWords.split('\n').findLast((words) => words.trim() !== '');
  return `its process was ended ${how}${why}${line === undefined ? '' : `: ${line.trim()}`}. Run the same command again to go on from the last saved state`;
}

/** Errors that are a line for the user keep their class, and so their exit code. */
function revived({ name, message, stack }: SentError): Error {
  const classes = [InputError, InterruptedError, UnavailableError, ComputationError];
  const known = classes.find((each) => each.name === name);
  const error = known === undefined ? new Error(message) : new known(message);
  if (stack !== undefined) error.stack = stack;
  return error;
}

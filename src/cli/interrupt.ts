/** @file Ctrl-C: the first asks the work to stop at a good place, the second leaves at once. */

import { Worker } from 'node:worker_threads';
import { ExitCode } from '../base/index.js';
import { dropStatus, note } from './output.js';

export interface InterruptWatch {
  /** Aborted at the first Ctrl-C (or SIGTERM, which job schedulers send). */
  readonly signal: AbortSignal;
  /** Gives the signals back to Node. */
  dispose(): void;
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;
const GRACE_MS = 1000;

/**
 * Listens for Ctrl-C while something runs that can save its state.
 * @param finishing what still happens after the first one, such as `finishing this step and saving`.
 */
export function watchInterrupts(finishing: string): InterruptWatch {
  const controller = new AbortController();
  const onSignal = (): void => {
    if (controller.signal.aborted) leaveAtOnce();
    note(`${finishing}; press Ctrl-C again to leave at once`);
    controller.abort();
  };
  const dispose = (): void => {
    for (const name of SIGNALS) process.off(name, onSignal);
  };
  const leaveAtOnce = (): never => {
    dispose();
    dropStatus();
    // Exiting waits for a step in native code, which can take minutes: after a moment the signal itself ends that.
    new Worker(`setTimeout(() => process.kill(process.pid, 'SIGINT'), ${GRACE_MS})`, { eval: true });
    return process.exit(ExitCode.interrupted);
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  return { signal: controller.signal, dispose };
}

/** Runs `work` with a signal that Ctrl-C aborts, and stops listening when it ends. */
export async function withInterrupts<T>(
  finishing: string,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const watch = watchInterrupts(finishing);
  try {
    return await work(watch.signal);
  } finally {
    watch.dispose();
  }
}

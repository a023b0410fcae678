/** @file Ctrl-C: the first asks the work to stop at a good place, the second leaves at once. */

import { ExitCode } from '../base/index.js';
import { note } from './output.js';

export interface InterruptWatch {
  /** Aborted at the first Ctrl-C (or SIGTERM, which job schedulers send). */
  readonly signal: AbortSignal;
  /** Gives the signals back to Node. */
  dispose(): void;
}

/**
 * Listens for Ctrl-C while something runs that can save its state.
 * @param finishing what still happens after the first one, such as `finishing this step and saving`.
 */
export function watchInterrupts(finishing: string): InterruptWatch {
  const controller = new AbortController();
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(ExitCode.interrupted);
    note(`${finishing}; press Ctrl-C again to leave at once`);
    controller.abort();
  };
  const signals = ['SIGINT', 'SIGTERM'] as const;
  for (const name of signals) process.on(name, onSignal);
  return {
    signal: controller.signal,
    dispose() {
      for (const name of signals) process.off(name, onSignal);
    },
  };
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

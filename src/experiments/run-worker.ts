/**
 * @file The child process that trains one of several runs: receives its task from its parent and reports progress. It
 * prints nothing. On a signal, a stop message or the exit of its parent, it finishes the current steps and saves.
 */

import { stderr } from 'node:process';
import { STOP_SIGNALS } from '../base/index.js';
import type { RunMessage, RunOrder, RunTask } from './run-process.js';
import { watchedRun } from './stop-rule.js';

const stop = new AbortController();
const abort = (): void => stop.abort();

stderr.on('error', () => undefined); // saving must complete even if the parent has exited
// Before loading the training code, which takes a while: a terminal signals this process too.
for (const signal of STOP_SIGNALS) process.on(signal, abort);
process.on('disconnect', abort);
process.on('message', (order: RunOrder) => {
  if (order.kind === 'stop') abort();
  else void train(order.task);
});

async function train({ compute, saveIntervalSec, stopping, ...run }: RunTask): Promise<void> {
  try {
    const { trainPhase } = await import('../training/index.js');
    const watched = stopping && watchedRun(stopping.rule, stopping.earlier, stop.signal);
    const outcome = await trainPhase({
      ...run,
      compute: { ...compute, stop: stop.signal },
      stop: watched?.stop ?? stop.signal,
      ...(saveIntervalSec !== undefined && { saveIntervalSec }),
      onStart: (step, totalSteps) => void send({ kind: 'start', step, totalSteps }),
      onReport: (report) => {
        watched?.onReport(report);
        void send({ kind: 'report', report });
      },
      onNote: (text) => void send({ kind: 'note', text }),
      onWarning: (text) => void send({ kind: 'warning', text }),
    });
    await send({ kind: 'ended', outcome });
  } catch (thrown) {
    const { name, message, stack } = thrown instanceof Error ? thrown : new Error(String(thrown));
    await send({ kind: 'failed', error: { name, message, stack } });
  }
  if (process.connected) process.disconnect();
}

/** Resolves when the message has been sent, or at once if the parent has exited. */
function send(message: RunMessage): Promise<void> {
  return new Promise((resolve) => {
    if (process.connected) process.send!(message, () => resolve());
    else resolve();
  });
}

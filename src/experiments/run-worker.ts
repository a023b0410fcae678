/**
 * @file The process that trains one run of several: takes its task from its parent and tells how it goes. It
 * prints nothing. A signal, an order to stop or the end of its parent make it finish the steps in hand and save.
 */

import { stderr } from 'node:process';
import { STOP_SIGNALS } from '../base/index.js';
import type { RunMessage, RunOrder, RunTask } from './run-process.js';

const stop = new AbortController();
const abort = (): void => stop.abort();

stderr.on('error', () => undefined); // a parent that has gone must not end the saving
// Before training is loaded, which takes a while: a terminal sends its signals to this process too.
for (const signal of STOP_SIGNALS) process.on(signal, abort);
process.on('disconnect', abort);
process.on('message', (order: RunOrder) => {
  if (order.kind === 'stop') abort();
  else void train(order.task);
});

async function train({ compute, saveIntervalSec, ...run }: RunTask): Promise<void> {
  try {
    const { trainPhase } = await import('../training/index.js');
    const outcome = await trainPhase({
      ...run,
      compute: { ...compute, stop: stop.signal },
      stop: stop.signal,
      ...(saveIntervalSec !== undefined && { saveIntervalSec }),
      onStart: (step, totalSteps) => void tell({ kind: 'start', step, totalSteps }),
      onReport: (report) => void tell({ kind: 'report', report }),
      onNote: (text) => void tell({ kind: 'note', text }),
      onWarning: (text) => void tell({ kind: 'warning', text }),
    });
    await tell({ kind: 'ended', outcome });
  } catch (thrown) {
    const { name, message, stack } = thrown instanceof Error ? thrown : new Error(String(thrown));
    await tell({ kind: 'failed', error: { name, message, stack } });
  }
  if (process.connected) process.disconnect();
}

/** Resolves when the message is on its way; at once where the parent has gone. */
function tell(message: RunMessage): Promise<void> {
  return new Promise((resolve) => {
    if (process.connected) process.send!(message, () => resolve());
    else resolve();
  });
}

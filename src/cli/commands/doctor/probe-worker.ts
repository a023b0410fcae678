/** @file The process of a group of probes: takes their names, sends what each finds, prints nothing. */

import { errorMessage, mapConcurrently } from '../../../base/index.js';
import type { Check } from './check.js';
import { type ProbeContext, type ProbeGroup, type ProbeName, probes } from './probes.js';

export interface ProbeOrder {
  readonly group: ProbeGroup;
  readonly context: ProbeContext;
}

export type ProbeMessage =
  | { readonly kind: 'checks'; readonly name: ProbeName; readonly checks: Check[] }
  | { readonly kind: 'failure'; readonly name: ProbeName; readonly failure: string };

process.on('message', ({ group, context }: ProbeOrder) => {
  const jobs = group.inTurn ? 1 : group.probes.length;
  void mapConcurrently(group.probes, jobs, (name) => look(name, context)).then(() => process.disconnect());
});
process.on('disconnect', () => process.exit());

async function look(name: ProbeName, context: ProbeContext): Promise<void> {
  try {
    const probe = await probes[name].load();
    await send({ kind: 'checks', name, checks: await probe(context) });
  } catch (error) {
    await send({ kind: 'failure', name, failure: errorMessage(error) });
  }
}

function send(message: ProbeMessage): Promise<void> {
  return new Promise((resolve) => process.send!(message, () => resolve()));
}

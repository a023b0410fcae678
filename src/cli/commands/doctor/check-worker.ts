/** @file The child process for a group of checks: receives their names, sends each result, prints nothing. */

import { errorMessage, mapConcurrently } from '../../../base/index.js';
import { type CheckId, type CheckMessage, type CheckOrder, checks } from './checks.js';

process.on('message', ({ group, experiment }: CheckOrder) => {
  const jobs = group.inTurn ? 1 : group.checks.length;
  void mapConcurrently(group.checks, jobs, (id) => send(resultsOf(id, experiment))).then(() =>
    process.disconnect(),
  );
});
process.on('disconnect', () => process.exit());

async function resultsOf(id: CheckId, experiment: CheckOrder['experiment']): Promise<CheckMessage> {
  try {
    return { kind: 'results', id, results: await checks.find((check) => check.id === id)!.run(experiment) };
  } catch (error) {
    return { kind: 'failure', id, failure: errorMessage(error) };
  }
}

async function send(pending: Promise<CheckMessage>): Promise<void> {
  const message = await pending;
  await new Promise<void>((resolve) => process.send!(message, () => resolve()));
}

/** @file The worker thread that owns sessions and their state, so that computing never blocks the main thread. */

import { parentPort, workerData } from 'node:worker_threads';
import { type CreateResult, type Envelope, Flag, forMessage, type Reply, type Request } from './protocol.js';
import { createResidentState, type ResidentState, releaseMemory } from './resident-state.js';
import { createSession, type Session } from './session.js';

const sessions = new Map<number, { session: Session; state: ResidentState }>();
let nextSession = 1;

function lookup(id: number): { session: Session; state: ResidentState } {
  const found = sessions.get(id);
  if (found === undefined) throw new Error(`session ${id} is not open`);
  return found;
}

async function answer(request: Request): Promise<unknown> {
  if (request.kind === 'create') {
    const session = await createSession(request.model, request.options);
    const id = nextSession++;
    sessions.set(id, { session, state: createResidentState(request.state) });
    const { inputNames, outputNames } = session;
    return { session: id, inputNames, outputNames } satisfies CreateResult;
  }
  const { session, state } = lookup(request.session);
  switch (request.kind) {
    case 'run': {
      const results = await state.run(session, request.feeds, request.outputs);
      for (const feed of Object.values(request.feeds)) releaseMemory(feed); // copies that came with the message
      return results;
    }
    case 'evaluate': {
      const results = await state.evaluate(session, request.feeds, request.outputs);
      for (const feed of Object.values(request.feeds)) releaseMemory(feed);
      return results;
    }
    case 'setState':
      return state.set(request.tensors);
    case 'loadState':
      return state.load(request.path);
    case 'readState':
      return forMessage(state.get(request.names));
    case 'saveState':
      return state.save(request.path, request.names, request.metadata, request.options);
    case 'dispose':
      sessions.delete(request.session);
      return session.dispose();
  }
}

const flags = workerData as Int32Array;
let queue = Promise.resolve();

parentPort?.on('message', ({ id, request }: Envelope) => {
  queue = queue.then(async () => {
    let reply: Reply;
    try {
      Atomics.store(flags, Flag.busy, 1);
      if (Atomics.load(flags, Flag.closing) === 1) throw new Error('the compute thread is closing');
      reply = { kind: 'result', id, result: await answer(request) };
    } catch (error) {
      const { name, message, stack = '' } = error instanceof Error ? error : new Error(String(error));
      reply = { kind: 'error', id, error: { name, message, stack } };
    } finally {
      Atomics.store(flags, Flag.busy, 0);
      Atomics.notify(flags, Flag.busy);
    }
    parentPort?.postMessage(reply);
  });
});

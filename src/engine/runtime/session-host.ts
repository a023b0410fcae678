/** @file The main thread's side: open sessions in a worker thread and talk to them by promises. */

import { Worker } from 'node:worker_threads';
import { InputError } from '../../base/index.js';
import type { Tensor } from '../tensor/index.js';
import type { CreateResult, Envelope, Reply, Request, StateSlot } from './protocol.js';
import type { SessionOptions, Tensors } from './session.js';

/** A worker thread that owns sessions. Close it, or the process stays alive. */
export interface SessionHost {
  /** Loads a model, with tensors that stay in the worker between runs where `state` names some. */
  open(model: Uint8Array, options: SessionOptions, state?: readonly StateSlot[]): Promise<HostedSession>;
  /** Ends the thread; a run under way is abandoned. */
  close(): Promise<void>;
}

/** A session that lives in the worker. */
export interface HostedSession {
  /** Number of the session in its worker. */
  readonly id: number;
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  /**
   * Runs with the state carried over; returns the outputs that are not state. With `stateOf`, inputs that are another
   * session's state are read from there, where they lie.
   */
  run(feeds: Tensors, stateOf?: HostedSession): Promise<Record<string, Tensor>>;
  /** Copies tensors into the state, by input name. */
  setState(tensors: Tensors): Promise<void>;
  /** Copies of state tensors, by input name. */
  readState(names: readonly string[]): Promise<Record<string, Tensor>>;
  /** Fills the whole state from a safetensors file. */
  loadState(path: string): Promise<void>;
  /** Writes state tensors to a safetensors file, atomically, without passing through this thread. */
  saveState(
    path: string,
    names: readonly string[],
    metadata: Readonly<Record<string, string>>,
  ): Promise<void>;
  dispose(): Promise<void>;
}

/** Starts the worker thread. */
export function startSessionHost(): SessionHost {
  const worker = new Worker(new URL('./session-worker.js', import.meta.url));
  const waiting = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>();
  let nextId = 1;
  let failure: Error | undefined;

  const failAll = (error: Error): void => {
    failure = error;
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  worker.on('message', (reply: Reply) => {
    const entry = waiting.get(reply.id);
    waiting.delete(reply.id);
    if (waiting.size === 0) worker.unref();
    if ('error' in reply) entry?.reject(revive(reply.error));
    else entry?.resolve(reply.result);
  });
  worker.on('error', failAll);
  worker.on('exit', (code) => failAll(new Error(`the compute thread ended (code ${code})`)));
  worker.unref();

  const ask = <T>(request: Request): Promise<T> => {
    if (failure !== undefined) return Promise.reject(failure);
    const id = nextId++;
    worker.ref();
    return new Promise<T>((resolve, reject) => {
      waiting.set(id, { resolve: resolve as (result: unknown) => void, reject });
      worker.postMessage({ id, request } satisfies Envelope);
    });
  };

  return {
    async open(model, options, state = []) {
      const created = await ask<CreateResult>({ kind: 'create', model, options, state });
      const { session, inputNames, outputNames } = created;
      return {
        id: session,
        inputNames,
        outputNames,
        run: (feeds, stateOf) => ask({ kind: 'run', session, feeds, stateOf: stateOf?.id }),
        setState: (tensors) => ask({ kind: 'setState', session, tensors }),
        readState: (names) => ask({ kind: 'readState', session, names }),
        loadState: (path) => ask({ kind: 'loadState', session, path }),
        saveState: (path, names, metadata) => ask({ kind: 'saveState', session, path, names, metadata }),
        dispose: () => ask({ kind: 'dispose', session }),
      };
    },
    async close() {
      worker.removeAllListeners('exit');
      await worker.terminate();
      failAll(new Error('the compute thread was closed'));
    },
  };
}

function revive(error: { name: string; message: string; stack: string }): Error {
  const revived = error.name === 'InputError' ? new InputError(error.message) : new Error(error.message);
  revived.stack = error.stack;
  return revived;
}

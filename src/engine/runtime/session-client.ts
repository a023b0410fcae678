/** @file Main-thread client of the session worker: opens sessions in the worker thread and returns promises. */

import { Worker } from 'node:worker_threads';
import { InputError, OutOfMemoryError } from '../../base/index.js';
import type { Tensor, WriteOptions } from '../tensor/index.js';
import { onnxruntime } from './onnxruntime.js';
import {
  type CreateResult,
  type Envelope,
  Flag,
  forMessage,
  type Reply,
  type Request,
  type SavedName,
  type StateSlot,
} from './protocol.js';
import type { SessionOptions, Tensors } from './session.js';

/**
 * A worker thread that owns sessions. It keeps the process alive only while it computes. Native code cannot be
 * interrupted: `close` and process.exit wait for the current run. To leave immediately, raise a signal.
 */
export interface SessionWorker {
  /** Loads a model. `state` names tensors that stay in the worker between runs. */
  open(model: Uint8Array, options: SessionOptions, state?: readonly StateSlot[]): Promise<WorkerSession>;
  /**
   * Stops the thread. Pending requests are rejected at once, and those not yet started are dropped, but the promise
   * waits for the current run: terminating a thread inside native code would abort the process.
   */
  close(): Promise<void>;
}

/** A session in the worker thread. */
export interface WorkerSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  /** Runs with the state carried over; returns the outputs that are not state: all, or only those named. */
  run(feeds: Tensors, outputs?: readonly string[]): Promise<Record<string, Tensor>>;
  /** Runs with the state as it is and leaves it so; returns the named outputs. */
  evaluate(feeds: Tensors, outputs: readonly string[]): Promise<Record<string, Tensor>>;
  /** Copies tensors into the state, by input name. */
  setState(tensors: Tensors): Promise<void>;
  /** Returns copies of state tensors, by input name. */
  readState(names: readonly string[]): Promise<Record<string, Tensor>>;
  /** Fills the whole state from a safetensors file. */
  loadState(path: string): Promise<void>;
  /** Writes state tensors to a safetensors file, atomically, without passing through the main thread. */
  saveState(
    path: string,
    names: readonly SavedName[],
    metadata: Readonly<Record<string, string>>,
    options?: WriteOptions,
  ): Promise<void>;
  dispose(): Promise<void>;
}

/** Starts the worker thread. */
export function startSessionWorker(): SessionWorker {
  onnxruntime(); // load it here first: a library that only a worker holds is unloaded with the worker
  const flags = new Int32Array(new SharedArrayBuffer(8));
  const worker = new Worker(new URL('./session-worker.js', import.meta.url), {
    workerData: flags,
    execArgv: [], // flags of the main program, such as --input-type, do not apply to the worker
  });
  const waiting = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>();
  let nextId = 1;
  let unanswered = 0;
  let failure: Error | undefined;
  let whenQuiet = (): void => {};
  let closed: Promise<void> | undefined;

  const failAll = (error: Error): void => {
    failure ??= error;
    for (const { reject } of waiting.values()) reject(failure);
    waiting.clear();
  };
  worker.on('message', (reply: Reply) => {
    const entry = waiting.get(reply.id);
    waiting.delete(reply.id);
    unanswered -= 1;
    if (unanswered === 0) {
      worker.unref();
      whenQuiet();
    }
    if (reply.kind === 'error') entry?.reject(revive(reply.error));
    else entry?.resolve(reply.result);
  });
  /** Node terminates its threads on exit, and onnxruntime aborts the process if that interrupts a run: wait for it. */
  const waitAtExit = (): void => {
    Atomics.store(flags, Flag.closing, 1);
    Atomics.wait(flags, Flag.busy, 1);
  };
  process.on('exit', waitAtExit);
  const markDead = (error: Error): void => {
    failAll(error);
    Atomics.store(flags, Flag.busy, 0); // a dead thread cannot reset it
    unanswered = 0;
    whenQuiet();
  };
  worker.on('error', markDead);
  worker.on('exit', (code) => markDead(new Error(`the compute thread ended (code ${code})`)));
  worker.unref();

  const close = async (): Promise<void> => {
    Atomics.store(flags, Flag.closing, 1);
    failAll(new Error('the compute thread was closed'));
    if (unanswered > 0) {
      await new Promise<void>((resolve) => {
        whenQuiet = resolve;
      });
    }
    await worker.terminate();
    process.off('exit', waitAtExit);
  };

  const ask = <T>(request: Request): Promise<T> => {
    if (failure !== undefined) return Promise.reject(failure);
    const id = nextId++;
    unanswered += 1;
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
        inputNames,
        outputNames,
        run: (feeds, outputs) => ask({ kind: 'run', session, feeds: forMessage(feeds), outputs }),
        evaluate: (feeds, outputs) => ask({ kind: 'evaluate', session, feeds: forMessage(feeds), outputs }),
        setState: (tensors) => ask({ kind: 'setState', session, tensors: forMessage(tensors) }),
        readState: (names) => ask({ kind: 'readState', session, names }),
        loadState: (path) => ask({ kind: 'loadState', session, path }),
        saveState: (path, names, metadata, options) =>
          ask({ kind: 'saveState', session, path, names, metadata, options }),
        dispose: () => ask({ kind: 'dispose', session }),
      };
    },
    close() {
      closed ??= close();
      return closed;
    },
  };
}

function revive(error: { name: string; message: string; stack: string }): Error {
  const known = [InputError, OutOfMemoryError].find(({ name }) => name === error.name);
  const revived = new (known ?? Error)(error.message);
  revived.stack = error.stack;
  return revived;
}

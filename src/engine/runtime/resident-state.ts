/**
 * @file State that stays with its session in the worker thread: fed to each run and replaced by the run's outputs, so
 * that parameters never cross to the main thread. Frees replaced arrays explicitly, since the garbage collector may
 * hold on to gigabytes for several runs.
 */

import { MessageChannel } from 'node:worker_threads';
import { InputError } from '../../base/index.js';
import {
  readSafetensorsHeader,
  readSafetensorsTensor,
  type Tensor,
  tensor,
  type WriteOptions,
  writeSafetensors,
} from '../tensor/index.js';
import type { StateSlot } from './protocol.js';
import type { Session, Tensors } from './session.js';

/** State of one session; may be empty. */
export interface ResidentState {
  /** Input names of all slots. */
  readonly names: ReadonlySet<string>;
  /** Runs the session with the state added to the feeds; returns the outputs that are not state. */
  run(session: Session, feeds: Tensors): Promise<Record<string, Tensor>>;
  /** Replaces the current tensors, all or none. @throws Error for an unknown name or a different shape */
  set(tensors: Tensors): void;
  /** The current tensors by name; read them before the next run, which frees their memory. */
  get(names: readonly string[]): Record<string, Tensor>;
  /** Fills every slot from a safetensors file, or none. @throws InputError naming the file and the mismatch */
  load(path: string): Promise<void>;
  /** Writes state tensors to a safetensors file, atomically. */
  save(
    path: string,
    names: readonly string[],
    metadata: Readonly<Record<string, string>>,
    options?: WriteOptions,
  ): Promise<void>;
}

export function createResidentState(slots: readonly StateSlot[]): ResidentState {
  const current = new Map<string, Tensor>(
    slots.map((slot) => [slot.input, tensor(slot.dtype, slot.shape)] as const),
  );
  const tensorOf = (name: string): Tensor => {
    const found = current.get(name);
    if (found === undefined) throw new Error(`no state is called ${name}`);
    return found;
  };
  const requireFit = (name: string, value: Tensor): void => {
    const known = tensorOf(name);
    if (!fits(value, known)) throw new Error(`state ${name} is ${typeOf(known)}, got ${typeOf(value)}`);
  };

  return {
    names: new Set(current.keys()),
    async run(session, feeds) {
      const results = new Map(
        Object.entries(await session.run({ ...Object.fromEntries(current), ...feeds })),
      );
      for (const { input, output } of slots) requireFit(input, results.get(output)!);
      for (const { input, output } of slots) {
        releaseMemory(tensorOf(input));
        current.set(input, results.get(output)!);
        results.delete(output);
      }
      return Object.fromEntries(results);
    },
    set(tensors) {
      for (const [name, value] of Object.entries(tensors)) requireFit(name, value);
      for (const [name, value] of Object.entries(tensors)) current.set(name, value);
    },
    get: (names) => Object.fromEntries(names.map((name) => [name, tensorOf(name)])),
    async load(path) {
      const header = await readSafetensorsHeader(path);
      // Checks and reads everything before changing anything: a file that does not fit leaves the state unchanged.
      for (const [name, slot] of current) {
        const entry = header.entries.get(name);
        if (entry === undefined)
          throw new InputError(`${path} holds no tensor ${name}; it belongs to another run`);
        if (!fits(entry, slot)) {
          throw new InputError(
            `${path} belongs to another run: its ${name} is ${typeOf(entry)}, here it is ${typeOf(slot)}`,
          );
        }
      }
      const loaded: [string, Tensor][] = [];
      for (const name of current.keys()) loaded.push([name, await readSafetensorsTensor(header, name)]);
      for (const [name, value] of loaded) current.set(name, value);
    },
    async save(path, names, metadata, options) {
      await writeSafetensors(
        path,
        names.map((name) => [name, tensorOf(name)] as const),
        metadata,
        options,
      );
    },
  };
}

type Typed = Pick<StateSlot, 'dtype' | 'shape'>;

function fits(source: Typed, target: Typed): boolean {
  return source.dtype === target.dtype && source.shape.join() === target.shape.join();
}

/** "float32 [768, 3072]" */
function typeOf({ dtype, shape }: Typed): string {
  return `${dtype} [${shape.join(', ')}]`;
}

const { port1: nowhere, port2 } = new MessageChannel();
port2.close();

/** Frees a tensor's memory and leaves it empty. A view of a larger buffer is left alone. */
export function releaseMemory({ data }: Tensor): void {
  const { buffer } = data;
  if (!(buffer instanceof ArrayBuffer) || data.byteLength !== buffer.byteLength) return;
  nowhere.postMessage(null, [buffer]); // a message to a closed port is dropped together with its transferred buffers
}

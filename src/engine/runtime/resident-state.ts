/**
 * @file State that stays with its session in the worker thread: fed to each run and replaced by the run's outputs, so
 * that parameters never cross to the main thread. Frees replaced arrays explicitly, since the garbage collector may
 * hold on to gigabytes for several runs.
 */

import { MessageChannel } from 'node:worker_threads';
import { InputError } from '../../base/index.js';
import {
  elementCount,
  readSafetensorsHeader,
  readSafetensorsTensor,
  type Tensor,
  tensor,
  type WriteOptions,
  writeSafetensors,
} from '../tensor/index.js';
import type { SavedName, StatePart, StateSlot } from './protocol.js';
import type { Session, Tensors } from './session.js';

/** State of one session; may be empty. Its names are those of the slots' parts. */
export interface ResidentState {
  /**
   * Runs the session with the state added to the feeds, and replaces the state. Returns the outputs that are not state:
   * all, or only those named.
   */
  run(session: Session, feeds: Tensors, outputs?: readonly string[]): Promise<Record<string, Tensor>>;
  /** Runs the session with the state added to the feeds, leaves the state as it is, and returns the named outputs. */
  evaluate(session: Session, feeds: Tensors, outputs: readonly string[]): Promise<Record<string, Tensor>>;
  /** Replaces the current values, all or none. @throws Error for an unknown name or a different shape */
  set(tensors: Tensors): void;
  /** The current tensors by name; read them before the next run, which frees their memory. */
  get(names: readonly string[]): Record<string, Tensor>;
  /** Fills every slot from a safetensors file, or none. @throws InputError naming the file and the mismatch */
  load(path: string): Promise<void>;
  /** Writes state tensors to a safetensors file, atomically. */
  save(
    path: string,
    names: readonly SavedName[],
    metadata: Readonly<Record<string, string>>,
    options?: WriteOptions,
  ): Promise<void>;
}

export function createResidentState(slots: readonly StateSlot[]): ResidentState {
  const current = new Map<string, Tensor>(
    slots.map((slot) => [slot.input, tensor(slot.dtype, slot.shape)] as const),
  );
  const parts = new Map(
    slots.flatMap((slot) => partsOf(slot).map((part) => [part.name, { slot, part }] as const)),
  );
  const partOf = (name: string): { slot: StateSlot; part: StatePart } => {
    const found = parts.get(name);
    if (found === undefined) throw new Error(`no state is called ${name}`);
    return found;
  };
  /** The part as a view of its slot's tensor. */
  const viewOf = ({ slot, part }: { slot: StateSlot; part: StatePart }): Tensor => {
    const whole = current.get(slot.input)!;
    if (partsOf(slot).length === 1) return { ...whole, shape: part.shape };
    const end = part.offset + elementCount(part.shape);
    return { ...whole, shape: part.shape, data: whole.data.subarray(part.offset, end) } as Tensor;
  };
  const tensorOf = (name: string): Tensor => viewOf(partOf(name));
  const requireFit = (name: string, value: Tensor, known: Typed): void => {
    if (!fits(value, known)) throw new Error(`state ${name} is ${typeOf(known)}, got ${typeOf(value)}`);
  };
  /** Takes over the tensor of a whole slot; copies what is only a part of one. */
  const put = (name: string, value: Tensor): void => {
    const { slot, part } = partOf(name);
    if (partsOf(slot).length === 1) current.set(slot.input, { ...value, shape: slot.shape });
    else (viewOf({ slot, part }).data as Float32Array).set(value.data as Float32Array);
  };

  return {
    async run(session, feeds, outputs) {
      const wanted = outputs && [...slots.map(({ output }) => output), ...outputs];
      const results = new Map(
        Object.entries(await session.run({ ...Object.fromEntries(current), ...feeds }, wanted)),
      );
      for (const slot of slots) requireFit(slot.input, results.get(slot.output)!, slot);
      for (const { input, output } of slots) {
        releaseMemory(current.get(input)!);
        current.set(input, results.get(output)!);
        results.delete(output);
      }
      return Object.fromEntries(results);
    },
    evaluate: (session, feeds, outputs) => session.run({ ...Object.fromEntries(current), ...feeds }, outputs),
    set(tensors) {
      for (const [name, value] of Object.entries(tensors)) requireFit(name, value, tensorOf(name));
      for (const [name, value] of Object.entries(tensors)) put(name, value);
    },
    get: (names) => Object.fromEntries(names.map((name) => [name, tensorOf(name)])),
    async load(path) {
      const header = await readSafetensorsHeader(path);
      // Checks everything before changing anything: a file that does not fit leaves the state unchanged.
      for (const [name, { slot, part }] of parts) {
        const entry = header.entries.get(name);
        const wanted = { dtype: slot.dtype, shape: part.shape };
        if (entry === undefined)
          throw new InputError(`${path} holds no tensor ${name}; it belongs to another run`);
        if (!fits(entry, wanted)) {
          throw new InputError(
            `${path} belongs to another run: its ${name} is ${typeOf(entry)}, here it is ${typeOf(wanted)}`,
          );
        }
      }
      const loaded: [string, Tensor][] = [];
      for (const name of parts.keys()) loaded.push([name, await readSafetensorsTensor(header, name)]);
      for (const [name, value] of loaded) put(name, value);
    },
    async save(path, names, metadata, options) {
      await writeSafetensors(
        path,
        names.map((each) => {
          const [name, savedAs] = typeof each === 'string' ? [each, each] : each;
          return [savedAs, tensorOf(name)] as const;
        }),
        metadata,
        options,
      );
    },
  };
}

function partsOf({ input, shape, parts }: StateSlot): readonly StatePart[] {
  return parts ?? [{ name: input, offset: 0, shape }];
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

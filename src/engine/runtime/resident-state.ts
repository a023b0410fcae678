/**
 * @file State that stays beside the session: two buffers for each tensor, read from one, written to the other,
 * swapped after each run, so that no run allocates or moves a parameter.
 */

import { InputError } from '../../base/index.js';
import {
  readSafetensorsHeader,
  readSafetensorsTensor,
  type Tensor,
  tensor,
  writeSafetensors,
} from '../tensor/index.js';
import type { StateSlot } from './protocol.js';
import type { Session, Tensors } from './session.js';

/** State of one session; empty where the session has none. */
export interface ResidentState {
  /** Input names of all slots. */
  readonly names: ReadonlySet<string>;
  /** Runs the session with the state added to the feeds; returns the outputs that are not state. */
  run(session: Session, feeds: Tensors): Promise<Record<string, Tensor>>;
  /** Copies tensors in. @throws Error for an unknown name or another shape. */
  set(tensors: Tensors): void;
  /** The current tensors by name. They are overwritten by later runs. */
  get(names: readonly string[]): Record<string, Tensor>;
  /** Fills every slot from a safetensors file, or none: @throws InputError naming the file and what does not fit. */
  load(path: string): Promise<void>;
  /** Writes tensors as a safetensors file, atomically. */
  save(path: string, names: readonly string[], metadata: Readonly<Record<string, string>>): Promise<void>;
}

export function createResidentState(slots: readonly StateSlot[]): ResidentState {
  let current = new Map(slots.map((slot) => [slot.input, tensor(slot.dtype, slot.shape)]));
  let spare = new Map(slots.map((slot) => [slot.input, tensor(slot.dtype, slot.shape)]));
  const fetched = new Set(slots.map((slot) => slot.output));

  const slotOf = (name: string): Tensor => {
    const found = current.get(name);
    if (found === undefined) throw new Error(`no state is called ${name}`);
    return found;
  };
  const fill = (name: string, source: Tensor): void => {
    const target = slotOf(name);
    if (!fits(source, target)) throw new Error(`state ${name} is ${typeOf(target)}, got ${typeOf(source)}`);
    (target.data as Float32Array).set(source.data as Float32Array);
  };

  return {
    names: new Set(current.keys()),
    async run(session, feeds) {
      if (slots.length === 0) return session.run(feeds);
      const outputs: Record<string, Tensor | null> = {};
      for (const name of session.outputNames) outputs[name] = null;
      for (const slot of slots) outputs[slot.output] = spare.get(slot.input)!;
      const results = await session.run({ ...Object.fromEntries(current), ...feeds }, outputs);
      [current, spare] = [spare, current];
      return Object.fromEntries(Object.entries(results).filter(([name]) => !fetched.has(name)));
    },
    set(tensors) {
      for (const [name, value] of Object.entries(tensors)) fill(name, value);
    },
    get: (names) => Object.fromEntries(names.map((name) => [name, slotOf(name)])),
    async load(path) {
      const header = await readSafetensorsHeader(path);
      // All is checked before anything is filled: a file that does not fit leaves the state as it was.
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
      for (const name of current.keys()) fill(name, await readSafetensorsTensor(header, name));
    },
    async save(path, names, metadata) {
      await writeSafetensors(
        path,
        names.map((name) => [name, slotOf(name)] as const),
        metadata,
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

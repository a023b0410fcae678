/** @file Messages between the main thread and the worker thread that owns the sessions. */

import type { DType, WriteOptions } from '../tensor/index.js';
import type { SessionOptions, Tensors } from './session.js';

/** A tensor that stays in the worker between runs: read as `input`, replaced by `output` after each run. */
export interface StateSlot {
  readonly input: string;
  readonly output: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** What it consists of, under the names that files and other sessions use; by default itself, called `input`. */
  readonly parts?: readonly StatePart[];
}

/** Consecutive elements of a state tensor. */
export interface StatePart {
  readonly name: string;
  /** In elements. */
  readonly offset: number;
  readonly shape: readonly number[];
}

/** The name of a state tensor, with that under which it is written if it differs. */
export type SavedName = string | readonly [name: string, savedAs: string];

export type Request =
  | { kind: 'create'; model: Uint8Array; options: SessionOptions; state: readonly StateSlot[] }
  | { kind: 'run'; session: number; feeds: Tensors; outputs: readonly string[] | undefined }
  | { kind: 'evaluate'; session: number; feeds: Tensors; outputs: readonly string[] }
  | { kind: 'setState'; session: number; tensors: Tensors }
  | { kind: 'loadState'; session: number; path: string }
  | { kind: 'readState'; session: number; names: readonly string[] }
  | {
      kind: 'saveState';
      session: number;
      path: string;
      names: readonly SavedName[];
      metadata: Readonly<Record<string, string>>;
      options: WriteOptions | undefined;
    }
  | { kind: 'dispose'; session: number };

/** Tensors as they go into a message, which would take along the whole buffer behind a view. */
export function forMessage(tensors: Tensors): Tensors {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, { dtype, shape, data }]) => [
      name,
      { dtype, shape, data: data.byteLength === data.buffer.byteLength ? data : data.slice() },
    ]),
  );
}

/** Indices into the Int32Array shared by both threads. */
export const Flag = {
  /** 1: the main thread wants the worker to stop; pending requests are dropped. */
  closing: 0,
  /** 1 while the worker is handling a request. */
  busy: 1,
} as const;

export interface Envelope {
  readonly id: number;
  readonly request: Request;
}

export type Reply =
  | { readonly kind: 'result'; readonly id: number; readonly result: unknown }
  | {
      readonly kind: 'error';
      readonly id: number;
      readonly error: { readonly name: string; readonly message: string; readonly stack: string };
    };

export interface CreateResult {
  readonly session: number;
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
}

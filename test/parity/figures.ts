/** @file Errors against a reference, and the table of them that `make parity` prints. */

import { appendFileSync } from 'node:fs';
import { float32Of, type Tensor } from '../../src/engine/tensor/index.js';

/** Distance of a result from its reference. */
export interface ParityError {
  /** Largest absolute difference of an element. */
  readonly absolute: number;
  /** Largest difference relative to the larger of the element and the root mean square of all. */
  readonly relative: number;
}

/** One row of the table. */
export interface ParityRow extends ParityError {
  readonly model: string;
  readonly shape: string;
  readonly dtype: string;
  readonly quantity: string;
}

/** Errors of `actual` over the rows of the last axis that `rows` selects. @throws Error if the shapes differ */
export function parityError(
  actual: Tensor,
  expected: Tensor,
  rows: (row: number) => boolean = () => true,
): ParityError {
  if (actual.shape.join() !== expected.shape.join()) {
    throw new Error(`shape [${actual.shape.join()}] where [${expected.shape.join()}] is expected`);
  }
  const [got, wanted] = [float32Of(actual), float32Of(expected)];
  const rootMeanSquare = Math.sqrt(wanted.reduce((sum, value) => sum + value * value, 0) / wanted.length);
  const width = expected.shape.at(-1) ?? 1;
  let [absolute, relative] = [0, 0];
  wanted.forEach((value, i) => {
    if (!rows(Math.floor(i / width))) return;
    const difference = Math.abs(got[i]! - value);
    if (!Number.isFinite(difference)) [absolute, relative] = [Infinity, Infinity];
    absolute = Math.max(absolute, difference);
    relative = Math.max(relative, difference / Math.max(Math.abs(value), rootMeanSquare));
  });
  return { absolute, relative };
}

/** The maximum of several errors, absolute and relative separately. */
export function largestError(errors: Iterable<ParityError>): ParityError {
  const all = [...errors];
  return {
    absolute: Math.max(...all.map(({ absolute }) => absolute)),
    relative: Math.max(...all.map(({ relative }) => relative)),
  };
}

/** Adds a row to the file in EMOQ_PARITY_FILE, if set; `make parity` prints it. */
export function recordParity(row: ParityRow): void {
  const file = process.env.EMOQ_PARITY_FILE;
  if (file) appendFileSync(file, `${JSON.stringify(row)}\n`);
}

/** @file The one-line error of a rejected operation. */

import { expect } from 'vitest';
import { InputError } from '../../src/base/index.js';

/** The message of an InputError, which must be one line. */
export async function failure(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  expect(error).toBeInstanceOf(InputError);
  expect((error as Error).message).not.toContain('\n');
  return (error as Error).message;
}

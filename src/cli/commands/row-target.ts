/** @file Where commands that go through rows write them, and what they say of them. */

import { InputError, type OutputTarget, userTarget } from '../../base/index.js';
import type { Shard } from '../../inference/index.js';
import { note } from '../terminal-output.js';

/** A file, a stream, or something that shows rows on the terminal. */
export type RowTarget<Row> = OutputTarget | ((row: Row) => void);

export interface RowTargetOptions {
  readonly output?: string;
  readonly format?: string;
  readonly shard?: Shard;
}

/**
 * Without an output, rows are shown on the terminal, or go as CSV to what stdout is.
 * @throws InputError for a shard without an output file
 */
export async function rowTarget<Row>(
  { output, format, shard }: RowTargetOptions,
  shown: () => Promise<(row: Row) => void>,
): Promise<RowTarget<Row>> {
  if (shard !== undefined && (output === undefined || output === '-')) {
    throw new InputError('--shard needs an output file for emoq merge; name one with -o');
  }
  if (output !== undefined) return userTarget(output, '-o');
  if (format !== undefined || process.stdout.isTTY !== true) return userTarget('-');
  return shown();
}

/** Says which columns of the input have other names in the output. */
export function noteRenamed(renamed: ReadonlyMap<string, string>): void {
  if (renamed.size === 0) return;
  const named = [...renamed].map(([from, to]) => `"${from}" as "${to}"`).join(', ');
  note(`columns of the input that the output has too are kept under other names: ${named}`);
}

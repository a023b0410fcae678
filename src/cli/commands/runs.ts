/** @file `emoq runs`: its options and help. */

import type { Command } from 'commander';

export interface RunsOptions {
  readonly root: string;
  readonly json?: true;
}

export function declare(command: Command): void {
  command
    .option('--root <folder>', 'where to look for runs', 'runs')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
The validation figure is that of the epoch which is kept, the test figures those
that eval has written. Time is that of the processes which trained the run,
utt/s the utterances that were trained on in a second. The last column has the
keys of the recipe that differ from the recipe of that name.

Example:
  emoq runs`,
    );
}

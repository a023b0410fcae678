/** @file `emoq prepare-meld`: a raw MELD release to a prepared corpus. */

import type { Command } from 'commander';
import { addPreparationOptions, type PreparationCommandOptions, runPreparation } from './preparation.js';

export interface PrepareMeldOptions extends PreparationCommandOptions {
  readonly root: string;
  readonly out: string;
}

export function declare(command: Command): void {
  command
    .requiredOption('--root <folder>', 'the unpacked folder MELD.Raw')
    .option('--out <folder>', 'where the prepared corpus goes', 'data/meld');
  addPreparationOptions(command).addHelpText(
    'after',
    `
Reads the three CSVs and the three folders of clips, checks both against the
known counts, and writes <out>/manifest.csv, <out>/manifest.json and 16 kHz mono
audio. Run again after an interruption to go on.

Example:
  emoq prepare-meld --root MELD.Raw`,
  );
}

export async function run(options: PrepareMeldOptions): Promise<void> {
  const { prepareMeld } = await import('../../data/corpora/index.js');
  const { root, out } = options;
  await runPreparation(options, (controls) => prepareMeld({ root, out, ...controls }));
}

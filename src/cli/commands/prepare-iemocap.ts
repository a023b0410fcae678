/** @file `emoq prepare-iemocap`: a raw IEMOCAP release to a prepared corpus. */

import type { Command } from 'commander';
import { addPreparationOptions, type PreparationCommandOptions, runPreparation } from './preparation.js';

export interface PrepareIemocapOptions extends PreparationCommandOptions {
  readonly root: string;
  readonly out: string;
}

export function declare(command: Command): void {
  command
    .requiredOption('--root <folder>', 'the folder IEMOCAP_full_release')
    .option('--out <folder>', 'where the prepared corpus goes', 'data/iemocap');
  addPreparationOptions(command).addHelpText(
    'after',
    `
Reads labels, transcripts and sentence audio of the five sessions, checks them
against the known counts, and writes <out>/manifest.csv, <out>/manifest.json and
the audio. Run again after an interruption to go on.

Example:
  emoq prepare-iemocap --root IEMOCAP_full_release`,
  );
}

export async function run(options: PrepareIemocapOptions): Promise<void> {
  const { prepareIemocap } = await import('../../data/corpora/index.js');
  const { root, out } = options;
  await runPreparation(options, (controls) => prepareIemocap({ root, out, ...controls }));
}

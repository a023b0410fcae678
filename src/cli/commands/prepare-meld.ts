/** @file `emoq prepare-meld`: a raw MELD release to a prepared corpus. */

import type { Command } from 'commander';
import { addPreparationOptions, type PreparationCommandOptions, runPreparation } from './preparation.js';

export interface PrepareMeldOptions extends PreparationCommandOptions {
  readonly root: string;
  readonly out: string;
  readonly finalVideos?: true;
}

export function declare(command: Command): void {
  command
    .requiredOption('--root <folder>', 'the folder MELD.Raw, its clips unpacked or not')
    .option('--out <folder>', 'where the prepared corpus goes', 'data/meld')
    .option('--final-videos', 'prefer the final_videos_* clips of the test split to the plain ones');
  addPreparationOptions(command).addHelpText(
    'after',
    `
Reads the three CSVs and the clips, from the three folders or straight from
train.tar.gz, dev.tar.gz and test.tar.gz; checks both against the known counts,
and writes <out>/manifest.csv, <out>/manifest.json and 16 kHz mono audio. Run
again after an interruption to go on.

Example:
  emoq prepare-meld --root MELD.Raw`,
  );
}

export async function run(options: PrepareMeldOptions): Promise<void> {
  const { prepareMeld } = await import('../../data/corpora/index.js');
  const { root, out, finalVideos } = options;
  await runPreparation(options, (controls) => prepareMeld({ root, out, finalVideos, ...controls }));
}

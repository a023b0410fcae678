/** @file `emoq prepare-toy`: its options and help. */

import { type Command, Option } from 'commander';
import { wholeNumber } from '../options.js';

export interface PrepareToyOptions {
  readonly out: string;
  readonly seed: number;
  readonly speakers?: number;
  readonly utterances?: number;
  readonly raw?: 'meld' | 'iemocap';
  readonly spoken?: true;
  readonly jobs?: number;
}

export function declare(command: Command): void {
  command
    .option('--out <folder>', 'where the corpus and its backbones go', 'data/toy4')
    .option('--seed <n>', 'the same seed gives the same files', wholeNumber(0), 0)
    .option('--speakers <n>', 'number of speakers (default: 20, or 10 with --raw iemocap)', wholeNumber(5))
    .option('--utterances <n>', 'utterances of each speaker, a multiple of 4 (default: 32)', wholeNumber(4))
    .addOption(
      new Option(
        '--raw <release>',
        'write a raw release tree instead, for the other prepare commands',
      ).choices(['meld', 'iemocap']),
    )
    .option('--spoken', 'let the voice say the transcript instead of neutral syllables')
    .option('--jobs <n>', 'clips at a time (default: one for each core)', wholeNumber(1))
    .addHelpText(
      'after',
      `
Writes a small synthetic corpus, in which neither voice nor words alone tell the
four emotions apart, and small random backbones in the real formats.

Example:
  emoq prepare-toy`,
    );
}

/** @file `emoq predict`: its options and help. */

import { type Command, Option } from 'commander';
import { addChannelOption, addDeviceOption, addThreadsOption, type DeviceOption } from '../options.js';

export interface PredictOptions {
  readonly output: string;
  readonly run: string;
  readonly pathColumn: string;
  readonly textColumn: string;
  readonly speakerColumn: string;
  readonly channel?: string;
  /** Default by the name of the output. */
  readonly format?: 'csv' | 'jsonl';
  readonly device: DeviceOption;
  readonly threads?: number;
}

export function declare(command: Command): void {
  command
    .usage('[options] <input.csv>')
    .argument('<input.csv...>', 'a CSV of audio paths; text, speaker, gender and channel where known')
    .requiredOption('-o, --output <file>', 'where the predictions go; - is stdout')
    .requiredOption(
      '--run <folder>',
      'the run or experiment whose model predicts (stage 2 where there is one)',
    )
    .option('--path-column <name>', 'column of audio paths, relative to the CSV', 'path')
    .option('--text-column <name>', 'column of transcripts', 'text')
    .option('--speaker-column <name>', 'column of speakers', 'speaker')
    .addOption(
      new Option('--format <format>', 'default: by the name of the output').choices(['csv', 'jsonl']),
    );
  addThreadsOption(addDeviceOption(addChannelOption(command))).addHelpText(
    'after',
    `
Writes label and probabilities for every row. A row that cannot be predicted
says why in the column error, and the others go on. The column note says what
should be known of a recording: judged on its beginning, silent, clipped.
A column channel (1, 2, ... or mix) goes before --channel. Exit
code 1 where no row at all could be predicted.

Example:
  emoq predict calls.csv -o emotions.csv --run runs/toy4`,
  );
}

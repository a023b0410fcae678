/** @file `emoq merge`: joins the outputs of `emoq predict --shard` or `emoq transcribe --shard`. */

import { userTarget } from '../../base/index.js';
import { defineCommand, type OptionsOf, option } from '../command-definition.js';
import { note, printResult } from '../terminal-output.js';

const options = {
  output: option('<file>', 'output file; - is stdout', { short: 'o', required: true }),
};

export const mergeCommand = defineCommand({
  argument: { name: '<part...>', description: 'the outputs of predict --shard 1/n to n/n, in any order' },
  options,
  help: `
Joins the parts in the order of their rows. Each needs the file NAME.json that
predict or transcribe wrote beside it. Parts of different models, inputs, options,
formats or columns are refused, and so are missing parts, parts that are given
twice, and parts that have been changed.

The parts are made, on as many machines as there are, by:
  emoq predict calls.csv -o part-1.csv --shard 1/2 --run runs/toy4
  emoq predict calls.csv -o part-2.csv --shard 2/2 --run runs/toy4

Example:
  emoq merge part-1.csv part-2.csv -o emotions.csv`,
  async run({ output }: OptionsOf<typeof options>, ...parts: string[]) {
    const { mergeParts } = await import('../../inference/index.js');
    const target = await userTarget(output, '-o');
    const rows = await mergeParts(parts, output);
    if (target.kind !== 'file') return;
    note(`joined ${parts.length} parts of ${rows} rows`);
    printResult(output);
  },
});

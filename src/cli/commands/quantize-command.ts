/** @file `emoq quantize`: writes a copy of a language model with its layers' weights in 4 or 8 bits. */

import { InvalidArgumentError } from 'commander';
import { formatBytes } from '../../base/index.js';
import type { QuantizedBits } from '../../engine/tensor/index.js';
import { defineCommand, option } from '../command-definition.js';
import { withInterrupts } from '../interrupt.js';
import { startProgress } from '../progress.js';
import { note, printResult } from '../terminal-output.js';

const BYTES_PER_MB = 1e6;

export const quantizeCommand = defineCommand({
  argument: {
    name: '<checkpoint>',
    description: 'language model: a Hugging Face folder or model id, 16 or 32 bits',
  },
  options: {
    bits: option<QuantizedBits>('<n>', 'bits of a weight: 4 or 8', {
      parse: oneOf([4, 8]),
      required: true,
    }),
    out: option('<folder>', 'output folder (default: the name of the checkpoint with -int4 or -int8)', {
      short: 'o',
    }),
    block: option<32 | 64>('<n>', 'weights that share a scale: 32 or 64', {
      parse: oneOf([32, 64]),
      default: 32,
    }),
  },
  help: `
Writes a checkpoint folder in which the linear projections of the layers have 4
or 8 bits, and everything else is as stored. A recipe names the folder like any
other model, for example with --set backbones.llm=models/toy-int4; stage 2 then
trains a LoRA over the quantized weights, in less memory. The same command
resumes after an interruption.

Example:
  emoq quantize data/toy4/backbones/qwen2 --bits 4 -o models/toy-int4`,
  run: async ({ bits, out, block }, checkpoint) => {
    const { quantizeDecoder, quantizedName } = await import('../../backbones/index.js');
    const progress = startProgress({ label: 'quantizing', unit: 'MB' });
    const written = await withInterrupts('finishing this weight', (stop) =>
      quantizeDecoder(checkpoint!, out ?? quantizedName(checkpoint!, bits), {
        bits,
        blockSize: block,
        stop,
        onProgress: (done, total) => progress.update(done / BYTES_PER_MB, total / BYTES_PER_MB),
      }),
    ).finally(progress.finish);
    const { quantized, sourceBytes, bytes, dir } = written;
    note(
      `${quantized} weights in ${bits} bits: ${formatBytes(bytes)} instead of ${formatBytes(sourceBytes)}`,
    );
    printResult(dir);
  },
});

function oneOf<const Value extends number>(values: readonly Value[]): (text: string) => Value {
  return (text) => {
    const value = values.find((each) => String(each) === text);
    if (value === undefined) throw new InvalidArgumentError(`It must be ${values.join(' or ')}.`);
    return value;
  };
}

/** @file `emoq features`: encodes the clips of a corpus into the feature cache before anything is trained on it. */

import { InputError } from '../../base/index.js';
import {
  corpusOptions,
  defineCommand,
  deviceOption,
  devicesOption,
  precisionOption,
  recipeOfOptions,
  shardOption,
  threadsOption,
} from '../command-definition.js';
import { withInterrupts } from '../interrupt.js';
import { note } from '../terminal-output.js';

export const featuresCommand = defineCommand({
  options: {
    ...corpusOptions,
    device: deviceOption,
    devices: devicesOption('share the clips among these devices'),
    threads: threadsOption(),
    precision: precisionOption,
    shard: shardOption('encode part i of n of the clips'),
  },
  help: `
Training, eval and report encode the clips whose features are not in the cache
(.cache/features, or the folder in EMOQ_CACHE). This does so beforehand, for all
clips of a recipe's corpus and the variants that it asks for (augment), on one
machine or, with --shard, on several that share the cache. Clips that are in the
cache are not encoded again.

Example:
  emoq features --dataset toy4`,
  missing: ({ dataset, recipe }) =>
    dataset === undefined && recipe === undefined ? ['--dataset <name> or --recipe <file>'] : [],
  run: async (options) => {
    const { encodeCorpus } = await import('../../training/index.js');
    const { systemOf } = await import('../../systems/index.js');
    const { withCompute } = await import('./experiment-options.js');
    const recipe = await recipeOfOptions(options);
    if (!systemOf(recipe).views(recipe).audio) {
      throw new InputError(`recipe ${recipe.name} reads no audio, so there is nothing to encode`);
    }
    const { shard } = options;
    const isOwn = (index: number): boolean => shard === undefined || index % shard.count === shard.index - 1;
    const { clips, total, variants } = await withInterrupts('finishing the current clips', (stop) =>
      withCompute(options.devices ?? options.device, stop, options, (compute) =>
        encodeCorpus(recipe, compute, isOwn),
      ),
    );
    const altered = variants === 0 ? '' : ` and of ${variants} variants of training clips (augment)`;
    note(
      `features of ${clips === total ? `all ${total}` : `${clips} of ${total}`} clips${altered} are in the cache`,
    );
  },
});

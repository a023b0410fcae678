/** @file `emoq stage1` and `emoq stage2`: train one phase of a recipe's system. */

import { type CommandDefinition, defineCommand } from '../command-definition.js';
import { trainingOptions } from './training-options.js';

/** The phases that have a command of their own, with what each does: two lines of its help. */
const phases = {
  stage1: {
    stage: 1,
    about: `Trains the EmoQ-Former with contrastive and focal loss on frozen HuBERT
features.`,
  },
  stage2: {
    stage: 2,
    about: `Trains Former, projector and LoRA end to end, from the Former of stage 1
(runs/<dataset>/stage1).`,
  },
} as const;

/** The command that trains one phase. */
export function stageCommand(phase: keyof typeof phases): CommandDefinition {
  const { stage, about } = phases[phase];
  return defineCommand({
    options: trainingOptions,
    help: `
${about}
The run goes to ${phase}[/fold-N] in the folder of the experiment, with
--seeds to seed-N/${phase}[/fold-N]. Ctrl-C saves after the step in hand; the
same command goes on from there.

Example:
  emoq ${phase} --dataset toy4 --set ${phase}.epochs=3`,
    run: async (options) => {
      const { trainRuns } = await import('./stage-runs.js');
      await trainRuns(stage, options);
    },
  });
}

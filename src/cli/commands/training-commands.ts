/** @file `emoq train`, `emoq stage1` and `emoq stage2`: train all phases of a recipe's system, or one of them. */

import { type CommandDefinition, defineCommand, trainingOptions } from '../command-definition.js';

/** The phases with their own command, and two lines of help for each. */
const phases = {
  stage1: `Trains the EmoQ-Former with contrastive and focal loss on frozen speech
features.`,
  stage2: `Trains Former, projector and LoRA end to end, starting from the Former of
stage 1 (runs/<dataset>/stage1).`,
};

/** The command that trains one phase. */
export function phaseCommand(phase: keyof typeof phases): CommandDefinition {
  return trainingCommand(
    phase,
    `
${phases[phase]}
The run goes to ${phase}[/fold-N] in the folder of the experiment, or with
--seeds to seed-N/${phase}[/fold-N]. Ctrl-C saves after the current step; the
same command resumes.

Example:
  emoq ${phase} --dataset toy4 --set ${phase}.epochs=3`,
  );
}

/** The command that trains every phase of a recipe in order, for any system. */
export const trainCommand: CommandDefinition = trainingCommand(
  undefined,
  `
Trains every phase that leads to the recipe's final model, in order: stage1 and
stage2 of EmoQ, or the probe of a linear probe. The runs go to PHASE[/fold-N] in
the folder of the experiment, or with --seeds to seed-N/PHASE[/fold-N]. Finished
runs are not trained again. Ctrl-C saves after the current step; the same
command resumes.

Example:
  emoq train --dataset probe-toy4`,
);

function trainingCommand(phase: string | undefined, help: string): CommandDefinition {
  return defineCommand({
    options: trainingOptions,
    help,
    run: async (options) => {
      const { trainAsAsked } = await import('./training.js');
      await trainAsAsked(phase, options);
    },
  });
}

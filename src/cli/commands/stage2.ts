/** @file `emoq stage2`: its options and help. */

import type { Command } from 'commander';
import { declareStage } from './stage.js';

export function declare(command: Command): void {
  declareStage(
    command,
    2,
    `Trains Former, projector and LoRA end to end, from the Former of stage 1
(runs/<dataset>/stage1).`,
  );
}

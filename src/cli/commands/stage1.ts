/** @file `emoq stage1`: its options and help. */

import type { Command } from 'commander';
import { declareStage } from './stage.js';

export function declare(command: Command): void {
  declareStage(
    command,
    1,
    `Trains the EmoQ-Former with contrastive and focal loss on frozen HuBERT
features.`,
  );
}

/** @file `emoq stage2` at work. */

import type { StageOptions } from './stage.js';
import { trainStage } from './stage-run.js';

export function run(options: StageOptions): Promise<void> {
  return trainStage(2, options);
}

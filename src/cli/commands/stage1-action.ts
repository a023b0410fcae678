/** @file `emoq stage1` at work. */

import type { StageOptions } from './stage.js';
import { trainRuns } from './stage-runs.js';

export function run(options: StageOptions): Promise<void> {
  return trainRuns(1, options);
}

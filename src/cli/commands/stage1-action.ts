/** @file `emoq stage1` at work. */

import type { StageOptions } from './stage.js';
import { trainAsAsked } from './training.js';

export function run(options: StageOptions): Promise<void> {
  return trainAsAsked('stage1', options);
}

/** @file Which stages a recipe has: a Former is trained in stage 1, of text alone too; stage 2 needs it where it has one. */

import { describe, expect, it } from 'vitest';
import { hasStage1, stagesOf } from '../../src/train/index.js';
import { startsFromStage1 } from '../../src/train/stage-order.js';

describe('the stages of a recipe', () => {
  it.each([
    ['both', 'former', true, { stage1: true, starts: true, stages: [1, 2] }],
    ['audio', 'former', true, { stage1: true, starts: true, stages: [1, 2] }],
    ['both', 'former', false, { stage1: true, starts: false, stages: [2] }],
    ['text', 'former', true, { stage1: true, starts: false, stages: [2] }],
    ['both', 'none', true, { stage1: false, starts: false, stages: [2] }],
    ['text', 'none', true, { stage1: false, starts: false, stages: [2] }],
  ] as const)('of %s, fusion %s and from_stage1 %s', (inputs, fusion, from_stage1, expected) => {
    const recipe = { inputs, fusion, stage2: { from_stage1 } };
    expect({
      stage1: hasStage1(recipe),
      starts: startsFromStage1(recipe),
      stages: stagesOf(recipe),
    }).toEqual(expected);
  });
});

/** @file Which stages a recipe has: stage 1 trains a Former, also on text alone, and stage 2 needs it if it has one. */

import { describe, expect, it } from 'vitest';
import type { EmoqRecipe } from '../../../src/systems/emoq/settings.js';
import { hasStage1, startsFromStage1 } from '../../../src/systems/emoq/settings.js';
import { emoq } from '../../../src/systems/emoq/system.js';

describe('the stages of a recipe', () => {
  it.each([
    ['both', 'former', true, { stage1: true, starts: true, stages: ['stage1', 'stage2'] }],
    ['audio', 'former', true, { stage1: true, starts: true, stages: ['stage1', 'stage2'] }],
    ['both', 'former', false, { stage1: true, starts: false, stages: ['stage2'] }],
    ['text', 'former', true, { stage1: true, starts: false, stages: ['stage2'] }],
    ['both', 'none', true, { stage1: false, starts: false, stages: ['stage2'] }],
    ['text', 'none', true, { stage1: false, starts: false, stages: ['stage2'] }],
  ] as const)('of %s, fusion %s and from_stage1 %s', (inputs, fusion, from_stage1, expected) => {
    const recipe = { inputs, fusion, stage2: { from_stage1 } };
    expect({
      stage1: hasStage1(recipe),
      starts: startsFromStage1(recipe),
      stages: emoq.phases(recipe as EmoqRecipe),
    }).toEqual(expected);
  });
});

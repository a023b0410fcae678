/**
 * @file Six thousand recipes with odd overrides or damaged files: each gives a line for each mistake, or a recipe that
 * its dump reproduces.
 */

import { expect, it } from 'vitest';
import { useFuzzFolder } from '../fuzz/fuzz-folder.js';
import { expectSmall, type Measured, runMeasured, type Trials } from '../fuzz/measured-child.js';

interface Outcome extends Measured {
  overrides: Trials;
  files: Trials;
}

const folder = useFuzzFolder('recipe');

it('odd overrides and damaged recipes give a line for each mistake, or a recipe, in little memory and time', async () => {
  const outcome = await runMeasured<Outcome>(new URL('./overrides-fuzz.mjs', import.meta.url), {
    nodeOptions: ['--max-old-space-size=128'],
    args: ['4000', '2500', '1', folder()],
  });
  // Both outcomes are frequent; otherwise the test would prove nothing.
  for (const { read, refused } of [outcome.overrides, outcome.files]) {
    expect(read).toBeGreaterThan(300);
    expect(refused).toBeGreaterThan(1000);
  }
  expectSmall(outcome, outcome.overrides, outcome.files);
});

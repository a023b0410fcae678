/**
 * @file Two thousand damaged run folders, five at a time next to an intact one: each is reported in a line, and none
 * hides others.
 */

import { expect, it } from 'vitest';
import { useFuzzFolder } from '../fuzz/fuzz-folder.js';
import { expectSmall, type Measured, runMeasured } from '../fuzz/measured-child.js';

interface Outcome extends Measured {
  damagedRuns: number;
  unreadable: number;
  longestSec: number;
}

const folder = useFuzzFolder('runs');

it('damaged run folders are listed as they are or with a problem, in little memory and time', async () => {
  const outcome = await runMeasured<Outcome>(new URL('./run-list-fuzz.mjs', import.meta.url), {
    nodeOptions: ['--max-old-space-size=128'],
    args: ['400', '1', folder()],
  });
  // Both outcomes are frequent; otherwise the test would prove nothing.
  expect(outcome.damagedRuns).toBeGreaterThan(1500);
  expect(outcome.unreadable).toBeGreaterThan(500);
  expect(outcome.damagedRuns - outcome.unreadable).toBeGreaterThan(100);
  expectSmall(outcome, outcome);
});

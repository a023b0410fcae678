/** @file Eighteen thousand damaged label maps and metadata files: a clear line each, or the right content. */

import { expect, it } from 'vitest';
import { useFuzzFolder } from '../../fuzz/fuzz-folder.js';
import { expectSmall, type Measured, runMeasured, type Trials } from '../../fuzz/measured-child.js';

interface Outcome extends Measured {
  maps: Trials;
  texts: Trials;
  metadata: Trials;
}

const folder = useFuzzFolder('yaml');

it('damaged label maps and metadata give one line, or what they say, in little memory and time', async () => {
  const outcome = await runMeasured<Outcome>(new URL('./yaml-fuzz.mjs', import.meta.url), {
    nodeOptions: ['--max-old-space-size=128'],
    args: ['5000', '10000', '3000', '1', folder()],
  });
  // Both outcomes must be common, or the damage would prove nothing.
  for (const { read, refused } of [outcome.maps, outcome.texts, outcome.metadata]) {
    expect(read).toBeGreaterThan(300);
    expect(refused).toBeGreaterThan(1000);
  }
  expectSmall(outcome, outcome.maps, outcome.texts, outcome.metadata);
});

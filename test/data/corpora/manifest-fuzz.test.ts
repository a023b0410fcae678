/** @file Six thousand damaged manifests: clear errors, or valid utterances. */

import { expect, it } from 'vitest';
import { useFuzzFolder } from '../../fuzz/fuzz-folder.js';
import { expectSmall, type Measured, runMeasured, type Trials } from '../../fuzz/measured-child.js';

interface Outcome extends Measured {
  manifests: Trials;
}

const folder = useFuzzFolder('manifest');

it('damaged manifests give clear lines, or whole utterances, in little memory and time', async () => {
  const outcome = await runMeasured<Outcome>(new URL('./manifest-fuzz.mjs', import.meta.url), {
    nodeOptions: ['--max-old-space-size=128'],
    args: ['6000', '1', folder()],
  });
  // Both outcomes must be common, or the damage would prove nothing.
  expect(outcome.manifests.read).toBeGreaterThan(500);
  expect(outcome.manifests.refused).toBeGreaterThan(2000);
  expectSmall(outcome, outcome.manifests);
});

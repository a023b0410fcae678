/** @file Ten thousand damaged tokenizers: a clear line when loaded or used, or valid ids. */

import { expect, it } from 'vitest';
import { useFuzzFolder } from '../../fuzz/fuzz-folder.js';
import { expectSmall, type Measured, runMeasured, type Trials } from '../../fuzz/measured-child.js';

interface Outcome extends Measured {
  tokenizers: Trials;
}

const folder = useFuzzFolder('tokenizer');

it('damaged tokenizers give one line, or ids that are theirs, in little memory and time', async () => {
  const outcome = await runMeasured<Outcome>(new URL('./tokenizer-fuzz.mjs', import.meta.url), {
    nodeOptions: ['--max-old-space-size=128'],
    args: ['10000', '1', folder()],
  });
  // Both outcomes must be common, or the damage would prove nothing.
  expect(outcome.tokenizers.read).toBeGreaterThan(2000);
  expect(outcome.tokenizers.refused).toBeGreaterThan(3000);
  expectSmall(outcome, outcome.tokenizers);
});

/** @file Rotary frequencies, bit-identical to those of transformers (test/reference/decoders.py). */

import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { rotaryFrequencies } from '../../../src/backbones/decoders/decoder-config.js';

interface Case {
  readonly head_dim: number;
  readonly rope_theta: number;
  readonly factor: number;
  readonly low_freq_factor: number;
  readonly high_freq_factor: number;
  readonly original_max_position_embeddings: number;
  readonly frequencies: readonly number[];
}

it('are stretched as in Llama 3.1 and 3.2', async () => {
  const file = new URL('../../fixtures/llama/frequencies.json', import.meta.url);
  const cases = JSON.parse(await readFile(file, 'utf8')) as Case[];
  expect(cases.map(({ frequencies }) => frequencies.length)).toEqual([64, 32]);
  for (const { frequencies, ...given } of cases) {
    const scaling = {
      factor: given.factor,
      lowFrequencyFactor: given.low_freq_factor,
      highFrequencyFactor: given.high_freq_factor,
      originalPositions: given.original_max_position_embeddings,
    };
    const stretched = rotaryFrequencies(given.head_dim, given.rope_theta, scaling);
    expect(stretched.map(Math.fround)).toEqual(frequencies.map(Math.fround));
    const plain = rotaryFrequencies(given.head_dim, given.rope_theta, undefined);
    expect(plain[0]).toBe(stretched[0]);
    expect(Math.fround(plain.at(-1)! / given.factor)).toBe(Math.fround(stretched.at(-1)!));
  }
});

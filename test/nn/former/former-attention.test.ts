/**
 * @file What the Former's queries attend to, against PyTorch, which computes every utterance alone and unpadded.
 * Reference: test/reference/former-attention.py, over the models of stage1.py.
 */

import { beforeAll, describe, expect, it } from 'vitest';
import { encodeHalf, float32Of, readSafetensors, type Tensor } from '../../../src/engine/tensor/index.js';
import {
  FORMER_PREFIX,
  formerInputs,
  formerViews,
  type InputViews,
} from '../../../src/nn/former/former-config.js';
import { formerAttention } from '../../../src/nn/index.js';
import { under } from '../../../src/nn/weights.js';
import { largestError, parityError, recordParity } from '../../parity/figures.js';
import {
  describeStage1,
  formerOf,
  lengthened,
  openReference,
  type ReferenceCase,
  runCase,
} from '../../systems/emoq/reference-case.js';

let open: (id: string) => ReferenceCase;
let expected: ReadonlyMap<string, Tensor>;
beforeAll(async () => {
  open = (await openReference('stage1')).caseOf;
  const path = new URL('../../fixtures/former-attention.safetensors', import.meta.url).pathname;
  expected = (await readSafetensors(path)).tensors;
});

async function attend(reference: ReferenceCase, views: InputViews, replace: Record<string, Tensor> = {}) {
  const former = formerOf(reference);
  const inputs = formerInputs(former.audioWidth, views);
  const { results } = await runCase(
    reference,
    inputs,
    (weights, batch) => {
      const shares = formerAttention(under(weights, FORMER_PREFIX), former, formerViews(batch, views));
      return {
        joint: shares.joint,
        pooling: shares.pooling,
        ...(shares.frames && { frames: shares.frames }),
      };
    },
    { replace },
  );
  return results;
}

/** Sums over the last axis. */
function rowSums(shares: Tensor): number[] {
  const width = shares.shape.at(-1)!;
  const values = float32Of(shares);
  return Array.from({ length: values.length / width }, (_, row) =>
    values.subarray(row * width, (row + 1) * width).reduce((sum, value) => sum + value, 0),
  );
}

describe.each(['both', 'audio', 'text'] as const)('the attention of a Former on %s', (views) => {
  it('is that of PyTorch, and exactly 0 behind the end of an utterance', async () => {
    const reference = open(views);
    const shares = await attend(reference, views);
    expect(Object.keys(shares).sort()).toEqual(
      views === 'text' ? ['joint', 'pooling'] : ['frames', 'joint', 'pooling'],
    );
    const errors = Object.entries(shares).map(([name, actual]) => {
      const wanted = expected.get(`${views}/${name}`)!;
      const error = parityError(actual, wanted);
      expect(error.absolute, name).toBeLessThan(1e-5);
      const [got, zero] = [float32Of(actual), float32Of(wanted)];
      for (const [i, value] of zero.entries()) if (value === 0) expect(got[i], `${name} ${i}`).toBe(0);
      return error;
    });
    recordParity({
      ...describeStage1(reference, views),
      quantity: 'shares of attention',
      ...largestError(errors),
    });
  });

  it('adds up to 1 for each query, over the frames and over queries and tokens', async () => {
    for (const [name, shares] of Object.entries(await attend(open(views), views))) {
      for (const sum of rowSums(shares)) expect(sum, name).toBeCloseTo(1, 6);
    }
  });
});

describe('padding', () => {
  it('gets nothing, whatever it holds, and takes nothing from the rest', async () => {
    const reference = open('both');
    const near = await attend(reference, 'both');
    const far = await attend(reference, 'both', {
      audio_features: lengthened(reference.batch('audio_features'), 9, encodeHalf(Float32Array.of(-700))[0]!),
      frame_mask: lengthened(reference.batch('frame_mask'), 9, 0n),
      input_ids: lengthened(reference.batch('input_ids'), 4, 22n),
      attention_mask: lengthened(reference.batch('attention_mask'), 4, 0n),
    });
    for (const name of ['frames', 'joint'] as const) {
      const width = near[name]!.shape.at(-1)!;
      const longer = far[name]!.shape.at(-1)!;
      const [before, after] = [float32Of(near[name]!), float32Of(far[name]!)];
      for (let i = 0; i < after.length; i++) {
        const [row, column] = [Math.floor(i / longer), i % longer];
        if (column >= width) expect(after[i], name).toBe(0);
        else expect(after[i], name).toBeCloseTo(before[row * width + column]!, 6);
      }
    }
  });
});

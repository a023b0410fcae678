/**
 * @file HuBERT, wav2vec 2.0, UniSpeech-SAT and WavLM compute the same functions as transformers' HubertModel,
 * Wav2Vec2Model, UniSpeechSatModel and WavLMModel. References: test/reference/hubert.py, wav2vec2.py and wavlm.py.
 */

import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encoderFamilyOf, encoderKeys } from '../../../src/backbones/index.js';
import { openCheckpoint, unreadWeights } from '../../../src/checkpoints/index.js';
import type { Session } from '../../../src/engine/runtime/index.js';
import {
  encodeBatch,
  hubertFixtures,
  largestError,
  openEncoder,
  type References,
  readReferences,
  realFrames,
  recordEncoder,
  relativeError,
  wav2vec2Fixtures,
  wavlmFixtures,
} from './encoding.js';

const unispeechSatFixtures = new URL('../../fixtures/unispeech-sat/', import.meta.url).pathname;

const withGroupNorm = ['base', 'base-odd', 'group-stable'];
const withLayerNorm = ['large', 'large-odd', 'layer-post'];

const checkpoints = [
  ...[...withGroupNorm, ...withLayerNorm].map((name) => ({
    family: 'HuBERT',
    name,
    fixtures: hubertFixtures,
  })),
  ...['base', 'base-odd', 'large', 'large-odd'].map((name) => ({
    family: 'wav2vec 2.0',
    name,
    fixtures: wav2vec2Fixtures,
  })),
  ...['base-odd', 'large-odd', 'layer-post'].map((name) => ({
    family: 'UniSpeech-SAT',
    name,
    fixtures: unispeechSatFixtures,
  })),
  ...['base', 'base-odd', 'large', 'large-odd', 'layer-post'].map((name) => ({
    family: 'WavLM',
    name,
    fixtures: wavlmFixtures,
  })),
];

describe.each(checkpoints)('the $family $name', ({ name, fixtures }) => {
  let reference: References;
  let session: Session;
  let exact: Session;
  let clips: Float32Array[];
  beforeAll(async () => {
    reference = await readReferences(fixtures);
    session = await openEncoder(join(fixtures, name));
    exact = await openEncoder(join(fixtures, name), { groupNormSteps: 'padded' });
    clips = reference.clips(name);
  });
  afterAll(async () => {
    await session.dispose();
    await exact.dispose();
  });

  /** Compares with the hidden states of each clip alone. */
  async function holdSingle(quantity: string, hidden: readonly Float32Array[]): Promise<void> {
    const pairs = hidden.map((actual, clip) => [actual, reference.tensor(`${name}.${clip}`)] as const);
    const error = largestError(pairs);
    recordEncoder(name, await openCheckpoint(join(fixtures, name)), quantity, error);
    expect(error.relative).toBeLessThan(1e-4);
    if (fixtures !== hubertFixtures) expect(error.absolute).toBeLessThan(1e-4);
  }

  it('has the hidden states of transformers on single clips, down to one frame', async () => {
    const hidden: Float32Array[] = [];
    for (const clip of clips) hidden.push(...realFrames(await encodeBatch(session, [clip])));
    await holdSingle('single clips', hidden);
  });

  it('has them in a padded batch too', async () => {
    for (const further of [0, 999]) {
      const hidden = realFrames(await encodeBatch(session, clips, clips[0]!.length + further));
      await holdSingle(`a batch padded by ${further} samples more, against single clips`, hidden);
    }
  });

  it('is HubertModel at every position of a padded batch, padding included, where that is asked for', async () => {
    const { hidden } = await encodeBatch(exact, clips);
    const error = largestError([[hidden, reference.tensor(`${name}.padded`)]]);
    const quantity = 'every position of a padded batch, as HubertModel';
    recordEncoder(name, await openCheckpoint(join(fixtures, name)), quantity, error);
    expect(error.relative).toBeLessThan(1e-4);
    if (fixtures !== hubertFixtures) expect(error.absolute).toBeLessThan(1e-4);
  });

  it('is HubertModel on single clips then as well', async () => {
    const hidden: Float32Array[] = [];
    for (const clip of clips) hidden.push((await encodeBatch(exact, [clip])).hidden);
    await holdSingle('single clips, as HubertModel', hidden);
  });

  it('leaves no weight unread that might matter', async () => {
    const checkpoint = await openCheckpoint(join(fixtures, name));
    const family = encoderFamilyOf(checkpoint);
    expect(unreadWeights(checkpoint, family, encoderKeys(checkpoint))).toBeUndefined();
  });

  it('marks the frames that transformers marks as real', async () => {
    const { frameMask } = await encodeBatch(session, clips);
    expect(frameMask).toEqual(reference.numbers(`${name}.frame_mask`));
    const silences = reference.numbers(`${name}.lengths`).map((length) => new Float32Array(length));
    const { frameMask: ofLengths } = await encodeBatch(session, silences);
    expect(ofLengths).toEqual(reference.numbers(`${name}.length_mask`));
    expect(new Set(ofLengths)).toEqual(new Set([0, 1]));
  });
});

// The reason for the option: transformers' group norm includes the padding, so a clip's features change with its batch.
it.each(withGroupNorm)('the group norm of %s runs over the padding in HubertModel only', async (name) => {
  const reference = await readReferences();
  const session = await openEncoder(join(hubertFixtures, name), { groupNormSteps: 'padded' });
  const batch = realFrames(await encodeBatch(session, reference.clips(name)));
  await session.dispose();
  expect(relativeError(batch[0]!, reference.values(`${name}.0`))).toBeLessThan(1e-4);
  expect(relativeError(batch[1]!, reference.values(`${name}.1`))).toBeGreaterThan(1e-2);
});

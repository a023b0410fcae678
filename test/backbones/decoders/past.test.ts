/** @file Decoders that continue after given keys and values, and that compute only what is read, against transformers. */

import { describe, expect, it } from 'vitest';
import {
  decoder,
  decoderOutputs,
  embedTokens,
  pastShape,
  stackedKeyValues,
} from '../../../src/backbones/index.js';
import { float32Of, int64, type Tensor, tensor } from '../../../src/engine/tensor/index.js';
import { compute, type Fixture, openFixture } from './graph-run.js';

/** Tokens of row 0 of a fixture, and their hidden states [L, d] in transformers. */
function firstRow({ expected }: Fixture): { ids: bigint[]; hidden: Float32Array; width: number } {
  const [, length, width] = expected('right.hidden').shape as [number, number, number];
  const mask = expected('right.mask').data as BigInt64Array;
  const real = mask.subarray(0, length).filter((each) => each === 1n).length;
  const ids = [...(expected('input_ids').data as BigInt64Array).subarray(0, real)];
  return { ids, hidden: float32Of(expected('right.hidden')).subarray(0, real * width), width };
}

interface Batch {
  readonly rows: readonly (readonly bigint[])[];
  readonly past: Tensor;
}

/** Hidden states [N, L, d], or those of the last token of each row [N, d], and the new keys and values. */
async function run(fixture: Fixture, { rows, past }: Batch, onlyLast = false) {
  const { config, checkpoint } = fixture;
  const length = Math.max(...rows.map((row) => row.length));
  const padded = rows.flatMap((row) => [...row, ...Array<bigint>(length - row.length).fill(0n)]);
  const mask = rows.flatMap((row) => Array.from({ length }, (_, at) => (at < row.length ? 1 : 0)));
  const last = rows.map((row, index) => index * length + row.length - 1);
  const shape = [rows.length, length];
  const feeds = {
    ids: [tensor('int64', shape, BigInt64Array.from(padded)), ['N', 'L']],
    mask: [int64(shape, mask), ['N', 'L']],
    past: [past, pastShape(config, 'P')],
    ...(onlyLast && { read: [int64([rows.length], last), ['N']] as const }),
  } as const;
  const results = await compute(
    feeds,
    (graph, inputs) => {
      const weights = fixture.weights(graph);
      const { read } = inputs as { read?: (typeof inputs)['ids'] };
      const { hidden, keysAndValues } = decoderOutputs(weights, config, {
        embeddings: embedTokens(weights, config, inputs.ids),
        attentionMask: inputs.mask,
        past: inputs.past,
        ...(read && { read }),
      });
      return { hidden, present: stackedKeyValues(keysAndValues) };
    },
    checkpoint.dir,
  );
  return { hidden: results.hidden!, present: results.present! };
}

const nothing = ({ config }: Fixture): Tensor =>
  tensor(
    'float32',
    pastShape(config, 0).map((size) => size as number),
  );

/** Largest difference of two rows. */
function difference(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((most, value, index) => Math.max(most, Math.abs(value - b[index]!)), 0);
}

const checkpoints = [
  ['qwen2', 'tied'],
  ['qwen2', 'one-key-head'],
  ['qwen2', 'all-key-heads'],
  ['llama', 'stretched'],
  ['llama', 'biased'],
  ['qwen3', 'tied'],
  ['qwen3', 'all-key-heads'],
  ['mistral', 'wide-heads'],
  ['mistral', 'windowed'],
] as const;
for (const [family, name] of checkpoints) {
  describe(`${family}, the checkpoint "${name}"`, async () => {
    const fixture = await openFixture(name, family);
    const { ids, hidden, width } = firstRow(fixture);
    const stateOf = (token: number): Float32Array => hidden.subarray(token * width, (token + 1) * width);
    const before = Math.floor(ids.length / 2);
    const { present } = await run(fixture, { rows: [ids.slice(0, before)], past: nothing(fixture) });

    it('has the hidden states of transformers after the keys and values of earlier tokens', async () => {
      const rests = [ids.slice(before), ids.slice(before, -1), ids.slice(before, before + 1)];
      const outputs = await run(fixture, { rows: rests, past: present });
      const states = float32Of(outputs.hidden);
      const longest = rests[0]!.length;
      for (const [row, rest] of rests.entries()) {
        for (const token of rest.keys()) {
          const start = (row * longest + token) * width;
          expect(difference(states.subarray(start, start + width), stateOf(before + token))).toBeLessThan(
            1e-4,
          );
        }
      }
    });

    it('has those of the last tokens alone, with earlier tokens and without', async () => {
      for (const [from, past] of [
        [before, present],
        [0, nothing(fixture)],
      ] as const) {
        const rests = [ids.slice(from), ids.slice(from, -1)];
        const outputs = await run(fixture, { rows: rests, past }, true);
        expect(outputs.hidden.shape).toEqual([2, width]);
        const states = float32Of(outputs.hidden);
        for (const [row, rest] of rests.entries()) {
          const own = states.subarray(row * width, (row + 1) * width);
          expect(difference(own, stateOf(from + rest.length - 1))).toBeLessThan(1e-4);
        }
      }
    });

    it('gives the keys and values that the tokens have together', async () => {
      const whole = await run(fixture, { rows: [ids], past: nothing(fixture) });
      const rest = await run(fixture, { rows: [ids.slice(before)], past: present });
      const headDim = whole.present.shape[3]!;
      const [all, first, second] = [whole.present, present, rest.present].map((each) => float32Of(each));
      const [lengths, parts] = [
        [before, ids.length - before],
        whole.present.shape[0]! * whole.present.shape[1]!,
      ];
      for (let part = 0; part < parts; part++) {
        const joined = Float32Array.from([
          ...first!.subarray(part * lengths[0]! * headDim, (part + 1) * lengths[0]! * headDim),
          ...second!.subarray(part * lengths[1]! * headDim, (part + 1) * lengths[1]! * headDim),
        ]);
        const start = part * ids.length * headDim;
        expect(difference(all!.subarray(start, start + joined.length), joined)).toBeLessThan(1e-4);
      }
    });
  });
}

it('without a past has the hidden states that it has with an empty one', async () => {
  const fixture = await openFixture('tied');
  const { ids } = firstRow(fixture);
  const { config, checkpoint } = fixture;
  const shape = [1, ids.length];
  const plain = await compute(
    {
      ids: [tensor('int64', shape, BigInt64Array.from(ids)), ['N', 'L']],
      mask: [int64(shape, Array(ids.length).fill(1)), ['N', 'L']],
    },
    (graph, inputs) => {
      const weights = fixture.weights(graph);
      const embeddings = embedTokens(weights, config, inputs.ids);
      return { hidden: decoder(weights, config, { embeddings, attentionMask: inputs.mask }) };
    },
    checkpoint.dir,
  );
  const { hidden } = await run(fixture, { rows: [ids], past: nothing(fixture) });
  expect(difference(float32Of(hidden), float32Of(plain.hidden!))).toBeLessThan(1e-6);
});

/**
 * @file Models with the shapes of published ones and random weights, against transformers. Needs a Python with torch
 * and transformers, some GB of disk and a few minutes: `make parity PYTHON=python3`.
 */

import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  decoder,
  embedTokens,
  lmHead,
  parseDecoderConfig,
  parseTextEncoderConfig,
} from '../../src/backbones/index.js';
import { buildEncoderGraph } from '../../src/backbones/speech-encoders/encoder-families.js';
import { type Checkpoint, openCheckpoint, requireWeight } from '../../src/checkpoints/index.js';
import { reshape } from '../../src/engine/onnx/index.js';
import { createSession } from '../../src/engine/runtime/index.js';
import { float32Of, readSafetensors, type Tensor } from '../../src/engine/tensor/index.js';
import { checkpointWeights } from '../../src/nn/weights.js';
import { compute } from '../backbones/decoders/graph-run.js';
import { emulatePrecision } from '../engine/emulated-precision.js';
import { robertaEncoder } from '../nn/former/roberta-encoder.js';
import { type ParityError, parityError, recordParity } from './figures.js';

const python = process.env.EMOQ_PARITY_PYTHON;
const script = fileURLToPath(new URL('./true_size.py', import.meta.url));
const TOLERANCE = 1e-4;

interface TrueSize {
  readonly checkpoint: Checkpoint;
  expected(key: string): Tensor;
}

/** Has Python make a model, and opens the result. */
async function makeModel(name: string, dir: string): Promise<TrueSize> {
  execFileSync(python!, [script, name, dir], { stdio: ['ignore', 'inherit', 'inherit'] });
  const { tensors } = await readSafetensors(join(dir, 'expected.safetensors'));
  return {
    checkpoint: await openCheckpoint(dir),
    expected: (key) => tensors.get(key)!,
  };
}

function hold(
  row: { model: string; shape: string; dtype: string; quantity: string },
  error: ParityError,
): void {
  recordParity({ ...row, ...error });
  expect(error.relative).toBeLessThan(TOLERANCE);
}

/** Root mean square of the differences. */
const distance = (a: readonly number[], b: readonly number[]): number =>
  Math.sqrt(a.reduce((sum, value, i) => sum + (value - b[i]!) ** 2, 0) / a.length);

/** The values of the real rows of [N, L, d]. */
function realValues(value: Tensor, mask: Tensor): number[] {
  const width = value.shape.at(-1)!;
  return [...float32Of(value)].filter((_, at) => mask.data[Math.floor(at / width)] === 1n);
}

const realRows = (mask: Tensor) => (row: number) => mask.data[row] === 1n;

describe.skipIf(python === undefined)('at true size, against transformers', () => {
  let dir: string;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'emoq-parity-'));
  });

  afterAll(async () => {
    await rm(dir, { recursive: true });
  });

  it.each([
    ['HuBERT-large', '24 layers, 1024; 2 x 3 s, padded', 'hubert-large'],
    ['Whisper-base', '6 layers, 512; 35 s and 2 s, padded', 'whisper-base'],
    ['Whisper-large-v3', '32 layers, 1280; 35 s and 2 s, padded', 'whisper-large-v3'],
  ])('%s gives the same hidden states and frame mask', async (model, shape, name) => {
    const { checkpoint, expected } = await makeModel(name, join(dir, name));
    const { model: graph, weightsFolder } = buildEncoderGraph(checkpoint);
    const session = await createSession(graph, { device: { kind: 'cpu' }, weightsFolder });
    const { last_hidden_state: hidden, frame_mask: frames } = await session.run({
      input_values: expected('input_values'),
      attention_mask: expected('attention_mask'),
    });
    await session.dispose();
    expect(frames!.data).toEqual(expected('frame_mask').data);
    const error = parityError(hidden!, expected('last_hidden_state'), realRows(frames!));
    hold({ model, shape, dtype: 'float32', quantity: 'last_hidden_state' }, error);
  });

  it('RoBERTa-base gives the same hidden states', async () => {
    const { checkpoint, expected } = await makeModel('roberta-base', join(dir, 'roberta'));
    const config = parseTextEncoderConfig(checkpoint.config, join(checkpoint.dir, 'config.json'));
    const mask = expected('attention_mask');
    const { hidden } = await compute(
      { ids: [expected('input_ids'), ['N', 'L']], mask: [mask, ['N', 'L']] },
      (graph, inputs) => {
        const weights = checkpointWeights(graph, (key, shape) => requireWeight(checkpoint, key, shape));
        return { hidden: robertaEncoder(weights, config, inputs.ids, inputs.mask) };
      },
      checkpoint.dir,
    );
    const row = { model: 'RoBERTa-base', shape: '12 layers, 768; 3 x 40 tokens, padded', dtype: 'float32' };
    const error = parityError(hidden!, expected('last_hidden_state'));
    hold({ ...row, quantity: 'last_hidden_state' }, error);
  });

  it('Qwen2.5-0.5B in bfloat16 gives the same hidden states and logits', async () => {
    const { checkpoint, expected } = await makeModel('qwen2.5-0.5b', join(dir, 'qwen2'));
    const config = parseDecoderConfig(checkpoint.config, join(checkpoint.dir, 'config.json'));
    const row = { model: 'Qwen2.5-0.5B', dtype: 'bfloat16 weights, float32 arithmetic' };
    for (const side of ['right', 'left']) {
      const mask = expected(`${side}.mask`);
      const { hidden, logits } = await compute(
        { inputIds: [expected('input_ids'), ['N', 'L']], attentionMask: [mask, ['N', 'L']] },
        (graph, { inputIds, attentionMask }) => {
          const weights = checkpointWeights(graph, (key, shape) => requireWeight(checkpoint, key, shape));
          const embeddings = embedTokens(weights, config, inputIds);
          const hidden = decoder(weights, config, { embeddings, attentionMask });
          return { hidden, logits: lmHead(weights, config, reshape(hidden, ['L*N', config.hiddenSize])) };
        },
        checkpoint.dir,
      );
      const shape = `24 layers, 896; 2 x 24 tokens, padded on the ${side}`;
      const wanted = expected(`${side}.logits`);
      const rows = realRows(mask);
      hold(
        { ...row, shape, quantity: 'hidden states' },
        parityError(hidden!, expected(`${side}.hidden`), rows),
      );
      const error = parityError({ ...logits!, shape: wanted.shape } as Tensor, wanted, rows);
      hold({ ...row, shape, quantity: 'logits' }, error);
    }
  });

  it('Qwen2.5-0.5B of two layers with products in bfloat16 rounds as PyTorch does', async () => {
    const { checkpoint, expected } = await makeModel('qwen2.5-0.5b-in-bfloat16', join(dir, 'bfloat16'));
    const config = parseDecoderConfig(checkpoint.config, join(checkpoint.dir, 'config.json'));
    const mask = expected('mask');
    const computed = await compute(
      { inputIds: [expected('input_ids'), ['N', 'L']], attentionMask: [mask, ['N', 'L']] },
      (graph, { inputIds, attentionMask }) => {
        const weights = checkpointWeights(
          graph,
          (key, shape) => requireWeight(checkpoint, key, shape),
          () => 'bfloat16',
        );
        const embeddings = embedTokens(weights, config, inputIds);
        const hidden = decoder(weights, config, { embeddings, attentionMask });
        return { hidden, logits: lmHead(weights, config, reshape(hidden, ['L*N', config.hiddenSize])) };
      },
      checkpoint.dir,
      emulatePrecision,
    );
    const shape = '2 layers, 896; 2 x 24 tokens, padded on the right';
    for (const quantity of ['hidden', 'logits'] as const) {
      const [exact, autocast] = ['float32', 'autocast'].map((name) =>
        realValues(expected(`${name}.${quantity}`), mask),
      ) as [number[], number[]];
      const ours = realValues(computed[quantity]!, mask);
      const theirs = distance(autocast, exact);
      expect(distance(ours, exact)).toBeLessThan(1.1 * theirs);
      // Rounded at the same points; sums this long differ by enough in another order to move many values by a rounding.
      expect(distance(ours, autocast)).toBeLessThan(theirs);
      const wanted = expected(`autocast.${quantity}`);
      const error = parityError(
        { ...computed[quantity]!, shape: wanted.shape } as Tensor,
        wanted,
        realRows(mask),
      );
      const dtype = 'bfloat16 products, reference transformers under autocast';
      const row = { model: 'Qwen2.5-0.5B in bfloat16', shape, dtype };
      recordParity({ ...row, quantity: quantity === 'hidden' ? 'hidden states' : quantity, ...error });
    }
  });
});

/** @file How far the answers of a language model move when its weights are quantized. */

import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import {
  decoder,
  embedTokens,
  labelLogits,
  parseDecoderConfig,
  quantizeDecoder,
} from '../../../src/backbones/index.js';
import { openCheckpoint, requireWeight } from '../../../src/checkpoints/index.js';
import { reshape, slice, softmax } from '../../../src/engine/onnx/index.js';
import { int64, seededRandom } from '../../../src/engine/tensor/index.js';
import { checkpointWeights } from '../../../src/nn/index.js';
import { compute } from './graph-run.js';
import { writeRandomDecoder } from './random-decoder.js';

const root = realpathSync(mkdtempSync(join(tmpdir(), 'emoq-answers-')));
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe('the answers of a model in the shapes of Qwen2.5-0.5B', () => {
  // Two of its 24 layers and a part of its vocabulary.
  const config = {
    ...{
      model_type: 'qwen2',
      vocab_size: 2000,
      hidden_size: 896,
      intermediate_size: 4864,
      num_hidden_layers: 2,
    },
    ...{ num_attention_heads: 14, num_key_value_heads: 2, max_position_embeddings: 512 },
    ...{ rope_theta: 1e6, tie_word_embeddings: true },
  };
  const labels = [12, 345, 678, 901, 1234, 1567, 1890];
  const [prompts, length] = [24, 20];
  const random = seededRandom(8, 'prompts');
  const ids = int64(
    [prompts, length],
    Array.from({ length: prompts * length }, () => random.integer(2000)),
  );
  const mask = int64([prompts, length], new Array(prompts * length).fill(1));

  const probabilities = async (dir: string): Promise<Float32Array> => {
    const checkpoint = await openCheckpoint(dir);
    const parsed = parseDecoderConfig(checkpoint.config, dir);
    const { out } = await compute(
      { inputIds: [ids, ids.shape], attentionMask: [mask, mask.shape] },
      (graph, { inputIds, attentionMask }) => {
        const weights = checkpointWeights(graph, (key, shape) => requireWeight(checkpoint, key, shape));
        const embeddings = embedTokens(weights, parsed, inputIds);
        const hidden = decoder(weights, parsed, { embeddings, attentionMask });
        const last = reshape(slice(hidden, 1, length - 1, length), [prompts, 896]);
        return { out: softmax(labelLogits(weights, parsed, last, labels)) };
      },
      dir,
    );
    return out!.data as Float32Array;
  };

  it('move by less than a bound', async () => {
    const dir = join(root, 'half-billion');
    await writeRandomDecoder(dir, { config, dtype: 'bfloat16' });
    const exact = await probabilities(dir);
    const argmax = (values: Float32Array, row: number) => {
      const own = values.subarray(row * 7, row * 7 + 7);
      return own.indexOf(Math.max(...own));
    };
    for (const [bits, bound] of [
      [4, 0.2],
      [8, 0.02],
    ] as const) {
      await quantizeDecoder(dir, `${dir}-${bits}`, { bits, blockSize: 32 });
      const moved = await probabilities(`${dir}-${bits}`);
      const most = Math.max(...exact.map((value, i) => Math.abs(value - moved[i]!)));
      const same = Array.from({ length: prompts }, (_, row) => argmax(exact, row) === argmax(moved, row));
      const kept = same.filter(Boolean).length;
      console.log(
        `${bits} bits: probabilities move by ${most.toFixed(4)} at most, ${kept} of ${prompts} labels are the same`,
      );
      expect(most).toBeLessThan(bound);
      expect(kept).toBeGreaterThanOrEqual(bits === 4 ? prompts - 5 : prompts - 1);
    }
  });
});

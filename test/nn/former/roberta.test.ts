/** @file The Former's text path against transformers' RobertaModel (test/reference/roberta.py). */

import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parseTextEncoderConfig } from '../../../src/backbones/index.js';
import { openCheckpoint, requireWeight, weightsUnder } from '../../../src/checkpoints/index.js';
import { readSafetensors, type Tensor } from '../../../src/engine/tensor/index.js';
import { checkpointWeights } from '../../../src/nn/weights.js';
import { compute } from '../../backbones/decoders/graph-run.js';
import { parityError, recordParity } from '../../parity/figures.js';
import { robertaEncoder } from './roberta-encoder.js';

for (const name of ['bare', 'masked-lm']) {
  describe(`RoBERTa, the checkpoint "${name}"`, async () => {
    const dir = fileURLToPath(new URL(`../../fixtures/roberta/${name}`, import.meta.url));
    const stored = await openCheckpoint(dir);
    const checkpoint = weightsUnder(stored, ['roberta.', '']);
    const config = parseTextEncoderConfig(checkpoint.config, `${dir}/config.json`);
    const { tensors } = await readSafetensors(`${dir}/expected.safetensors`);

    /** Last hidden states, padding included. */
    const hiddenOf = async (ids: Tensor, mask: Tensor): Promise<Tensor> => {
      const { hidden } = await compute(
        { ids: [ids, ['N', 'L']], mask: [mask, ['N', 'L']] },
        (graph, inputs) => {
          const weights = checkpointWeights(graph, (key, shape) => requireWeight(checkpoint, key, shape));
          return { hidden: robertaEncoder(weights, config, inputs.ids, inputs.mask) };
        },
        dir,
      );
      return hidden!;
    };

    it.each(['right', 'left'])('has the hidden states of transformers, padded on the %s', async (side) => {
      const [ids, mask, wanted] = ['input_ids', 'mask', 'hidden'].map(
        (key) => tensors.get(`${side}.${key}`)!,
      );
      // Padding too: it has a position of its own, and attends to what real tokens attend to.
      const error = parityError(await hiddenOf(ids!, mask!), wanted!);
      const { numHiddenLayers, hiddenSize, numAttentionHeads, padTokenId } = config;
      recordParity({
        model: 'RoBERTa',
        shape: `${numHiddenLayers} layers, ${hiddenSize}; ${numAttentionHeads} heads; padding id ${padTokenId}; ${ids!.shape.join(' x ')} tokens`,
        dtype: `${checkpoint.weights.get('embeddings.LayerNorm.bias')!.dtype} weights, float32 arithmetic`,
        quantity: `last hidden state, padded on the ${side}`,
        ...error,
      });
      expect(error.relative).toBeLessThan(2e-5);
    });
  });
}

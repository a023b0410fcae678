/** @file The EmoQ-Former as a graph of its own: HuBERT features and text to the fused embedding e'_q. */

import { addInput, addOutput, withScope } from '../../engine/onnx/index.js';
import type { ModelGraph } from '../weights.js';
import { noDropout, under } from '../weights.js';
import { emoqFormer } from './former.js';
import type { FormerConfig } from './former-config.js';
import { FORMER_PREFIX, formerInputs, formerViews, type InputViews } from './former-config.js';

/**
 * Inputs `audio_features` float32 [batch, frames, d_a] and `frame_mask` int64 [batch, frames], `input_ids` and
 * `attention_mask` int64 [batch, text]; those of a view that is not given are left out. Output `embedding` float32
 * [batch, d_h], rows of unit length. Weights bear the keys of a run's checkpoint, `former.*`.
 */
export function formerGraph(config: FormerConfig, views: InputViews): ModelGraph {
  const seen = { both: 'HuBERT features and text', audio: 'HuBERT features', text: 'text' }[views];
  return {
    name: 'emoq_former',
    description: `EmoQ-Former: ${seen} to one embedding of unit length`,
    define(graph, weights) {
      // Training reads features as their cache has them, in float16; other runtimes have them as HuBERT gives them.
      const inputs = formerInputs(config.audioWidth, views).map(
        ({ name, dtype, shape }) =>
          [name, addInput(graph, name, dtype === 'float16' ? 'float32' : dtype, shape)] as const,
      );
      const batch = formerViews(Object.fromEntries(inputs), views);
      const embedding = withScope(graph, 'former', () =>
        emoqFormer(under(weights, FORMER_PREFIX), config, batch, noDropout),
      );
      addOutput(graph, embedding, 'embedding');
    },
  };
}

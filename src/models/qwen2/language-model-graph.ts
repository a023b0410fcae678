/** @file The language model as a graph of its own: tokens, or their embeddings, to logits over the vocabulary. */

import { addInput, addOutput, withScope } from '../../engine/onnx/index.js';
import type { Qwen2Config } from '../checkpoint/index.js';
import type { ModelGraph } from '../model-graph.js';
import { embedTokens, qwen2Decoder } from './decoder.js';
import { lmHead } from './language-head.js';

/** What the language model reads beside its mask: token ids, or embeddings with a soft prompt among them. */
export type LanguageModelInputs = 'input_ids' | 'inputs_embeds';

/**
 * Inputs `input_ids` int64 [batch, sequence], or `inputs_embeds` float32 [batch, sequence, width], and
 * `attention_mask` int64 [batch, sequence], 1 on real tokens, padding on either side. Output `logits` float32 [batch,
 * sequence, vocabulary], without meaning at padding. Positions are counted over the real tokens.
 */
export function languageModelGraph(config: Qwen2Config, inputs: LanguageModelInputs): ModelGraph {
  return {
    name: 'qwen2',
    description: `Qwen2 language model: ${inputs} to logits over ${config.vocabSize} tokens`,
    define(graph, weights) {
      const tokens = ['batch', 'sequence'] as const;
      const given =
        inputs === 'input_ids'
          ? addInput(graph, inputs, 'int64', tokens)
          : addInput(graph, inputs, 'float32', [...tokens, config.hiddenSize]);
      const attentionMask = addInput(graph, 'attention_mask', 'int64', tokens);
      const logits = withScope(graph, 'llm', () => {
        const embeddings = inputs === 'input_ids' ? embedTokens(weights, config, given) : given;
        return lmHead(weights, config, qwen2Decoder(weights, config, { embeddings, attentionMask }));
      });
      addOutput(graph, logits, 'logits');
    },
  };
}

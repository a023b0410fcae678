/**
 * @file The Qwen2 decoder (Yang et al., 2024): pre-norm layers of grouped-query attention and SwiGLU, for training
 * inside a loop body and for inference.
 *
 * The residual stream, norms and softmax are float32; matrix products take the type of the given weights.
 */

import {
  add,
  asBlock,
  cast,
  type Dim,
  formatShape,
  gather,
  innermost,
  mul,
  rmsNorm,
  silu,
  type Value,
  withScope,
} from '../../engine/onnx/index.js';
import {
  asStored,
  type Dropout,
  frozenLinear,
  type LoraConfig,
  loraLinear,
  noDropout,
  type Weights,
} from '../../nn/index.js';
import { attentionContext, groupedQueryAttention, type Project } from './attention.js';
import { hasBias, projectionPath, projectionShape } from './projections.js';
import type { Qwen2Config } from './qwen2/config.js';

export interface Qwen2Inputs {
  /** Word embeddings, the soft prompt spliced in: float32 [N, L, d]. */
  readonly embeddings: Value;
  /** int64 [N, L], 1 = real; padding may be on either side. */
  readonly attentionMask: Value;
  /** int64 [N, L]; where absent, positions are counted over the real tokens, whatever the side of the padding. */
  readonly positionIds?: Value;
}

/** LoRA on top of frozen weights. */
export interface Qwen2Lora {
  readonly config: LoraConfig;
  /** The parameters by their PEFT keys, see `loraParameters`. */
  readonly weights: Weights;
}

export interface Qwen2Options {
  readonly lora?: Qwen2Lora;
  /** Dropout before the LoRA matrices A; Qwen2 itself has none. */
  readonly dropout?: Dropout;
}

/** Word embeddings of token ids: int64 [N, L] -> float32 [N, L, d]. */
export function embedTokens(weights: Weights, config: Qwen2Config, inputIds: Value): Value {
  const table = weights('model.embed_tokens.weight', [config.vocabSize, config.hiddenSize]);
  // The few rows are cast and not the table: onnxruntime folds no constant above a gigabyte, and would cast
  // Qwen2.5-7B's with every run.
  return cast(gather(asStored(table), inputIds, 0), 'float32');
}

/**
 * The decoder's layers and final norm.
 * @returns the last hidden states, float32 [N, L, d]; those of padding are finite and mean nothing
 */
export function qwen2Decoder(
  weights: Weights,
  config: Qwen2Config,
  { embeddings, attentionMask, positionIds }: Qwen2Inputs,
  options: Qwen2Options = {},
): Value {
  checkShapes(config, embeddings, attentionMask, positionIds);
  const graph = innermost([embeddings, attentionMask]);
  const context = withScope(graph, 'positions', () => attentionContext(config, attentionMask, positionIds));
  const norm = (key: string, x: Value): Value =>
    rmsNorm(x, cast(weights(key, [config.hiddenSize]), 'float32'), config.rmsNormEps);

  let hidden = embeddings;
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    const project = layerProjections(weights, config, layer, options);
    hidden = asBlock(graph, [hidden], () =>
      withScope(graph, `layers.${layer}`, () => {
        const attended = withScope(graph, 'self_attn', () => {
          const normed = norm(`model.layers.${layer}.input_layernorm.weight`, hidden);
          return add(hidden, groupedQueryAttention(normed, config, context, project));
        });
        return withScope(graph, 'mlp', () => {
          const normed = norm(`model.layers.${layer}.post_attention_layernorm.weight`, attended);
          return add(attended, swiglu(normed, project));
        });
      }),
    );
  }
  return withScope(graph, 'norm', () => norm('model.norm.weight', hidden));
}

/** down(silu(gate(x)) * up(x)) (Shazeer, 2020): [N, L, d] -> [N, L, d]. */
function swiglu(x: Value, project: Project): Value {
  return project('down_proj', mul(silu(project('gate_proj', x)), project('up_proj', x)));
}

/** The projections of one layer, with LoRA where it is configured. */
function layerProjections(
  weights: Weights,
  config: Qwen2Config,
  layer: number,
  { lora, dropout = noDropout }: Qwen2Options,
): Project {
  return (projection, x) => {
    const path = projectionPath(layer, projection);
    const shape = projectionShape(config, projection);
    const weight = weights(`${path}.weight`, shape);
    const bias = hasBias(projection) ? weights(`${path}.bias`, [shape[0]]) : undefined;
    const frozen = { path, weight, bias };
    if (!lora?.config.targets.includes(projection)) return frozenLinear(x, frozen);
    return loraLinear(x, frozen, lora.config, lora.weights, dropout);
  };
}

function checkShapes(config: Qwen2Config, embeddings: Value, ...perToken: (Value | undefined)[]): void {
  const [batch, length, width] = embeddings.shape;
  const same = (shape: readonly Dim[]) => shape.length === 2 && shape[0] === batch && shape[1] === length;
  if (width !== config.hiddenSize || perToken.some((value) => value !== undefined && !same(value.shape))) {
    const shapes = [embeddings, ...perToken].map((value) => value && formatShape(value.shape));
    throw new RangeError(
      `Qwen2 of width ${config.hiddenSize} got embeddings, mask and positions of ${shapes.join(', ')}`,
    );
  }
}

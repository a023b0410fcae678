/**
 * @file The decoder of all families: pre-norm layers of grouped-query attention and SwiGLU (Touvron et al., 2023), for
 * training inside a loop body and for inference. Differences between families (biases, head norms) come from the
 * config.
 *
 * The residual stream, norms, softmax and SiLU are float32; matrix products use the type of the given weights.
 */

import {
  add,
  and,
  arange,
  asBlock,
  cast,
  concat,
  type Dim,
  equal,
  expand,
  formatShape,
  gather,
  greaterOrEqual,
  innermost,
  int64Vector,
  matmul,
  mul,
  multiplyDims,
  reduceMax,
  reshape,
  rmsNorm,
  silu,
  sizeOf,
  slice,
  split,
  squeeze,
  unsqueeze,
  type Value,
  where,
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
import {
  attentionContext,
  groupedQueryAttention,
  type HeadNorm,
  type KeysAndValues,
  type Project,
} from './attention.js';
import type { DecoderConfig } from './decoder-config.js';
import { decoderFamilyOf } from './decoder-families.js';
import { projectionPath, projectionShape } from './decoder-lora.js';

export interface DecoderInputs {
  /** Word embeddings, with the soft prompt inserted: float32 [N, L, d]. */
  readonly embeddings: Value;
  /** int64 [N, L], 1 = real; padding may be on either side. */
  readonly attentionMask: Value;
  /** int64 [N, L]; if absent, positions are counted over the real tokens, whichever side is padded. */
  readonly positionIds?: Value;
  /**
   * Keys and values of P tokens that come before these in every utterance, layer by layer as {@link stackedKeyValues}
   * has them: float32 [2 * layers, keyHeads, P, headDim]. Positions count from P on.
   */
  readonly past?: Value;
  /** The one token of each utterance whose hidden state is wanted, as a row of the N * L tokens: int64 [N]. */
  readonly read?: Value;
}

export interface DecoderOutputs {
  /** Last hidden states, float32 [N, L, d], or [N, d] of the tokens to read; those of padding are finite but meaningless. */
  readonly hidden: Value;
  /** Of each layer, without the past. */
  readonly keysAndValues: readonly KeysAndValues[];
}

/** LoRA on top of frozen weights. */
export interface DecoderLora {
  readonly config: LoraConfig;
  /** The parameters by PEFT key, see `loraParameters`. */
  readonly weights: Weights;
}

export interface DecoderOptions {
  readonly lora?: DecoderLora;
  /** Dropout before the LoRA matrices A; the base models have none. */
  readonly dropout?: Dropout;
}

/** Word embeddings of token ids: int64 [N, L] -> float32 [N, L, d]. */
export function embedTokens(weights: Weights, config: DecoderConfig, inputIds: Value): Value {
  const table = weights('model.embed_tokens.weight', [config.vocabSize, config.hiddenSize]);
  // Casts the gathered rows, not the table: onnxruntime does not fold constants above a gigabyte, and would cast
  // Qwen2.5-7B's in every run.
  return cast(gather(asStored(table), inputIds, 0), 'float32');
}

/** The decoder's layers and final norm: the hidden states of {@link decoderOutputs}. */
export function decoder(
  weights: Weights,
  config: DecoderConfig,
  inputs: DecoderInputs,
  options: DecoderOptions = {},
): Value {
  return decoderOutputs(weights, config, inputs, options).hidden;
}

/** The decoder's layers and final norm. */
export function decoderOutputs(
  weights: Weights,
  config: DecoderConfig,
  inputs: DecoderInputs,
  options: DecoderOptions = {},
): DecoderOutputs {
  const { embeddings, attentionMask, positionIds, past, read } = inputs;
  checkShapes(config, embeddings, attentionMask, positionIds);
  const graph = innermost([embeddings, attentionMask]);
  const contexts = withScope(graph, 'positions', () =>
    attentionContext(config, attentionMask, positionIds, past),
  );
  const norm = (key: string, x: Value, width = config.hiddenSize): Value =>
    rmsNorm(x, weights(key, [width]), config.rmsNormEps);
  const keysAndValues: KeysAndValues[] = [];
  const earlier = past && pastOfLayers(weights, config, past, embeddings);

  let hidden = embeddings;
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    const project = layerProjections(weights, config, layer, options);
    const headNorm: HeadNorm = (kind, heads) =>
      config.queryKeyNorm
        ? norm(`model.layers.${layer}.self_attn.${kind}.weight`, heads, config.headDim)
        : heads;
    // After the last layer's keys and values, only the tokens to read are computed.
    const isLast = layer === config.numHiddenLayers - 1;
    const pick = (tokens: Value): Value =>
      read !== undefined && isLast ? unsqueeze(pickTokens(tokens, read), [1]) : tokens;
    hidden = asBlock(graph, [hidden], () =>
      withScope(graph, `layers.${layer}`, () => {
        const attended = withScope(graph, 'self_attn', () => {
          const normed = norm(`model.layers.${layer}.input_layernorm.weight`, hidden);
          const own = read !== undefined && isLast ? contexts.of(pick) : contexts.all;
          const inputs = { x: normed, asking: pick(normed), past: earlier?.[layer] };
          const { attended: mixed, ...made } = groupedQueryAttention(inputs, config, own, project, headNorm);
          keysAndValues.push(made);
          return add(pick(hidden), cast(mixed, 'float32'));
        });
        return withScope(graph, 'mlp', () => {
          const normed = norm(`model.layers.${layer}.post_attention_layernorm.weight`, attended);
          return add(attended, cast(swiglu(normed, project), 'float32'));
        });
      }),
    );
  }
  const last = read === undefined ? hidden : squeeze(hidden, [1]);
  return { hidden: withScope(graph, 'norm', () => norm('model.norm.weight', last)), keysAndValues };
}

/** The shape of {@link stackedKeyValues} for a number of tokens. */
export function pastShape({ numHiddenLayers, numKeyValueHeads, headDim }: DecoderConfig, tokens: Dim): Dim[] {
  return [2 * numHiddenLayers, numKeyValueHeads, tokens, headDim];
}

/** The keys and values of the first utterance, as `past` takes them: float32 [2 * layers, keyHeads, L, headDim]. */
export function stackedKeyValues(layers: readonly KeysAndValues[]): Value {
  const first = layers.flatMap(({ keys, values }) => [slice(keys, 0, 0, 1), slice(values, 0, 0, 1)]);
  return cast(concat(first, 0), 'float32');
}

/** The past of each layer, repeated for each utterance, in the type of the products. */
function pastOfLayers(
  weights: Weights,
  config: DecoderConfig,
  past: Value,
  embeddings: Value,
): KeysAndValues[] {
  const { graph } = past;
  const { dtype } = weights(`${projectionPath(0, 'k_proj')}.weight`, projectionShape(config, 'k_proj'));
  const [parts, heads, tokens, width] = pastShape(config, past.shape[2]!) as [number, number, Dim, number];
  const batch = embeddings.shape[0]!;
  return withScope(graph, 'past', () => {
    const sizes = [
      int64Vector(graph, [parts]),
      unsqueeze(sizeOf(embeddings, 0), [0]),
      int64Vector(graph, [heads]),
      unsqueeze(sizeOf(past, 2), [0]),
      int64Vector(graph, [width]),
    ];
    const shape = [parts, batch, heads, tokens, width];
    const repeated = expand(unsqueeze(cast(past, dtype), [1]), concat(sizes, 0), shape);
    const ones = Array<number>(parts).fill(1);
    const each = split(repeated, 0, ones, int64Vector(graph, ones)).map((part) => squeeze(part, [0]));
    return Array.from({ length: parts / 2 }, (_, layer) => ({
      keys: each[2 * layer]!,
      values: each[2 * layer + 1]!,
    }));
  });
}

/** Rows of the tokens of all utterances: x [N, L, ...], rows int64 [N] -> [N, ...]. */
function pickTokens(x: Value, rows: Value): Value {
  const [batch, length, ...others] = x.shape as [Dim, Dim, ...Dim[]];
  return gather(reshape(x, [multiplyDims(batch, length), ...others]), rows, 0);
}

/**
 * down(silu(gate(x)) * up(x)) (Shazeer, 2020), in the weights' type: [N, L, d] -> [N, L, d]. Only SiLU is float32:
 * onnxruntime's Sigmoid and QuickGelu in bfloat16 on CUDA round 1 + exp(x) and what they subtract from 1, so that
 * sigmoid(-5) is 17% off and sigmoid(-6) is 0.
 */
function swiglu(x: Value, project: Project): Value {
  const gate = project('gate_proj', x);
  const open = cast(silu(cast(gate, 'float32')), gate.dtype);
  return project('down_proj', mul(open, project('up_proj', x)));
}

/** The projections of one layer, with LoRA where configured. */
function layerProjections(
  weights: Weights,
  config: DecoderConfig,
  layer: number,
  { lora, dropout = noDropout }: DecoderOptions,
): Project {
  return (projection, x) => {
    const path = projectionPath(layer, projection);
    const shape = projectionShape(config, projection);
    const weight = weights(`${path}.weight`, shape);
    const bias = config.biases.includes(projection) ? weights(`${path}.bias`, [shape[0]]) : undefined;
    const frozen = { path, weight, bias };
    if (!lora?.config.targets.includes(projection)) return frozenLinear(x, frozen);
    return loraLinear(x, frozen, lora.config, lora.weights, dropout);
  };
}

function checkShapes(config: DecoderConfig, embeddings: Value, ...perToken: (Value | undefined)[]): void {
  const [batch, length, width] = embeddings.shape;
  const same = (shape: readonly Dim[]) => shape.length === 2 && shape[0] === batch && shape[1] === length;
  if (width !== config.hiddenSize || perToken.some((value) => value !== undefined && !same(value.shape))) {
    const shapes = [embeddings, ...perToken].map((value) => value && formatShape(value.shape));
    throw new RangeError(
      `${decoderFamilyOf(config).title} of width ${config.hiddenSize} got embeddings, mask and positions of ${shapes.join(', ')}`,
    );
  }
}

export interface SoftPrompt {
  /** Word embeddings, including those of the placeholders: float32 [N, L, d]. */
  readonly embeddings: Value;
  /** Soft prompt e_h: float32 [N, d], or [N, S, d] for S consecutive placeholders. */
  readonly softPrompt: Value;
  /** Position of the first placeholder: int64 [N], -1 for an utterance without one. */
  readonly audioPosition: Value;
  /** int64 [N, S], 1 = real: padding slots leave the word embeddings unchanged. Absent: all are real. */
  readonly slotMask?: Value;
}

/**
 * Replaces the embeddings at audioPosition + s by slot s of the soft prompt; all other positions are unchanged. At the
 * replaced positions the gradient goes to the soft prompt only.
 * @returns float32 [N, L, d]
 * @throws RangeError for mismatched shapes
 */
export function spliceSoftPrompt({ embeddings, softPrompt, audioPosition, slotMask }: SoftPrompt): Value {
  const slots = softPrompt.shape.length === 2 ? unsqueeze(softPrompt, [1]) : softPrompt; // [N, S, d]
  const [batch, length, width] = embeddings.shape as [Dim, Dim, Dim];
  const [slotBatch, slotCount, slotWidth] = slots.shape as [Dim, Dim, Dim];
  if (slots.shape.length !== 3 || slotBatch !== batch || slotWidth !== width) {
    throw new RangeError(
      `soft prompt ${formatShape(softPrompt.shape)} for embeddings ${formatShape(embeddings.shape)}`,
    );
  }
  const first = unsqueeze(audioPosition, [1]); // [N, 1]
  let real = greaterOrEqual(first, 0); // [N, 1], or [N, S] with a slot mask
  if (slotMask !== undefined) real = and(real, equal(slotMask, 1));
  const target = add(first, unsqueeze(arange(sizeOf(slots, 1), slotCount), [0])); // [N, S]
  const positions = unsqueeze(arange(sizeOf(embeddings, 1), length), [0, 2]); // [1, L, 1]
  const hit = and(equal(positions, unsqueeze(target, [1])), unsqueeze(real, [1])); // [N, L, S]
  const selection = cast(hit, slots.dtype);
  const isAudio = equal(reduceMax(selection, [-1], true), 1); // [N, L, 1]
  return where(isAudio, matmul(selection, slots), embeddings);
}

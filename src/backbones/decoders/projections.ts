/** @file The seven linear projections of a Qwen2 layer: where they are, how large, and which of them LoRA adapts. */

import { InputError } from '../../base/index.js';
import type { Tensor } from '../../engine/tensor/index.js';
import type { ParameterShape } from '../../engine/training/index.js';
import { type AdaptedModule, initialLoraTensors, type LoraConfig, loraShapes } from '../../nn/index.js';
import type { Qwen2Config } from './qwen2/config.js';

/** The projections by their checkpoint names. */
export const projections = [
  'q_proj',
  'k_proj',
  'v_proj',
  'o_proj',
  'gate_proj',
  'up_proj',
  'down_proj',
] as const;

export type Projection = (typeof projections)[number];

/** Checkpoint path of a projection: `model.layers.0.self_attn.q_proj`. */
export function projectionPath(layer: number, projection: Projection): string {
  const block = ['q_proj', 'k_proj', 'v_proj', 'o_proj'].includes(projection) ? 'self_attn' : 'mlp';
  return `model.layers.${layer}.${block}.${projection}`;
}

/** Weight shape [out, in]. */
export function projectionShape(config: Qwen2Config, projection: Projection): [number, number] {
  const { hiddenSize, intermediateSize, headDim } = config;
  const queryWidth = config.numAttentionHeads * headDim;
  const keyValueWidth = config.numKeyValueHeads * headDim;
  const shapes: Record<Projection, [number, number]> = {
    q_proj: [queryWidth, hiddenSize],
    k_proj: [keyValueWidth, hiddenSize],
    v_proj: [keyValueWidth, hiddenSize],
    o_proj: [hiddenSize, queryWidth],
    gate_proj: [intermediateSize, hiddenSize],
    up_proj: [intermediateSize, hiddenSize],
    down_proj: [hiddenSize, intermediateSize],
  };
  return shapes[projection];
}

/** Only queries, keys and values have a bias. */
export function hasBias(projection: Projection): boolean {
  return projection === 'q_proj' || projection === 'k_proj' || projection === 'v_proj';
}

/**
 * The projections that a LoRA adapts, in the order of the layers.
 * @throws InputError for a target that is no projection of Qwen2.
 */
export function adaptedModules(config: Qwen2Config, { targets }: LoraConfig): AdaptedModule[] {
  const unknown = targets.find((target) => !projections.some((projection) => projection === target));
  if (unknown !== undefined) {
    throw new InputError(
      `LoRA target "${unknown}" is no projection of Qwen2; they are ${projections.join(', ')}`,
    );
  }
  const adapted = projections.filter((projection) => targets.includes(projection));
  return Array.from({ length: config.numHiddenLayers }, (_, layer) =>
    adapted.map((projection) => ({
      path: projectionPath(layer, projection),
      shape: projectionShape(config, projection),
    })),
  ).flat();
}

/** Every LoRA parameter with its shape. */
export function loraParameters(config: Qwen2Config, lora: LoraConfig): ParameterShape[] {
  return adaptedModules(config, lora).flatMap((module) => loraShapes(module, lora));
}

/** LoRA parameters at the start of training: an update of exactly zero, the same for the same seed. */
export function initialLora(
  config: Qwen2Config,
  lora: LoraConfig,
  seed: number,
): Map<string, Tensor<'float32'>> {
  return initialLoraTensors(adaptedModules(config, lora), lora, seed);
}

/** @file The seven linear projections of a decoder's layer: where they are, how large, and which of them LoRA adapts. */

import { InputError } from '../../base/index.js';
import type { Tensor } from '../../engine/tensor/index.js';
import type { ParameterShape } from '../../engine/training/index.js';
import { type AdaptedModule, initialLoraTensors, type LoraConfig, loraShapes } from '../../nn/index.js';
import { attentionProjections, type DecoderConfig, type Projection, projections } from './decoder-config.js';
import { decoderFamilyOf } from './decoder-families.js';

/** Checkpoint path of a projection: `model.layers.0.self_attn.q_proj`. */
export function projectionPath(layer: number, projection: Projection): string {
  const isAttention = attentionProjections.some((known) => known === projection);
  const block = isAttention ? 'self_attn' : 'mlp';
  return `model.layers.${layer}.${block}.${projection}`;
}

/** Weight shape [out, in]. */
export function projectionShape(config: DecoderConfig, projection: Projection): [number, number] {
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

/** @throws InputError for a LoRA target that the model's family does not have */
export function checkLoraTargets(config: DecoderConfig, targets: readonly string[]): void {
  const { title, loraTargets } = decoderFamilyOf(config);
  const unknown = targets.find((target) => !loraTargets.some((known) => known === target));
  if (unknown !== undefined) {
    throw new InputError(
      `LoRA target "${unknown}" is no projection of ${title}; they are ${loraTargets.join(', ')}`,
    );
  }
}

/**
 * The projections that a LoRA adapts, in the order of the layers.
 * @throws InputError for a target that the model's family does not have
 */
export function adaptedModules(config: DecoderConfig, { targets }: LoraConfig): AdaptedModule[] {
  checkLoraTargets(config, targets);
  const adapted = projections.filter((projection) => targets.includes(projection));
  return Array.from({ length: config.numHiddenLayers }, (_, layer) =>
    adapted.map((projection) => ({
      path: projectionPath(layer, projection),
      shape: projectionShape(config, projection),
    })),
  ).flat();
}

/** Every LoRA parameter with its shape. */
export function loraParameters(config: DecoderConfig, lora: LoraConfig): ParameterShape[] {
  return adaptedModules(config, lora).flatMap((module) => loraShapes(module, lora));
}

/** LoRA parameters at the start of training: an update of exactly zero, the same for the same seed. */
export function initialLora(
  config: DecoderConfig,
  lora: LoraConfig,
  seed: number,
): Map<string, Tensor<'float32'>> {
  return initialLoraTensors(adaptedModules(config, lora), lora, seed);
}

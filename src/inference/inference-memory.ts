/** @file The memory of a trained model on a CUDA device, compared with the device before the model is loaded. */

import { formatMemory, InputError, OutOfMemoryError } from '../base/index.js';
import type { Graph } from '../engine/onnx/index.js';
import { type Device, deviceName, readCardMemory } from '../engine/runtime/index.js';
import { type DeviceMemory, inferenceMemory } from '../engine/training/index.js';
import type { Precision } from '../nn/index.js';
import type { Phase, Recipe } from '../systems/index.js';
import { averageBatch } from '../training/index.js';

export interface ModelToReview {
  readonly recipe: Recipe;
  readonly phase: Phase;
  readonly precision: Precision;
  readonly device: Device;
  /** Utterances per run of the graph. */
  readonly batchSize: number;
  readonly graphIn: (precision: Precision) => Graph;
}

export interface InferenceReview {
  /**
   * A warning if memory may not be enough. @throws InputError if it cannot be: the estimate is for average utterances
   */
  readonly warning: () => Promise<string | undefined>;
  /** Throws an error, with the estimate and what helps where memory ran out. */
  readonly rethrow: (error: unknown) => never;
}

export function reviewInferenceMemory(model: ModelToReview): InferenceReview {
  const { recipe, phase, precision, device, batchSize, graphIn } = model;
  const sizes = { past: 0, ...averageBatch(recipe, phase, batchSize) }; // prompts in whole
  const memoryIn = (of: Precision): DeviceMemory => inferenceMemory(graphIn(of), sizes);
  const needs = (memory: DeviceMemory): string =>
    `${phase.title} needs about ${formatMemory(memory.totalBytes)} on ${deviceName(device)}`;
  const advice = ({ totalBytes }: DeviceMemory): string => {
    const saved = precision === 'float32' ? totalBytes - memoryIn('bfloat16').totalBytes : 0;
    const options = saved > 0 ? [`--precision bfloat16 saves ${formatMemory(saved)}`] : [];
    return [...options, '--device cpu needs none of it'].join(', ');
  };
  return {
    async warning() {
      const card = device.kind === 'cuda' ? await readCardMemory(device.index) : undefined;
      if (card === undefined) return undefined;
      const memory = memoryIn(precision);
      const { totalBytes, contextBytes } = memory;
      if (totalBytes <= card.freeBytes) return undefined;
      const free = totalBytes > card.totalBytes ? '' : `, ${formatMemory(card.freeBytes)} of it free`;
      const text = `${needs(memory)}, which has ${formatMemory(card.totalBytes)}${free}: ${advice(memory)}`;
      if (totalBytes - contextBytes > card.totalBytes) throw new InputError(text);
      return text;
    },
    rethrow(error) {
      if (!(error instanceof OutOfMemoryError)) throw error;
      const memory = memoryIn(precision);
      throw new OutOfMemoryError(`${error.message}; ${needs(memory)}: ${advice(memory)}`);
    },
  };
}

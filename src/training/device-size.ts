/**
 * @file The memory of a phase on a CUDA device, with the settings of its recipe and with others that take less of it.
 */

import { formatMemory } from '../base/index.js';
import { createGraph } from '../engine/onnx/index.js';
import { type DType, elementCount } from '../engine/tensor/index.js';
import {
  type DeviceMemory,
  feedBytes,
  matrixFlops,
  stepNodes,
  type TrainingEstimator,
  type TrainingGraph,
  trainingEstimator,
} from '../engine/training/index.js';
import type { Precision } from '../nn/index.js';
import { type Phase, type PhaseSettings, precisionOnCuda } from '../systems/index.js';
import type { StepCounts } from './batches.js';
import { batchesThatFit, runLimits } from './run-sizing.js';
import { batchSplit, buildTraining, type StepSize } from './step-sizes.js';

/** Settings that decide how much memory a phase takes, and change its results by no more than rounding. */
export interface MemorySettings {
  /** Of a language model's products. */
  readonly precision: Precision;
  readonly activation_checkpointing: boolean;
  readonly accumulate: number;
  /** One step per run of the graph, whose loop then holds no state of an earlier step; takes longer for each. */
  readonly oneStep?: boolean;
}

/** A phase with some settings, at the step that needs the most memory. */
export interface SizedSettings extends MemorySettings {
  readonly memory: DeviceMemory;
  readonly step: StepSize;
}

/** A phase whose memory is estimated. */
export interface SizedPhase {
  /** Its name in recipes. */
  readonly name: string;
  readonly title: string;
  readonly given: MemorySettings;
  readonly batchSize: number;
  readonly languageModel: LanguageModelSize | undefined;
  /** The estimate for some settings; computed once. */
  readonly sized: (settings: MemorySettings) => SizedSettings;
}

export interface PhaseToSize {
  readonly phase: Phase;
  readonly settings: PhaseSettings;
  readonly plan: StepCounts;
  readonly validates: boolean;
  /** The largest steps with some settings. */
  readonly steps: (settings: PhaseSettings) => readonly StepSize[];
  readonly precision: Precision;
  /** Its training graph with these settings on CUDA, if it has been built. */
  readonly training?: TrainingGraph | undefined;
}

/** Prepares estimates of a phase. Graphs are built when an estimate asks for them. */
export function phaseToSize({
  phase,
  settings,
  plan,
  validates,
  steps,
  precision,
  training: built,
}: PhaseToSize): SizedPhase {
  const graphs = new Map<string, { training: TrainingGraph; estimate: TrainingEstimator }>();
  const known = new Map<string, SizedSettings>();
  const graphOf = (own: PhaseSettings, of: Precision) => {
    const key = graphKey(own, of);
    const found = graphs.get(key);
    if (found !== undefined) return found;
    const isBuilt = built !== undefined && key === graphKey(settings, precision);
    const training = isBuilt
      ? built
      : buildTraining(phase, own, plan, { device: DEVICE, precision: of, validates });
    const made = { training, estimate: trainingEstimator(training) };
    graphs.set(key, made);
    return made;
  };
  const size = (chosen: MemorySettings): SizedSettings => {
    const { precision, activation_checkpointing, accumulate, oneStep } = chosen;
    const own = { ...settings, activation_checkpointing, accumulate };
    const { training, estimate } = graphOf(own, precision);
    const sizes = steps(own).map((step) => {
      const { batch, microBatches } = step;
      const stepsPerRun = oneStep ? 1 : deviceStepsPerRun(training, step, plan.stepsPerEpoch);
      return { ...chosen, step, memory: estimate({ ...batch }, { stepsPerRun, microBatches }) };
    });
    return sizes.reduce((most, one) => (one.memory.totalBytes > most.memory.totalBytes ? one : most));
  };
  const { activation_checkpointing, accumulate, batch_size: batchSize } = settings;
  return {
    name: phase.name,
    title: phase.title,
    given: { precision, activation_checkpointing, accumulate },
    batchSize,
    languageModel: languageModelSize(phase),
    sized(chosen) {
      const { precision: of, activation_checkpointing: recomputes, accumulate: parts, oneStep } = chosen;
      const key = [of, recomputes, parts, oneStep ?? false].join();
      const made = known.get(key) ?? size(chosen);
      known.set(key, made);
      return made;
    },
  };
}

/** What a graph depends on. */
function graphKey(settings: PhaseSettings, precision: Precision): string {
  return [precision, settings.activation_checkpointing, batchSplit(settings) !== undefined].join();
}

/** Estimates do not depend on which device it is. */
const DEVICE = { kind: 'cuda', index: 0 } as const;

/**
 * A fast device: the faster, the more steps go to a run, and the more memory their batches take. Neither figure was
 * measured.
 */
const DEVICE_FLOPS = 400e12;
const DEVICE_NODE_SEC = 3e-6;

/** As many steps as the trainer will give a run on a fast device. */
function deviceStepsPerRun(
  training: TrainingGraph,
  { batch: sizes, microBatches }: StepSize,
  stepsPerEpoch: number,
): number {
  const batch = { ...sizes };
  const flops = matrixFlops(training, batch, microBatches);
  const stepSec = flops / DEVICE_FLOPS + DEVICE_NODE_SEC * stepNodes(training) * microBatches;
  const size = { seconds: stepSec, feedBytes: feedBytes(training, batch, microBatches) };
  return Math.min(batchesThatFit(size, runLimits(DEVICE)), stepsPerEpoch);
}

/** The matrices of a language model that is computed with reduced precision on CUDA. */
export interface LanguageModelSize {
  /** The types in which its matrices are stored that are not quantized. */
  readonly stored: readonly DType[];
  /** Elements of the matrices that `emoq quantize` packs. */
  readonly packedElements: number;
}

/** Matrices that stay as they are in a quantized checkpoint. */
const NOT_PACKED = /embed|lm_head/;

/** What a phase's language model is stored in, as far as it is known without opening it; undefined without one. */
function languageModelSize(phase: Phase): LanguageModelSize | undefined {
  const weights = phase.frozen(createGraph('weights'), 'bfloat16');
  const matrices = phase.parameters.frozen
    .filter(({ shape }) => shape.length === 2)
    .map(({ key, shape }) => ({ key, shape, value: weights(key, shape) }))
    .filter(({ value }) => value.dtype === 'bfloat16'); // the Former's stay in float32
  if (matrices.length === 0) return undefined;
  // What is cast or read as it is; the others are dequantized.
  const floating = matrices.filter(({ value }) => (value.producer?.operator ?? 'Cast') === 'Cast');
  const stored = floating.map(({ value }) => value.producer?.inputs[0] ?? value);
  return {
    stored: stored.map(({ dtype }) => dtype),
    packedElements: floating
      .filter(({ key }) => !NOT_PACKED.test(key))
      .reduce((total, { shape }) => total + elementCount(shape), 0),
  };
}

/** The precision that `auto` chooses on CUDA, known without opening the weights. */
export function automaticPrecision(phase: Phase): Precision {
  const languageModel = languageModelSize(phase);
  return languageModel === undefined ? 'float32' : precisionOnCuda(languageModel.stored);
}

/** `31.2 GiB (14.3 GiB frozen weights, ...)` */
export function memoryParts(memory: DeviceMemory): string {
  const { weightBytes, stateBytes, workingBytes, contextBytes, totalBytes } = memory;
  return `${formatMemory(totalBytes)} (${formatMemory(weightBytes)} frozen weights, ${formatMemory(stateBytes)} parameters and moments, ${formatMemory(workingBytes)} batches and one step, ${formatMemory(contextBytes)} assumed for CUDA itself)`;
}

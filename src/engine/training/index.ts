/** @file Optimizer, schedule, dropout and the K-step training graph. */

export { type AdamWOptions, type AdamWSlot, adamwUpdate, type Schedule, scheduledRate } from './adamw.js';
export { type DropoutPlan, dropoutOffsets, dropoutPools } from './dropout.js';
export {
  estimateMemory,
  type MemoryEstimate,
  matrixFlops,
  stepNodes,
  type TrainingProcess,
} from './memory.js';
export { type Batch, type MicroBatch, stackBatches, stackMicroBatches } from './stacking.js';
export {
  buildTrainingGraph,
  firstMomentName,
  type GraphInput,
  type ParameterShape,
  type StepContext,
  type StepLoss,
  secondMomentName,
  sizeInputName,
  type TrainingGraph,
  type TrainingSpec,
} from './training-graph.js';

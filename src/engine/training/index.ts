/** @file Door of the training room: optimizer, schedule, dropout and the K-step training graph. */

export { type AdamWOptions, type AdamWSlot, adamwUpdate } from './adamw.js';
export { matrixFlops, stepNodes } from './arithmetic.js';
export { type DropoutPlan, dropoutOffsets, dropoutPools } from './dropout.js';
export { estimateMemory, type MemoryEstimate, type TrainingProcess } from './memory.js';
export { type Schedule, scheduledRate } from './schedule.js';
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

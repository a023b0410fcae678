/** @file Optimizer, schedule, dropout and the K-step training graph. */

export { type AdamWOptions, type AdamWSlot, adamwUpdate } from './adamw.js';
export {
  CONTEXT_BYTES,
  type DeviceMemory,
  type DeviceRuns,
  feedBytes,
  inferenceMemory,
  type TrainingEstimator,
  trainingEstimator,
} from './device-memory.js';
export { type DropoutPlan, dropoutPools, dropoutWindows } from './dropout.js';
export {
  estimateMemory,
  graphFlops,
  type MemoryEstimate,
  matrixFlops,
  stepNodes,
  type TrainingProcess,
} from './memory.js';
export { type Schedule, type ScheduleShape, scheduledRate, scheduleShapes } from './schedule.js';
export {
  type Batch,
  evaluationFeeds,
  evaluationOutputs,
  type MicroBatch,
  noEvaluationFeeds,
  stackBatches,
  stackMicroBatches,
} from './stacking.js';
export { type ParameterShape, type StateGroup, stateGroups } from './state-groups.js';
export {
  averageName,
  buildTrainingGraph,
  EVALUATED,
  type EvaluationPart,
  type EvaluationSpec,
  evaluationName,
  firstMomentName,
  type GraphInput,
  type MemorySlot,
  SIZES_INPUT,
  type StepContext,
  type StepLoss,
  secondMomentName,
  type TrainingGraph,
  type TrainingSpec,
} from './training-graph.js';
export type { WeightAverage } from './weight-average.js';

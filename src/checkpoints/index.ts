/** @file Hugging Face checkpoints: safetensors and PyTorch files, weights by key, identities. */

export {
  type Checkpoint,
  findCheckpointFolder,
  openCheckpoint,
  openWeightsFile,
  readConfig,
  unreadWeights,
  type WeightRef,
} from './checkpoint.js';
export {
  checkpointIdentity,
  configIdentity,
  filesIdentity,
  identityDifferences,
  type ModelIdentity,
} from './identity.js';
export {
  readWeight,
  requireWeight,
  storedTensor,
  trainedTensor,
  weightFiles,
  weightsUnder,
} from './stored-weights.js';

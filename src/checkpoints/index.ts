/** @file Hugging Face checkpoints: safetensors and PyTorch files, weights by key, identities. */

export {
  type Checkpoint,
  findCheckpointFolder,
  openCheckpoint,
  openWeightsFile,
  readConfig,
  readWeight,
  requireWeight,
  storedTensor,
  trainedTensor,
  unreadWeights,
  weightBytes,
  weightFiles,
  weightsUnder,
} from './checkpoint.js';
export {
  checkpointIdentity,
  configIdentity,
  filesIdentity,
  identityDifferences,
  type ModelIdentity,
} from './identity.js';
export {
  blockSizes,
  QUANTIZATION_KEY,
  QUANTIZATION_METHOD,
  type Quantization,
  type QuantizationSettings,
  quantizationEntry,
  quantizationSettings,
  storedKeys,
  type WeightRef,
} from './quantized-weights.js';

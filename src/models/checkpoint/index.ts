/** @file Door of the checkpoint room: Hugging Face folders, their weights and their configs. */

export {
  type Checkpoint,
  openCheckpoint,
  openWeightsFile,
  readConfig,
  type WeightRef,
} from './checkpoint.js';
export { findCheckpointFolder } from './folder.js';
export {
  type HubertConfig,
  parseHubertConfig,
  readHubertConfig,
  readNormalization,
  receptiveField,
} from './hubert-config.js';
export { publishedConfigs } from './published-configs.js';
export { parseQwen2Config, type Qwen2Config, readQwen2Config } from './qwen2-config.js';
export { parseRobertaConfig, type RobertaConfig, readRobertaConfig } from './roberta-config.js';
export { storedTensor } from './weight-bytes.js';
export { readWeight, requireWeight, weightFiles, weightsUnder } from './weights.js';

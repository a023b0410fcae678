/** @file Door of the checkpoint room: Hugging Face folders, their weights and their configs. */

export type { RobertaConfig } from '../former/config.js';
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
export {
  checkpointIdentity,
  configIdentity,
  filesIdentity,
  identityDifferences,
  type ModelIdentity,
} from './identity.js';
export { publishedConfigs } from './published-configs.js';
export { parseQwen2Config, type Qwen2Config, readQwen2Config } from './qwen2-config.js';
export { parseRobertaConfig, readRobertaConfig } from './roberta-config.js';
export { chooseHead, type HeadChoice } from './tied-head.js';
export { unreadWeights } from './unread-weights.js';
export { storedTensor, trainedTensor } from './weight-bytes.js';
export { readWeight, requireWeight, weightFiles, weightsUnder } from './weights.js';

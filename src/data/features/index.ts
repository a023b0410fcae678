/** @file Features of the frozen encoder, computed once and cached on disk. */

export {
  BATCH_SEC,
  batchesByLength,
  extractFeatures,
  type FeatureItem,
  type FeatureProgress,
  findFeatures,
} from './extract.js';
export {
  fileHashes,
  openFeatureCache,
  readFeatures,
  type StoredFeatures,
  storedFeatures,
  UNHOLDABLE_FEATURES,
} from './feature-cache.js';

/** @file Door of the feature room: the frozen encoder's features, made once, kept on disk, read back. */

export { BATCH_SEC, type BatchLimits, batchesByLength } from './batches.js';
export { type FeatureCache, type FeatureEntry, openFeatureCache } from './cache.js';
export {
  type Extraction,
  type ExtractOptions,
  extractFeatures,
  type FeatureItem,
  type FeatureNote,
  type FeatureProgress,
} from './extract.js';
export {
  type EncodedClip,
  type Features,
  readFeatures,
  storedFeatures,
  UNHOLDABLE_FEATURES,
} from './feature-file.js';

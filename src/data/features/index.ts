/** @file The frozen encoder's features, computed once, kept on disk, read back. */

export { BATCH_SEC, batchesByLength, extractFeatures, type FeatureProgress } from './extract.js';
export {
  openFeatureCache,
  readFeatures,
  type StoredFeatures,
  storedFeatures,
  UNHOLDABLE_FEATURES,
} from './feature-cache.js';

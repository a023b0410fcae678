/** @file The frozen encoder's features, computed once, kept on disk, read back. */

export { BATCH_SEC, batchesByLength } from './batches.js';
export { extractFeatures, type FeatureProgress } from './extract.js';
export { openFeatureCache } from './feature-cache.js';
export { readFeatures, type StoredFeatures, storedFeatures, UNHOLDABLE_FEATURES } from './feature-file.js';

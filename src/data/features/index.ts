/** @file The frozen encoder's features, computed once, kept on disk, read back. */

export { BATCH_SEC, batchesByLength } from './batches.js';
export { extractFeatures, type FeatureProgress } from './extract.js';
export { openFeatureCache } from './feature-cache.js';
export { type Features, readFeatures, storedFeatures, UNHOLDABLE_FEATURES } from './feature-file.js';

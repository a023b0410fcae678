/** @file Fetches models from the Hugging Face hub into its cache, and finds them there. */

export { type HubAccess, openHub } from './access.js';
export { cachedBytes, findSnapshot, hubCacheFolder, modelCache, snapshotOf } from './cache.js';
export { isCompanion, missingBytes, type PullPlan, planPull } from './plan.js';
export { type ModelRequest, parseModelName, publishedModel, publishedModels } from './published-models.js';
export { checkDiskSpace, fetchModel, otherMain } from './pull.js';

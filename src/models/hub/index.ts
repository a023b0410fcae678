/** @file Door of the hub: models fetched from the Hugging Face hub into its cache, and found there. */

export { type HubAccess, type HubOptions, openHub } from './access.js';
export { findSnapshot, hubCacheFolder, modelCache, snapshotOf } from './cache.js';
export { missingBytes, type PullPlan, planPull } from './plan.js';
export { cachedBytes } from './presence.js';
export {
  type ModelRequest,
  parseModelName,
  publishedModel,
  publishedModels,
} from './published-models.js';
export { checkDiskSpace, fetchModel, otherMain } from './pull.js';

/** @file The library: `import { openBundle } from 'emoq'`. Everything exported here is public. */

export { openBundle } from './bundle.js';
export type {
  Answer,
  Bundle,
  OpenBundleOptions,
  Prediction,
  PredictOptions,
  Recording,
} from './public-types.js';

/** @file The library: `import { openBundle } from 'emoq'`. Everything exported here is public. */

export { type Bundle, type OpenBundleOptions, openBundle, type PredictOptions } from './bundle.js';
export type { Prediction, Recording } from './recordings.js';

/** @file Bundles: a trained model as one folder that needs neither its run nor its backbones. */

export { type BundleDescription, bundleIdentity, readBundleDescription } from './bundle-format.js';
export { type BundleOptions, writeBundle } from './bundle-writer.js';
export { bundleRecipe, type OpenedBundle, openBundleModel } from './opened-bundle.js';

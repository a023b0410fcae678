/** @file Door of the LoRA room. */

export { type AdaptedModule, initialLoraTensors, type LoraConfig, loraKeys, loraShapes } from './lora.js';
export { type MergedDtype, type MergeOptions, mergedTensors, mergeLora } from './merge.js';
export { type FrozenLinear, frozenLinear, loraLinear } from './update.js';

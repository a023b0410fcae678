/** @file Door of the LoRA room. */

export { type AdaptedModule, initialLoraTensors, type LoraConfig, loraKeys, loraShapes } from './lora.js';
export { type MergeOptions, mergeLora } from './merge.js';
export { type FrozenLinear, frozenLinear, loraLinear } from './update.js';

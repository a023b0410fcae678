/** @file Reverse-mode automatic differentiation of ONNX graphs. */

export { gradients } from './gradients.js';
export type { NoGradient, Rule, RuleContext } from './rule.js';
export { rules } from './rules.js';

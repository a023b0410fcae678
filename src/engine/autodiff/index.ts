/** @file Door of the autodiff room. */

export { gradients } from './gradients.js';
export type { NoGradient, Rule, RuleContext } from './rule.js';
export { rules } from './rules.js';

/** @file Door of the report's gathering: what runs left behind, as the plain data that a report shows. */

export type { EvaluatedRuns } from './evaluated-runs.js';
export { type GatherOptions, gatherReport } from './gather.js';

/** @file What runs left behind, gathered for a report. */

export { gatherReport } from './gather.js';
export { planReport, type ReportPlan, scorePlanned } from './report-plan.js';

/** @file What runs left behind, gathered for a report. */

export { gatherReport, planReport, type ReportPlan, scorePlanned } from './gather.js';

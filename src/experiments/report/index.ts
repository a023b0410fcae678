/** @file Gathers the data of a report from the files of runs. */

export { gatherReport, planReport, type ReportPlan, scorePlanned } from './gather.js';
export { gatherSearch } from './search-report.js';

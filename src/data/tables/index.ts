/** @file Tables as people and programs write them: dialects, cells, file names, likely misspellings. */

export { adviceForSeveral, PREDICTIONS } from './advice.js';
export {
  isBlank,
  isMissing,
  isNested,
  lookAlike,
  numberOf,
  parseTimeSec,
  refuseLookAlikes,
  TIME_FORMS,
} from './cells.js';
export { type CsvRow, formatCsv, parseCsvTable, readCsvTable } from './csv-table.js';
export {
  cellOf,
  givesParts,
  type RecordingTable,
  readRecordingTable,
  refuseUncutParts,
  textOf,
} from './recording-table.js';
export { canonicalSpelling, describeSpellings, shownSpelling, spellingGroups } from './spellings.js';
export { readTableBytes, readTableText } from './table-text.js';

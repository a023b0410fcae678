/** @file Tables as people and programs write them, and what their cells, values and files mean. */

export type { TableUse } from './advice.js';
export { adviceForSeveral, PREDICTIONS } from './advice.js';
export { cellValue, isBlank, isMissing, isNested, numberOf, transcriptOf } from './cells.js';
export { lookAlike, refuseLookAlikes } from './columns.js';
export {
  type CsvRow,
  type CsvTable,
  formatCsv,
  parseCsvTable,
  readCsvTable,
} from './csv-table.js';
export { type FileFinder, fileFinder } from './file-finder.js';
export {
  cellOf,
  givesParts,
  type RecordingColumns,
  type RecordingTable,
  readRecordingTable,
  refuseUncutParts,
  textOf,
} from './recording-table.js';
export {
  canonicalSpelling,
  describeSpellings,
  type SpellingGroup,
  shownSpelling,
  spellingGroups,
} from './spellings.js';
export { readTableBytes, readTableText } from './table-text.js';
export { parseTimeSec, TIME_FORMS } from './times.js';

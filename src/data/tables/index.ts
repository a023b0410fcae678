/** @file Tables from users and other programs: CSV dialects, cell values, file names, and likely misspellings. */

export {
  canonicalSpelling,
  describeSpellings,
  isBlank,
  isMissing,
  isNested,
  lookAlike,
  numberOf,
  parseTimeSec,
  refuseLookAlikes,
  shownSpelling,
  spellingGroups,
  TIME_FORMS,
} from './cells.js';
export { type CsvRow, formatCsv, parseCsvTable, readCsvTable } from './csv-table.js';
export { isPattern, isRecording, isTableName, listRecordings, type RecordingList } from './recording-list.js';
export {
  cellOf,
  type FileFinder,
  fileFinder,
  type RecordingTable,
  readRecordingTable,
  refuseUncutParts,
  textOf,
} from './recording-table.js';
export { adviceForSeveral, PREDICTIONS } from './table-advice.js';
export { openTableStream, type TableRow, type TableStream } from './table-stream.js';
export { readTableBytes, readTableText } from './table-text.js';

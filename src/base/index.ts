/** @file Errors, exit codes, atomic files, checksums, locks, bounded concurrency, reading ahead and peak memory. */

export { formatBytes, formatDuration, formatMemory, sha256Of, sha256OfFile } from './checksums.js';
export { createPool, defaultJobs, mapConcurrently, type Pool, readAhead } from './concurrency.js';
export {
  ComputationError,
  ExitCode,
  errorMessage,
  InputError,
  InterruptedError,
  lineError,
  OutOfMemoryError,
  oneLine,
  quoted,
  ReaderGoneError,
  STOP_SIGNALS,
  UnavailableError,
} from './errors.js';
export {
  copyFileAtomic,
  createAtomicFile,
  createOutput,
  type GrowingFile,
  moveIntoPlace,
  openGrowingFile,
  pathExists,
  readJson,
  readTextFile,
  writeFileAtomic,
  writeJsonAtomic,
  writeOutput,
} from './files.js';
export { claimLock } from './lock.js';
export { plainValueOf, repeatedKey } from './nesting.js';
export { requireNewFolder, writeNewFolder } from './new-folder.js';
export {
  type FileTarget,
  isSameFile,
  makeOutputFolder,
  type OutputFile,
  type OutputTarget,
  outputTarget,
  userTarget,
} from './output.js';
export { peakMemoryBytes } from './process-memory.js';
export { didYouMean, nearNames } from './suggestion.js';
export {
  deleteAtExit,
  isTemporaryName,
  sweepTemporaries,
  temporaryName,
  withoutTemporarySuffix,
} from './temporary-files.js';

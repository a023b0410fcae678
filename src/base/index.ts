/** @file Door of the base room: what every other room may lean on. */

export { formatBytes, formatMemory } from './bytes.js';
export { sha256Of, sha256OfFile } from './checksums.js';
export { defaultJobs, mapConcurrently } from './concurrency.js';
export { formatDuration } from './duration.js';
export {
  ComputationError,
  ExitCode,
  errorMessage,
  InputError,
  InterruptedError,
  lineError,
  oneLine,
  quoted,
  ReaderGoneError,
  UnavailableError,
} from './errors.js';
export {
  copyFileAtomic,
  createAtomicFile,
  createOutput,
  moveIntoPlace,
  pathExists,
  readJson,
  readTextFile,
  writeFileAtomic,
  writeJsonAtomic,
  writeOutput,
} from './files.js';
export { claimLock, type LockHolder } from './lock.js';
export { isNestedTooDeep, type PlainValue, plainValueOf, TOO_DEEP } from './nesting.js';
export type { OutputFile } from './output-stream.js';
export {
  isSameFile,
  makeOutputFolder,
  type OutputTarget,
  outputTarget,
  userTarget,
} from './output-target.js';
export { repeatedKey } from './repeated-key.js';
export {
  deleteAtExit,
  isTemporaryName,
  sweepTemporaries,
  temporaryName,
  withoutTemporarySuffix,
} from './temporary-files.js';

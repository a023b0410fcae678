/** @file Door of the base room: what every other room may lean on. */

export { formatBytes, formatMemory } from './bytes.js';
export { defaultJobs, mapConcurrently } from './concurrency.js';
export {
  ComputationError,
  ExitCode,
  errorMessage,
  InputError,
  InterruptedError,
  quoted,
  UnavailableError,
} from './errors.js';
export {
  type AtomicFile,
  createAtomicFile,
  moveIntoPlace,
  pathExists,
  readJson,
  readTextFile,
  sha256Of,
  sha256OfFile,
  temporaryName,
  writeFileAtomic,
  writeJsonAtomic,
} from './files.js';
export { claimLock, type LockHolder } from './lock.js';

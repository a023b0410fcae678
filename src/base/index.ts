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
  copyFileAtomic,
  createAtomicFile,
  pathExists,
  readJson,
  readTextFile,
  sha256Of,
  sha256OfFile,
  writeFileAtomic,
  writeJsonAtomic,
} from './files.js';
export { claimLock, type LockHolder } from './lock.js';

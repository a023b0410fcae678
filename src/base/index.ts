/** @file Door of the base room: what every other room may lean on. */

export { ExitCode, errorMessage, InputError, InterruptedError } from './errors.js';
export {
  type AtomicFile,
  createAtomicFile,
  pathExists,
  readJson,
  readTextFile,
  sha256Of,
  sha256OfFile,
  writeFileAtomic,
  writeJsonAtomic,
} from './files.js';

/** @file The versions of Node that emoq runs on. package.json's `engines` says the same, and a test holds the two together. */

/** Oldest minor version of each supported line; `make test-nodes` runs the newest of each. */
const OLDEST_MINOR = { 20: 20, 22: 12, 24: 0 };
/** From this line on every version is let through: what comes later is likely to work, and is not tested. */
const NEWEST_LINE = 26;

/** "20.20, 22.12, 24 or 26": for messages. */
export const SUPPORTED_NODES = `${Object.entries(OLDEST_MINOR)
  .map(([major, minor]) => (minor === 0 ? major : `${major}.${minor}`))
  .join(', ')} or ${NEWEST_LINE}`;

/** The same as a range of package.json's `engines`. */
export const NODE_RANGE = [
  ...Object.entries(OLDEST_MINOR).map(([major, minor]) => `^${major}.${minor}.0`),
  `>=${NEWEST_LINE}.0.0`,
].join(' || ');

/**
 * Says in one line what is wrong with a version of Node ("20.11.1"); undefined where nothing is. Lines of odd numbers are
 * refused: they live for half a year and nobody tests them.
 */
export function nodeVersionProblem(version) {
  const [major, minor] = version.split('.').map(Number);
  if (major >= NEWEST_LINE || minor >= OLDEST_MINOR[major]) return undefined;
  return `emoq needs Node ${SUPPORTED_NODES} (or newer in that line); this is ${version}. Install one of them, 24 for example, and run again.`;
}

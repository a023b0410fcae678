/** @file The supported versions of Node. package.json's `engines` states the same, and a test compares them. */

/** Oldest supported minor version of each line; `make test-nodes` tests the newest of each. */
const OLDEST_MINOR = { 20: 20, 22: 12, 24: 0 };
/** All versions from this line on are accepted: later ones are likely to work but are not tested. */
const NEWEST_LINE = 26;

/** "20.20, 22.12, 24 or 26": for messages. */
export const SUPPORTED_NODES = `${Object.entries(OLDEST_MINOR)
  .map(([major, minor]) => (minor === 0 ? major : `${major}.${minor}`))
  .join(', ')} or ${NEWEST_LINE}`;

/** The same in the form of package.json's `engines`. */
export const NODE_RANGE = [
  ...Object.entries(OLDEST_MINOR).map(([major, minor]) => `^${major}.${minor}.0`),
  `>=${NEWEST_LINE}.0.0`,
].join(' || ');

/**
 * Describes in one line why a version of Node ("20.11.1") is not supported; undefined if it is. Odd-numbered lines are
 * rejected: they live for half a year and are not tested.
 */
export function nodeVersionProblem(version) {
  const [major, minor] = version.split('.').map(Number);
  if (major >= NEWEST_LINE || minor >= OLDEST_MINOR[major]) return undefined;
  return `emoq needs Node ${SUPPORTED_NODES} (or newer in that line); this is ${version}. Install one of them, 24 for example, and run again.`;
}

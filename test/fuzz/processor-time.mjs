/** @file Processor time of this process, which other programs do not lengthen as they do the time on the clock. */

/** Seconds of processor time since `start`, a value of process.cpuUsage(). */
export function cpuSecSince(start) {
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1e6;
}

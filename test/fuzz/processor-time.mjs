/** @file Processor time of this process, which other programs affect less than wall-clock time. */

/** Seconds of processor time since `start`, a value of process.cpuUsage(). */
export function cpuSecSince(start) {
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1e6;
}

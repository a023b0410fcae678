/** @file Amounts of bytes as people read them. */

/** `512 bytes`, `28.1 kB`, `378 MB`, `3.95 GB`: powers of ten, as disks and downloads are counted. */
export function formatBytes(bytes: number): string {
  if (bytes < 999.5) return `${Math.round(bytes)} bytes`;
  const power = bytes < 999.5e3 ? 1 : bytes < 999.5e6 ? 2 : 3;
  const amount = Number((bytes / 1000 ** power).toPrecision(3)).toLocaleString('en');
  return `${amount} ${['kB', 'MB', 'GB'][power - 1]}`;
}

/** `316 MiB`, `51.8 GiB`: powers of two, as memory is counted. */
export function formatMemory(bytes: number): string {
  return bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(0)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}

/** @file Durations as people read them. */

/** `0.4 s`, `36 s`, `4 min 10 s`, `1 h 05 min`. */
export function formatDuration(sec: number): string {
  if (sec < 9.95) return `${sec.toFixed(1)} s`;
  const whole = Math.round(sec);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, '0')} s`;
  const minutes = Math.round(sec / 60);
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}

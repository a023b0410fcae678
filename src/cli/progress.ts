/** @file Progress on stderr: a status line on a terminal, occasional lines in a log. */

import { formatBytes, formatDuration } from '../base/index.js';
import { note, showStatus } from './terminal-output.js';

export { formatDuration };

export interface ProgressOptions {
  /** The activity, such as `decoding`. */
  readonly label: string;
  /** The unit, in the plural, such as `clips`; `bytes` are shown as kB, MB or GB. */
  readonly unit: string;
}

/** Where progress is shown; normally stderr and the clock. */
export interface ProgressScreen {
  readonly isTerminal: boolean;
  /** Replaces the status line; '' removes it. */
  status(text: string): void;
  /** Writes a permanent line. */
  line(text: string): void;
  /** Seconds since an arbitrary start. */
  nowSec(): number;
}

export interface Progress {
  /**
   * Reports `done` of `total` (null if not yet known). Calls are cheap, and only a few reach the screen. Anything done
   * before the first call counts as done but not towards the speed.
   */
  update(done: number, total: number | null, detail?: string): void;
  /** Removes the status line, and prints one summary line if the work took over two seconds. */
  finish(): void;
}

const TERMINAL_INTERVAL_SEC = 0.1;
const LOG_INTERVAL_SEC = 30;
const QUIET_SEC = 2;

/** Starts showing progress. Work of under two seconds prints nothing. */
export function startProgress(
  { label, unit }: ProgressOptions,
  screen: ProgressScreen = stderrScreen,
): Progress {
  const amount = unit === 'bytes' ? formatBytes : (value: number): string => `${count(value)} ${unit}`;
  const pace = unit === 'bytes' ? formatBytes : (perSec: number): string => `${speed(perSec)} ${unit}`;
  const startSec = screen.nowSec();
  const intervalSec = screen.isTerminal ? TERMINAL_INTERVAL_SEC : LOG_INTERVAL_SEC;
  let first: { done: number; sec: number } | undefined;
  let doneNow = 0;
  let shownSec = screen.isTerminal ? startSec + QUIET_SEC / 4 : startSec;
  let shown = false;
  const rate = (sec: number): number =>
    first && sec > first.sec ? (doneNow - first.done) / (sec - first.sec) : 0;

  return {
    update(done, total, detail) {
      const sec = screen.nowSec();
      first ??= { done, sec };
      doneNow = done;
      if (sec - shownSec < intervalSec) return;
      shownSec = sec;
      shown = true;
      const perSec = rate(sec);
      const parts = [
        total === null
          ? amount(done)
          : `${unit === 'bytes' ? amount(done) : count(done)} of ${amount(total)}`,
        ...(perSec > 0 ? [`${pace(perSec)}/s`] : []),
        ...(perSec > 0 && total !== null ? [`${formatDuration((total - done) / perSec)} left`] : []),
        ...(detail ? [detail] : []),
      ];
      const text = `${label}: ${parts.join(', ')}`;
      if (screen.isTerminal) screen.status(text);
      else screen.line(text);
    },
    finish() {
      if (screen.isTerminal && shown) screen.status('');
      const sec = screen.nowSec();
      if (sec - startSec < QUIET_SEC) return;
      const perSec = rate(sec);
      const average = perSec > 0 ? ` (${pace(perSec)}/s)` : '';
      screen.line(`${label}: ${amount(doneNow)} in ${formatDuration(sec - startSec)}${average}`);
    },
  };
}

/** stderr and the clock. */
export const stderrScreen: ProgressScreen = {
  isTerminal: process.stderr.isTTY === true && process.env.TERM !== 'dumb',
  status: showStatus,
  line: note,
  nowSec: () => performance.now() / 1000,
};

/** Screens that share the bottom of one screen: each has its own status line, in order of creation. */
export function sharedScreen(screen: ProgressScreen = stderrScreen): () => ProgressScreen {
  const lines: string[] = [];
  return () => {
    const own = lines.push('') - 1;
    return {
      ...screen,
      status(text) {
        lines[own] = text;
        screen.status(lines.filter((line) => line !== '').join('\n'));
      },
    };
  };
}

function count(value: number): string {
  return Math.round(value).toLocaleString('en');
}

function speed(perSec: number): string {
  return perSec < 10 ? perSec.toFixed(2) : perSec.toFixed(0);
}

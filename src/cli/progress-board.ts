/** @file Several things under way at once: each has its line at the foot of the terminal, or its lines in a log. */

import { type ProgressScreen, stderrScreen } from './progress.js';

/** Screens that share the foot of one screen: the status of each is a line of its own, in the order of their making. */
export function progressBoard(screen: ProgressScreen = stderrScreen): () => ProgressScreen {
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

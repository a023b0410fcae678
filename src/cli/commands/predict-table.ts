/** @file Predictions as a table on the terminal, row by row: label, probability, path. */

import type { JudgedRow, PartOutcome } from '../../inference/index.js';

const LABEL_WIDTH = 10;
const NUMBER_WIDTH = 5;

/**
 * A function that prints rows as lines that fit a terminal.
 * @param columns width of the terminal
 */
export function rowTable(columns: number, print: (line: string) => void): (row: JudgedRow) => void {
  let isFirst = true;
  const line = (label: string, probability: string, path: string): void => {
    const start = `${label.padEnd(LABEL_WIDTH)}  ${probability.padStart(NUMBER_WIDTH)}  `;
    print(`${start}${shortened(path, Math.max(20, columns - start.length - 1))}`.trimEnd());
  };
  return ({ row, parts, whole, name }) => {
    if (isFirst) line('label', 'prob', 'path');
    isFirst = false;
    for (const part of whole ? [...parts, whole] : parts) {
      const { startSec, endSec } = part;
      const isPart = whole !== undefined && part !== whole && startSec !== undefined && endSec !== undefined;
      const times = isPart ? ` ${startSec.toFixed(1)}-${endSec.toFixed(1)} s` : '';
      line(...answerOf(part), `${name || `row ${row.index + 1}`}${times}`);
      if (part.kind === 'failed') print(`  ${shortened(part.error, columns - 3, 'end')}`);
    }
  };
}

function answerOf(part: PartOutcome): [label: string, probability: string] {
  if (part.kind === 'failed') return ['(error)', ''];
  return [part.label, Math.max(...part.probabilities).toFixed(3)];
}

/** The text in at most `width` characters; of a path, its end says more than its beginning. */
function shortened(text: string, width: number, cut: 'start' | 'end' = 'start'): string {
  const characters = [...text.replace(/\s+/g, ' ')];
  if (characters.length <= width) return characters.join('');
  return cut === 'start'
    ? `...${characters.slice(3 - width).join('')}`
    : `${characters.slice(0, width - 3).join('')}...`;
}

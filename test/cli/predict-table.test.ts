/** @file The table that predict shows on a terminal: aligned, and no wider than it. */

import { describe, expect, it } from 'vitest';
import { rowTable } from '../../src/cli/commands/predict-table.js';
import type { JudgedRow, PartOutcome } from '../../src/inference/index.js';

const predicted = (label: string, startSec: number, endSec: number): PartOutcome => ({
  ...{ kind: 'predicted', label, probabilities: Float32Array.of(0.25, 0.75), startSec, endSec },
  ...{ notes: [], isCut: false },
});
const failed: PartOutcome = {
  ...{ kind: 'failed', error: `audio file ${'x'.repeat(100)} does not exist` },
  ...{ notes: [], isCut: false, startSec: undefined, endSec: undefined },
};

function shown(
  columns: number,
  rows: readonly (readonly [name: string, parts: PartOutcome[], whole?: PartOutcome])[],
): string[] {
  const lines: string[] = [];
  const show = rowTable(columns, (line) => lines.push(line));
  for (const [index, [name, parts, whole]] of rows.entries()) {
    show({ row: { index, line: index + 2, fields: {} }, name, parts, whole } satisfies JudgedRow);
  }
  return lines;
}

describe('the table of rows', () => {
  it('has label, probability and path, with the end of a path that is too long', () => {
    const long = `${'folder/'.repeat(20)}clip.wav`;
    const rows = shown(80, [
      ['a.wav', [predicted('happy', 0, 1)]],
      [long, [predicted('sad', 0, 3), predicted('neutral', 3, 5)], predicted('sad', 0, 5)],
      ['', [failed]],
    ]);
    expect(rows.slice(0, 2)).toEqual(['label        prob  path', 'happy       0.750  a.wav']);
    expect(rows[2]).toMatch(/^sad {9}0\.750 {2}\.\.\..*folder\/clip\.wav 0\.0-3\.0 s$/);
    expect(rows[5]).toBe('(error)            row 3');
    expect(rows[6]).toMatch(/^ {2}audio file x+\.\.\.$/);
    for (const row of rows) expect(row.length).toBeLessThan(80);
  });
});

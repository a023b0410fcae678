/** @file Which epoch is kept and when training ends, by the figures of the validation set. */

import { describe, expect, it } from 'vitest';
import type { BestEpoch, TrainingPosition } from '../../src/train/run/training-state.js';
import { isTrainingOver, type SelectBy, type SelectionRule, selectEpoch } from '../../src/train/selection.js';

/** The epoch kept after each of several, by the figures of each. */
function chosen(
  select: SelectBy,
  figures: readonly (Readonly<Record<string, number>> | undefined)[],
): (number | undefined)[] {
  const rule: SelectionRule = { select, epochs: figures.length, patience: 0 };
  let best: BestEpoch | null = null;
  return figures.map((each, index) => {
    best = selectEpoch(rule, best, index + 1, each);
    return best?.epoch;
  });
}

const figures = [
  { wa: 0.5, ua: 0.5, wf1: 0.1, nll: 1.4 },
  { wa: 0.7, ua: 0.5, wf1: 0.3, nll: 1.6 },
  { wa: 0.6, ua: 0.6, wf1: 0.2, nll: 1.2 },
  { wa: 0.7, ua: 0.4, wf1: 0.3, nll: 1.2 },
];

describe('the epoch that is kept', () => {
  it.each([
    ['wa', [1, 2, 2, 2]],
    ['ua', [1, 1, 3, 3]],
    ['wf1', [1, 2, 2, 2]],
    ['loss', [1, 1, 3, 3]],
    ['last', [undefined, undefined, undefined, 4]],
  ] as const)('by %s is the first of the best, and for the loss less is better', (select, kept) => {
    expect(chosen(select, figures)).toEqual(kept);
  });

  it('is the last without a validation set', () => {
    expect(chosen('wf1', [undefined, undefined, undefined])).toEqual([undefined, undefined, 3]);
  });

  it('is never one whose figure is not a number, unless there is no other', () => {
    const [good, bad] = [
      { wa: 0.1, nll: 1 },
      { wa: Number.NaN, nll: Number.NaN },
    ];
    expect(chosen('wa', [bad, good, bad])).toEqual([undefined, 2, 2]);
    expect(chosen('loss', [good, bad, bad])).toEqual([1, 1, 1]);
    expect(chosen('loss', [bad, bad])).toEqual([undefined, 2]);
  });

  it('says by what it was chosen', () => {
    expect(selectEpoch({ select: 'loss', epochs: 9, patience: 0 }, null, 2, figures[0])).toEqual({
      ...{ epoch: 2, metric: 'loss', value: 1.4 },
    });
  });
});

describe('training', () => {
  const at = (epoch: number, best: number | null): TrainingPosition => ({
    ...{ step: 10 * epoch, epoch, metricsBytes: 0 },
    best: best === null ? null : { epoch: best, metric: 'ua', value: 0.5 },
  });
  it.each([
    ['goes on to the last epoch without patience', 0, at(9, 1), false],
    ['is over after the last epoch', 0, at(10, 1), true],
    ['goes on while patience lasts', 3, at(6, 4), false],
    ['is over after as many epochs without a better one', 3, at(7, 4), true],
    ['does not lose patience before there is anything to keep', 3, at(7, null), false],
  ] as const)('%s', (_name, patience, position, over) => {
    expect(isTrainingOver(position, { select: 'ua', epochs: 10, patience })).toBe(over);
  });
});

/** @file Which epoch is selected and when training ends, according to validation figures. */

import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/engine/tensor/index.js';
import type { SelectKey } from '../../src/evaluation/metrics/metric-table.js';
import type { BestEpoch, TrainingPosition } from '../../src/training/runs/run-state.js';

import {
  heldCheckpoints,
  isTrainingOver,
  type JudgedEpochs,
  judgeEpoch,
  type SelectBy,
  type SelectionRule,
  selectEpoch,
} from '../../src/training/selection.js';

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

describe('the epoch that is kept by a smoothed figure', () => {
  /** The epoch kept after each one, with as many epochs as there are values. */
  const kept = (values: readonly number[], figure: SelectKey = 'ua'): (BestEpoch | null)[] => {
    const rule: SelectionRule = { select: 'smoothed', figure, epochs: values.length, patience: 0 };
    let judged: JudgedEpochs = { best: null };
    return values.map((value, index) => {
      judged = judgeEpoch(rule, judged, index + 1, { [figure === 'loss' ? 'nll' : figure]: value });
      return judged.best;
    });
  };
  const epochs = (best: readonly (BestEpoch | null)[]) => best.map((each) => each?.epoch);

  it('is the one with the best mean of itself and its neighbours, judged when the next has ended', () => {
    // Means: 0.5, 0.4, 0.4, 0.6, 0.8, 0.75. The lucky first epoch is averaged with its neighbour.
    const best = kept([0.9, 0.1, 0.2, 0.9, 0.7, 0.8]);
    expect(epochs(best)).toEqual([undefined, 1, 1, 1, 4, 5]);
    expect(best[1]).toEqual({ epoch: 1, metric: 'smoothed ua', value: 0.5 });
    expect(best[4]!.value).toBeCloseTo((0.2 + 0.9 + 0.7) / 3, 12);
    expect(best[5]!.value).toBeCloseTo(0.8, 12);
  });

  it('is the first of equal ones, and for the loss that of the least', () => {
    expect(epochs(kept([0.5, 0.5, 0.5, 0.5]))).toEqual([undefined, 1, 1, 1]);
    expect(epochs(kept([1, 3, 2, 0.5, 0.6, 4], 'loss'))).toEqual([undefined, 1, 1, 3, 4, 4]);
  });

  it('agrees with means that are computed at once, of any figures', () => {
    const random = seededRandom('smoothed');
    for (let length = 1; length <= 9; length++) {
      const values = Array.from({ length }, () => random.uniform());
      const means = values.map((_, at) => {
        const around = values.slice(Math.max(0, at - 1), at + 2);
        return around.reduce((sum, value) => sum + value, 0) / around.length;
      });
      const last = kept(values).at(-1)!;
      expect(last.epoch).toBe(1 + means.indexOf(Math.max(...means)));
      expect(last.value).toBeCloseTo(Math.max(...means), 12);
    }
  });

  it('is never one whose own figure is not a number, and the last where none is', () => {
    expect(epochs(kept([0.1, Number.NaN, 0.2]))).toEqual([undefined, 1, 3]);
    expect(kept([Number.NaN, Number.NaN]).at(-1)).toEqual({ epoch: 2, metric: null, value: null });
  });

  it('is the last without a validation set', () => {
    const rule: SelectionRule = { select: 'smoothed', epochs: 2, patience: 0 };
    expect(judgeEpoch(rule, { best: null }, 1, undefined).best).toBeNull();
    expect(judgeEpoch(rule, { best: null }, 2, undefined).best!.epoch).toBe(2);
  });

  it('waits for as many epochs as patience says, and needs the checkpoint of the last until it is judged', () => {
    const rule: SelectionRule = { select: 'smoothed', epochs: 10, patience: 2 };
    const at = (epoch: number): TrainingPosition => ({
      ...{ step: epoch, epoch, metricsBytes: 0, best: { epoch: 3, metric: 'smoothed ua', value: 0.5 } },
    });
    expect([4, 5, 6].map((epoch) => isTrainingOver(at(epoch), rule))).toEqual([false, false, true]);
    expect([5, 6].map((epoch) => heldCheckpoints(at(epoch), rule, 0))).toEqual([1, 0]);
    expect(heldCheckpoints(at(5), rule, 3)).toBe(3);
    expect(heldCheckpoints(at(5), { ...rule, select: 'ua', patience: 0 }, 0)).toBe(0);
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

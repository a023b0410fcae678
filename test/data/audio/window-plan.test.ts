import { describe, expect, it } from 'vitest';
import { InputError } from '../../../src/base/index.js';
import { checkWindowRule, DEFAULT_WINDOWS, type WindowRule } from '../../../src/data/audio/index.js';
import { soundSpans } from '../../../src/data/audio/sound-spans.js';
import { planWindows } from '../../../src/data/audio/window-plan.js';
import { seededRandom } from '../../../src/engine/tensor/index.js';

/** Levels of stretches in dB, each of so many seconds, with some unrest. */
function levelsOf(...stretches: readonly (readonly [sec: number, decibels: number])[]): Int16Array {
  const random = seededRandom('levels of a test');
  return Int16Array.from(
    stretches.flatMap(([sec, decibels]) =>
      Array.from({ length: Math.round(100 * sec) }, () =>
        Math.round(100 * (decibels + 2 * random.uniform())),
      ),
    ),
  );
}

const seconds = (spans: readonly { first: number; end: number }[]): [number, number][] =>
  spans.map(({ first, end }) => [first / 100, end / 100]);

describe('the sound of a recording', () => {
  it('is what stands out from the background, in a quiet recording as in a loud one', () => {
    for (const gain of [0, -50]) {
      const levels = levelsOf([1, gain - 30], [2, gain], [0.5, gain - 30], [1, gain - 10], [1, gain - 30]);
      const spans = seconds(soundSpans(levels));
      expect(spans.length).toBe(2);
      for (const [i, time] of [1, 3, 3.5, 4.5].entries()) expect(spans.flat()[i]).toBeCloseTo(time, 1);
    }
  });

  it('goes on over gaps that are shorter than a pause, and does not start with a click', () => {
    const levels = levelsOf([1, -60], [0.5, -20], [0.12, -60], [0.5, -20], [1, -60], [0.02, -10], [1, -60]);
    const spans = seconds(soundSpans(levels));
    expect(spans.length).toBe(1);
    expect(spans[0]![0]).toBeCloseTo(1, 1);
    expect(spans[0]![1]).toBeCloseTo(2.12, 1);
  });

  it('follows a background that changes', () => {
    const talk = (background: number): [number, number][] =>
      Array.from({ length: 20 }, () => [
        [2, -20] as [number, number],
        [1, background] as [number, number],
      ]).flat();
    const spans = seconds(soundSpans(levelsOf(...talk(-70), ...talk(-40))));
    expect(spans.filter(([start]) => start < 59.5).length).toBe(20);
    expect(spans.filter(([start]) => start > 77).length).toBe(14); // the context is 15 s
  });

  it('is everything audible where the level is steady, and nothing in silence', () => {
    expect(seconds(soundSpans(levelsOf([20, -40])))).toEqual([[0, 20]]);
    expect(soundSpans(levelsOf([20, -95]))).toEqual([]);
    expect(soundSpans(new Int16Array(2000).fill(-20_000))).toEqual([]);
    expect(soundSpans(new Int16Array(0))).toEqual([]);
  });
});

describe('windows', () => {
  it('are cut in the middle of short pauses, and keep 250 ms of long ones', () => {
    const levels = levelsOf([5, -20], [0.4, -60], [5, -20], [0.4, -60], [5, -20], [3, -60], [6, -20]);
    const windows = seconds(planWindows(levels, { kind: 'pauses', minSec: 3, maxSec: 7 }));
    const times = [0, 5.2, 5.2, 10.6, 10.6, 16.05, 18.55, 24.8];
    for (const [i, time] of windows.flat().entries()) expect(time).toBeCloseTo(times[i]!, 1);
    expect(windows.length).toBe(4);
  });

  it('prefer the longer pause', () => {
    const levels = levelsOf([4, -20], [0.25, -60], [4, -20], [0.8, -60], [4, -20], [0.25, -60], [4, -20]);
    const windows = seconds(planWindows(levels, { kind: 'pauses', minSec: 3, maxSec: 10 }));
    expect(windows.length).toBe(2);
    expect(windows[0]![1]).toBeCloseTo(8.5, 1);
  });

  it('are cut where sound without a pause is quietest', () => {
    const levels = levelsOf([12, -20], [0.1, -30], [12, -20]);
    const windows = seconds(planWindows(levels, DEFAULT_WINDOWS));
    expect(windows.length).toBe(2);
    expect(windows[0]![1]).toBeCloseTo(12.05, 1);
    expect(windows[1]![0]).toBe(windows[0]![1]);
  });

  it('hold something each, even where the least length is less than a level', () => {
    const rule: WindowRule = { kind: 'pauses', minSec: 0.004, maxSec: 10 };
    const windows = planWindows(levelsOf([0.03, -60], [30, -20]), rule); // quietest at its start
    expect(windows.length).toBeGreaterThan(2);
    for (const { first, end } of windows) expect(end).toBeGreaterThan(first);
  });

  it('have smaller margins rather than a cut within sound', () => {
    const windows = seconds(planWindows(levelsOf([2, -60], [14.8, -20], [2, -60]), DEFAULT_WINDOWS));
    expect(windows.length).toBe(1);
    expect(windows[0]![0]).toBeCloseTo(1.9, 1);
    expect(windows[0]![1] - windows[0]![0]).toBeCloseTo(15, 6);
  });

  it('take in silence rather than be short, and are short where there is none', () => {
    const lone = seconds(planWindows(levelsOf([10, -60], [1, -20], [10, -60]), DEFAULT_WINDOWS));
    expect(lone.length).toBe(1);
    expect(lone[0]![1] - lone[0]![0]).toBeCloseTo(3, 6);
    expect((lone[0]![0] + lone[0]![1]) / 2).toBeCloseTo(10.5, 1);
    expect(seconds(planWindows(levelsOf([0.05, -20]), DEFAULT_WINDOWS))).toEqual([[0, 0.05]]);
  });

  it('lie on a grid if asked to, without those in silence', () => {
    const grid = (levels: Int16Array): number[][] => seconds(planWindows(levels, { kind: 'grid', sec: 5 }));
    expect(grid(levelsOf([18, -20]))).toEqual([
      [0, 5],
      [5, 10],
      [10, 15],
      [15, 18],
    ]); // prettier-ignore
    expect(grid(levelsOf([12, -20]))).toEqual([
      [0, 5],
      [5, 8.5],
      [8.5, 12],
    ]);
    expect(grid(levelsOf([2, -20], [10, -60], [5, -20], [3, -60]))).toEqual([
      [0, 5],
      [10, 15],
      [15, 20],
    ]);
    expect(grid(levelsOf([3, -20]))).toEqual([[0, 3]]);
  });

  it('keep to the limits, in order, with all of the sound in them, whatever the recording', () => {
    const random = seededRandom('recordings of a test');
    const least = 200;
    const rule: WindowRule = { kind: 'pauses', minSec: least / 100, maxSec: 8 };
    for (let trial = 0; trial < 200; trial++) {
      const stretches = Array.from(
        { length: 1 + Math.floor(random.uniform() * 40) },
        (_, i): [number, number] =>
          i % 2 === 0
            ? [12 * random.uniform() ** 3, -20 - 15 * random.uniform()]
            : [4 * random.uniform() ** 2, -60],
      );
      const levels = levelsOf(...stretches);
      const windows = planWindows(levels, rule);
      const covered = new Uint8Array(levels.length);
      for (const [i, { first, end }] of windows.entries()) {
        const [before, after] = [windows[i - 1]?.end ?? 0, windows[i + 1]?.first ?? levels.length];
        expect(first).toBeGreaterThanOrEqual(before);
        expect(end).toBeLessThanOrEqual(levels.length);
        expect(end - first).toBeLessThanOrEqual(800);
        const hasRoom = first > before && end < after;
        if (hasRoom) expect(end - first).toBeGreaterThanOrEqual(least);
        covered.fill(1, first, end);
      }
      for (const { first, end } of soundSpans(levels)) {
        expect(covered.subarray(first, end).every((inside) => inside === 1)).toBe(true);
      }
    }
  });

  it('need limits that can be met', () => {
    const wrong: WindowRule[] = [
      { kind: 'pauses', minSec: 8, maxSec: 15 },
      { kind: 'pauses', minSec: 0, maxSec: 15 },
      { kind: 'pauses', minSec: 0.1, maxSec: 0.5 },
      { kind: 'grid', sec: 0.1 },
      { kind: 'grid', sec: Number.NaN },
    ];
    for (const rule of wrong) expect(() => checkWindowRule(rule)).toThrow(InputError);
    expect(() => checkWindowRule(DEFAULT_WINDOWS)).not.toThrow();
  });
});

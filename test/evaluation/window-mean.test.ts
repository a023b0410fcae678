import { describe, expect, it } from 'vitest';
import { meanOverWindows } from '../../src/evaluation/index.js';

describe('the answer for a recording', () => {
  it('is the mean of its windows, weighted by their lengths', () => {
    const mean = meanOverWindows([
      { startSec: 0, endSec: 4, probabilities: Float32Array.of(1, 0, 0) },
      { startSec: 10, endSec: 22, probabilities: [0.2, 0.5, 0.3] },
    ])!;
    // (4 * 1 + 12 * 0.2) / 16, 12 * 0.5 / 16, 12 * 0.3 / 16
    for (const [i, value] of [0.4, 0.375, 0.225].entries())
      expect(mean.probabilities[i]).toBeCloseTo(value, 6);
    expect(mean.probabilities.reduce((sum, value) => sum + value)).toBeCloseTo(1, 6);
    expect([mean.judgedSec, mean.judged, mean.failed]).toEqual([16, 2, 0]);
  });

  it('of one window is that window', () => {
    const window = { startSec: 3, endSec: 6.5, probabilities: Float32Array.of(0.1, 0.9) };
    expect(meanOverWindows([window])!.probabilities).toEqual(window.probabilities);
  });

  it('leaves out windows that failed, and is missing if all did or there are none', () => {
    const failed = { startSec: 0, endSec: 10, probabilities: null };
    const judged = { startSec: 10, endSec: 11, probabilities: [0.25, 0.75] };
    const mean = meanOverWindows([failed, judged, failed])!;
    expect([...mean.probabilities]).toEqual([0.25, 0.75]);
    expect([mean.judgedSec, mean.judged, mean.failed]).toEqual([1, 1, 2]);
    expect(meanOverWindows([failed, failed])).toBeUndefined();
    expect(meanOverWindows([])).toBeUndefined();
  });

  it('is refused for windows of different classes', () => {
    const windows = [
      { startSec: 0, endSec: 1, probabilities: [1, 0] },
      { startSec: 1, endSec: 2, probabilities: [1, 0, 0] },
    ];
    expect(() => meanOverWindows(windows)).toThrow(RangeError);
  });
});

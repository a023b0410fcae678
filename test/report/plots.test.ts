/** @file Scales, thinning, colours, escaping, and that each plot shows its data. */

import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/engine/tensor/index.js';
import type { FoldMetrics } from '../../src/evaluation/index.js';
import { classificationMetrics } from '../../src/evaluation/metrics/classification.js';
import {
  logScale,
  niceScale,
  niceTicks,
  separate,
  shapeOf,
  tickText,
  wideScale,
} from '../../src/report/plots/axes.js';
import {
  classPlot,
  confusionPlot,
  correctnessGroups,
  epochPlot,
  escapeText,
  mapLayout,
  mapPlot,
  noisePlot,
  spreadPlot,
  stepPlot,
} from '../../src/report/plots/index.js';
import { smooth, summarizeRuns, thin } from '../../src/report/plots/run-summary.js';
import {
  contrastRatio,
  fitText,
  PLOT_WIDTH,
  palette,
  RAMP_STEPS,
  rampPaint,
  seriesNames,
  seriesPaint,
  textWidth,
} from '../../src/report/plots/svg.js';

import { reportData } from './report-data.js';

const heading = { name: 'plot', title: 'A plot', description: 'For a test.' };
const texts = (svg: string): string[] =>
  [...svg.matchAll(/<text[^>]*>(?:<title>[^<]*<\/title>)?([^<]*)/g)].map((m) => m[1]!);

describe('ticks', () => {
  it.each([
    [0, 1, 6, [0, 0.2, 0.4, 0.6, 0.8, 1]],
    [0, 100, 6, [0, 20, 40, 60, 80, 100]],
    [-0.3, 0.35, 8, [-0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.3]],
    [1, 12_345, 7, [2000, 4000, 6000, 8000, 10_000, 12_000]],
    [2e-6, 1e-5, 5, [2e-6, 4e-6, 6e-6, 8e-6, 1e-5]],
    [5, 5, 6, [5]],
  ])('from %d to %d, at most %d', (low, high, most, expected) => {
    expect(niceTicks(low, high, most)).toEqual(expected);
  });

  it('lie inside any domain, evenly, and never too many', () => {
    const random = seededRandom(3, 'ticks');
    for (let i = 0; i < 500; i++) {
      const low = random.normal() * 10 ** random.integer(9) * 1e-4;
      const high = low + (random.uniform() + 1e-3) * 10 ** random.integer(9) * 1e-4;
      const ticks = niceTicks(low, high, 6);
      const slack = (high - low) * 1e-6;
      expect(ticks.length).toBeGreaterThanOrEqual(1);
      expect(ticks.length).toBeLessThanOrEqual(6);
      expect(ticks[0]).toBeGreaterThanOrEqual(low - slack);
      expect(ticks.at(-1)).toBeLessThanOrEqual(high + slack);
      const steps = ticks.slice(1).map((tick, k) => tick - ticks[k]!);
      for (const step of steps) expect(Math.abs(step - steps[0]!)).toBeLessThan(slack);
    }
  });

  it('end a domain that holds every value', () => {
    const domainOf = (values: number[]) => niceScale(values, [0, 100]).domain;
    expect(domainOf([0.31, 0.67, Number.NaN])).toEqual([0.3, 0.7]);
    expect(domainOf([-45, 45])).toEqual([-50, 50]);
    expect(domainOf([12])).toEqual([10, 14]);
    expect(domainOf([])).toEqual([0, 1]);
    const random = seededRandom(4, 'domain');
    for (let i = 0; i < 500; i++) {
      const values = [random.normal(), random.normal(), random.normal()].map(
        (value) => value * 10 ** (i % 7),
      );
      const { domain, ticks } = niceScale(values, [0, 100]);
      expect([ticks[0], ticks.at(-1)]).toEqual(domain);
      expect(ticks.length).toBeLessThanOrEqual(6);
      expect(domain[0] <= Math.min(...values) && domain[1] >= Math.max(...values)).toBe(true);
    }
  });

  it('of percentages stay between 0 and 100, unless a value does not', () => {
    const domainOf = (values: number[]) => wideScale(values, [0, 1]).domain;
    expect(domainOf([1, 99])).toEqual([0, 100]);
    expect(domainOf([99, 104])).toEqual([90, 110]);
    expect(domainOf([-3, 5])).toEqual([-10, 10]);
  });

  it('of percentages begin at a multiple of ten, at least 20 below the end, and say so unless it is 0', () => {
    const scaleOf = (values: number[]) => wideScale(values, [0, 1]);
    expect(scaleOf([97.2, 100])).toMatchObject({ domain: [80, 100], isCut: true });
    expect(scaleOf([72, 77.5])).toMatchObject({ domain: [60, 80], isCut: true });
    expect(scaleOf([24, 71])).toMatchObject({ domain: [0, 80], isCut: false });
    expect(scaleOf([3, 8])).toMatchObject({ domain: [0, 20], isCut: false });
    const random = seededRandom(6, 'percent');
    for (let i = 0; i < 500; i++) {
      const values = [100 * random.uniform(), 100 * random.uniform()];
      const {
        domain: [low, high],
        isCut,
      } = scaleOf(values);
      expect([low % 10, high % 10, isCut]).toEqual([0, 0, low > 0]);
      expect(high - low).toBeGreaterThanOrEqual(20);
      expect(low <= Math.min(...values) && high >= Math.max(...values)).toBe(true);
    }
  });

  it('of an axis that does not begin at 0 have a mark at its beginning', () => {
    const scores = { ...reportData({ folds: 3 }).scores } as FoldMetrics;
    const mark = 'This axis does not begin at 0.';
    const high = (value: number) =>
      ({
        ...scores,
        folds: scores.folds.map(({ fold, metrics }) => ({
          fold,
          metrics: { ...metrics, wa: value, ua: value, wf1: value, macro_f1: value },
        })),
        mean: { ...scores.mean, wa: value, ua: value, wf1: value, macro_f1: value },
        sd: { ...scores.sd, wa: 0, ua: 0, wf1: 0, macro_f1: 0 },
      }) satisfies FoldMetrics;
    expect(spreadPlot(high(0.98), heading)).toContain(mark);
    expect(spreadPlot(high(0.1), heading)).not.toContain(mark);
  });

  it('on a logarithmic axis are 1, 2, 5 times powers of ten, or fewer', () => {
    expect(logScale([0.9, 21], [0, 100]).ticks).toEqual([1, 2, 5, 10, 20]);
    expect(logScale([1e-6, 1e6], [0, 100]).ticks).toEqual([1e-6, 1e-3, 1, 1e3, 1e6]);
    expect(logScale([1, 100], [0, 100]).at(10)).toBeCloseTo(50, 10);
  });

  it('are written in full, or as powers of ten where they are very small', () => {
    expect([12_000, 0.25, 0, 1e-5, -3].map(tickText)).toEqual(['12,000', '0.25', '0', '1e-5', '-3']);
  });
});

describe('labels along a line', () => {
  it('are moved apart in their order, and stay where there is room', () => {
    expect(separate([10, 50, 90], [10, 10, 10], 0, 100)).toEqual([10, 50, 90]);
    expect(separate([50, 50], [10, 10], 0, 100)).toEqual([50, 60]);
    expect(separate([99, 98], [10, 10], 0, 100)).toEqual([95, 85]);
    const random = seededRandom(7, 'labels');
    const places = Array.from({ length: 6 }, () => 400 * random.uniform());
    const middles = separate(
      places,
      places.map(() => 60),
      0,
      400,
    ).sort((a, b) => a - b);
    for (const [i, middle] of middles.entries()) {
      expect(middle).toBeGreaterThanOrEqual(30);
      expect(middle).toBeLessThanOrEqual(370);
      if (i > 0) expect(middle - middles[i - 1]!).toBeGreaterThanOrEqual(60 - 1e-9);
    }
  });
});

describe('smoothing', () => {
  it('is the mean over a twentieth of the points around each', () => {
    const points = Array.from({ length: 100 }, (_, i) => ({ x: i, y: i === 50 ? 5 : 0 }));
    const smoothed = smooth(points);
    // Two points to each side: a mean of five.
    expect(smoothed.filter(({ y }) => y > 0).map(({ x, y }) => [x, Number(y.toFixed(9))])).toEqual(
      [48, 49, 50, 51, 52].map((x) => [x, 1]),
    );
  });

  it('leaves a straight line where it is, at its ends too', () => {
    const line = Array.from({ length: 400 }, (_, i) => ({ x: 3 * i, y: 7 - 0.5 * i }));
    for (const { x, y } of smooth(line)) expect(y).toBeCloseTo(7 - x / 6, 9);
    expect(
      smooth([
        { x: 1, y: Number.NaN },
        { x: 2, y: 3 },
      ]),
    ).toEqual([{ x: 2, y: 3 }]);
    expect(smooth([])).toEqual([]);
  });
});

describe('thinning', () => {
  const random = seededRandom(5, 'thin');
  const points = Array.from({ length: 12_345 }, (_, i) => ({ x: i + 1, y: random.normal() }));
  points[7000]!.y = 99;
  const thinned = thin(points, 320);

  it('keeps no more points than asked for, in order', () => {
    expect(thinned).toHaveLength(320);
    expect(thinned.every(({ x }, i) => i === 0 || x > thinned[i - 1]!.x)).toBe(true);
  });

  it('hides no outlier: the band reaches the least and the largest value', () => {
    expect(Math.max(...thinned.map(({ high }) => high))).toBe(99);
    expect(Math.min(...thinned.map(({ low }) => low))).toBe(Math.min(...points.map(({ y }) => y)));
    expect(thinned.every(({ low, mean, high }) => low <= mean && mean <= high)).toBe(true);
  });

  it('has the mean of each part', () => {
    const inFirst = points.filter(({ x }) => x < 1 + 12_344 / 320);
    const mean = inFirst.reduce((sum, { y }) => sum + y, 0) / inFirst.length;
    expect(thinned[0]!.mean).toBeCloseTo(mean, 12);
  });

  it('leaves few points as they are, and drops what is not finite', () => {
    const few = [
      { x: 1, y: 2 },
      { x: 2, y: Number.NaN },
      { x: 3, y: Number.POSITIVE_INFINITY },
      { x: 4, y: 5 },
    ];
    expect(thin(few, 10)).toEqual([
      { x: 1, mean: 2, low: 2, high: 2 },
      { x: 4, mean: 5, low: 5, high: 5 },
    ]);
  });
});

describe('colours', () => {
  const themes = ['light', 'dark'] as const;

  it.each(themes)('have a contrast of 3:1 to the %s page, text of 4.5:1', (theme) => {
    const page = palette.page[theme];
    for (const name of seriesNames)
      expect([name, contrastRatio(palette[name][theme], page) >= 3]).toEqual([name, true]);
    expect(contrastRatio(palette.ink[theme], page)).toBeGreaterThan(7);
    expect(contrastRatio(palette.muted[theme], page)).toBeGreaterThan(4.5);
  });

  it.each(themes)('of the ramp bear readable text, %s', (theme) => {
    for (let step = 0; step < RAMP_STEPS; step++) {
      const { fill, text } = rampPaint((step + 0.5) / RAMP_STEPS) as Record<'fill' | 'text', 'ramp0'>;
      expect(contrastRatio(palette[fill][theme], palette[text][theme])).toBeGreaterThan(4.5);
    }
    expect([rampPaint(0).fill, rampPaint(1).fill, rampPaint(-1).fill]).toEqual(['ramp0', 'ramp9', 'ramp0']);
  });

  it('have the contrast that WCAG gives', () => {
    expect(contrastRatio('#000000', '#ffffff')).toBeCloseTo(21, 10);
    expect(contrastRatio('#767676', '#ffffff')).toBeCloseTo(4.54, 2); // the lightest grey that passes for text
  });

  it.each(themes)('of two series stay apart for colour-blind readers, %s', (theme) => {
    const colours = seriesNames.map((name) => palette[name][theme]);
    for (const vision of Object.values(colourVision)) {
      const seen = colours.map((colour) => labOf(colour, vision));
      const distances = seen.flatMap((a, i) =>
        seen.slice(0, i).map((b) => Math.hypot(...a.map((v, k) => v - b[k]!))),
      );
      expect(Math.min(...distances)).toBeGreaterThan(18);
    }
  });

  it('come with shapes, so that no two of 49 classes look the same', () => {
    const looks = Array.from({ length: 49 }, (_, i) => `${seriesPaint(i)} ${shapeOf(i)}`);
    expect(new Set(looks).size).toBe(49);
  });
});

describe('text', () => {
  it('is escaped for XML and HTML, without characters that XML does not allow', () => {
    expect(escapeText(`<a href="x">&'`)).toBe('&#60;a href=&#34;x&#34;&#62;&#38;&#39;');
    expect(escapeText('\u0000\u000b\ud800 \udc00\ufffe\t\n😡')).toBe('\ufffd\ufffd\ufffd \ufffd\ufffd\t\n😡');
  });

  it('is cut to its width, emoji whole', () => {
    expect(fitText('joy', 100)).toBe('joy');
    const cut = fitText('a rather long label for a small place', 80);
    expect(cut).toMatch(/^a rather.*…$/);
    expect(textWidth(cut)).toBeLessThanOrEqual(80);
    expect(fitText('👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦', 32)).toBe('👩‍👩‍👧‍👦…');
  });
});

describe('the confusion matrix', () => {
  const labels = ['a', 'b', 'c'];
  const outcomes = [
    ...Array(3).fill({ reference: 'a', label: 'a' }),
    { reference: 'a', label: 'b' },
    ...Array(1200).fill({ reference: 'b', label: 'b' }),
  ];

  it('has shares, with a dash for a class without references, and counts', () => {
    const metrics = classificationMetrics(outcomes, labels);
    const cells = texts(confusionPlot(metrics, heading)).slice(8);
    expect(cells.filter((_, i) => i % 2 === 1)).toEqual(['3', '1', '0', '0', '1,200', '0', '0', '0', '0']);
    expect(cells.filter((_, i) => i % 2 === 0)).toEqual([
      ...['75.0', '25.0', '0.0', '0.0', '100.0', '0.0'],
      ...['–', '–', '–'],
    ]);
  });

  it('becomes wider with many classes, so that every cell has room for its figures', () => {
    const many = Array.from({ length: 25 }, (_, i) => `class ${i}`);
    const svg = confusionPlot(
      classificationMetrics([{ reference: 'class 0', label: 'class 1' }], many),
      heading,
    );
    const cell = 38;
    const width = Number(/^<svg [^>]*?width="([\d.]+)"/.exec(svg)![1]);
    expect(width).toBeGreaterThan(25 * cell);
    expect(texts(svg)).toContain('100.0');
    expect(textWidth('100.0', cell / 3.2)).toBeLessThanOrEqual(cell);
    const few = confusionPlot(classificationMetrics(outcomes, labels), heading);
    expect(Number(/^<svg [^>]*?width="([\d.]+)"/.exec(few)![1])).toBe(PLOT_WIDTH);
  });

  it('has a column for missing answers where there are any', () => {
    const svg = confusionPlot(classificationMetrics([...outcomes, { reference: 'c' }], labels), heading);
    expect(texts(svg)).toContain('no answer');
    expect(texts(svg).slice(-8)).toEqual(['0.0', '0', '0.0', '0', '0.0', '0', '100.0', '1']);
  });
});

describe('the bars of classes', () => {
  it('have a dash where there is nothing to divide by', () => {
    const metrics = classificationMetrics([{ reference: 'a', label: 'b' }], ['a', 'b', 'c']);
    const shown = texts(classPlot(metrics, heading));
    const after = (label: string): string[] =>
      shown.slice(shown.lastIndexOf(label) + 1, shown.lastIndexOf(label) + 5);
    expect(after('a')).toEqual(['n = 1', '–', '0.0', '0.0']);
    expect(after('b')).toEqual(['n = 0', '0.0', '–', '0.0']);
    expect(after('c')).toEqual(['n = 0', '–', '–', '–']);
  });
});

describe('training curves', () => {
  const curve = (values: readonly number[]) => [
    { title: '', points: values.map((y, i) => ({ x: i + 1, y })) },
  ];

  it('take a logarithmic axis for magnitudes apart, where that is allowed', () => {
    expect(stepPlot(curve([1, 10, 1000]), 'norm', 'any', heading)).toContain('logarithmic');
    expect(stepPlot(curve([1, 10, 1000]), 'rate', 'linear', heading)).not.toContain('logarithmic');
    expect(stepPlot(curve([0, 10, 1000]), 'norm', 'any', heading)).not.toContain('logarithmic');
  });

  it('stay small however many steps there are, and are drawn without a number that is none', () => {
    const random = seededRandom(1, 'steps');
    const values = Array.from({ length: 100_000 }, (_, i) => (i === 500 ? Number.NaN : random.normal()));
    const svg = stepPlot(curve(values), 'loss', 'any', heading);
    expect(svg.length).toBeLessThan(60_000);
    expect(svg).not.toContain('NaN');
    for (const odd of [[], [1], [2, 2], [Number.NaN]]) {
      expect(stepPlot(curve(odd), 'loss', 'any', heading)).not.toMatch(/NaN|Infinity|undefined/);
    }
  });
});

describe('the curves of many runs', () => {
  const points = (values: readonly number[]) => values.map((y, i) => ({ x: i + 1, y }));

  it('become their quantiles at each x, over the runs that reach it', () => {
    const runs = [0, 1, 2, 3, 4].map((run) => points(run === 4 ? [10 * run] : [10 * run, run]));
    expect(summarizeRuns(runs, 10)).toEqual([
      { x: 1, least: 0, lowerQuartile: 10, median: 20, upperQuartile: 30, largest: 40 },
      { x: 2, least: 0, lowerQuartile: 0.75, median: 1.5, upperQuartile: 2.25, largest: 3 },
    ]);
    expect(summarizeRuns([points([Number.NaN]), []], 10)).toEqual([]);
  });

  it('contribute their means if there are more x values than requested', () => {
    const run = Array.from({ length: 100 }, (_, i) => i);
    const summary = summarizeRuns([points(run), points(run.map((y) => y + 100))], 10);
    expect(summary).toHaveLength(10);
    expect(summary.map(({ x }) => x)[0]).toBe(5.5); // the mean of 1 to 10
    expect(summary[0]).toMatchObject({ least: 4.5, median: 54.5, largest: 104.5 });
  });

  it('are drawn as one line and two bands, and a stroke for each kept epoch, however many they are', () => {
    const epochs = [0.5, 0.7].map((wa, i) => ({ epoch: i + 1, figures: { wa } }));
    const curves = (count: number) =>
      Array.from({ length: count }, (_, i) => ({ title: `fold ${i}`, epochs, selectedEpoch: 2 }));
    const many = epochPlot(curves(80), heading);
    expect(texts(many)).toEqual(expect.arrayContaining(['median of 80 runs', 'the middle half', 'all']));
    expect(texts(many)).not.toContain('fold 1');
    expect(many.match(/v-10"/g)).toHaveLength(81); // one is the legend's
    expect(many.length).toBeLessThan(30_000);
    expect(texts(epochPlot(curves(8), heading))).toContain('fold 7');
    const steps = Array.from({ length: 9 }, (_, i) => ({ title: `fold ${i}`, points: points([3, 2, i]) }));
    const lines = stepPlot(steps, 'loss', 'any', heading);
    const eight = texts(stepPlot(steps.slice(0, 8), 'loss', 'any', heading));
    expect(eight).toEqual(expect.arrayContaining(steps.slice(0, 8).map(({ title }) => title))); // a panel each
    expect(texts(stepPlot(steps.slice(0, 2), 'loss', 'any', heading, 'small'))).toContain('median of 2 runs');
    expect(lines.match(/fill-opacity="0\.25"/g)).toHaveLength(1);
    expect(texts(lines)).toContain('median of 9 runs');
  });
});

describe('validation curves', () => {
  const epochs = [0.5, 0.7, 0.6].map((wa, i) => ({ epoch: i + 1, figures: { wa, nll: 2 - wa } }));

  it('have a panel for each figure, and a ring around the epoch that was kept', () => {
    const svg = epochPlot([{ title: '', epochs, selectedEpoch: 2 }], heading);
    expect(texts(svg)).toEqual(
      expect.arrayContaining(['kept epoch', 'WA, %', 'negative log-likelihood, nats']),
    );
    const circles = [...svg.matchAll(/<circle[^>]*cx="([\d.]+)" cy="([\d.]+)" r="([\d.]+)"/g)].map((m) =>
      m.slice(1),
    );
    const rings = circles.filter(([, , r]) => r === '6.5').slice(1); // the first is the legend's
    const dots = circles.filter(([, , r]) => r === '2.5');
    expect(rings.map(([x, y]) => [x, y])).toEqual([dots[1], dots[4]].map((dot) => dot!.slice(0, 2)));
    expect(Number(dots[1]![1])).toBeLessThan(Number(dots[0]![1])); // 70 % is higher than 50 %
  });

  it('are drawn without a number that is none, whatever is missing', () => {
    const odd = [
      { title: 'a', epochs: [{ epoch: 1, figures: { wa: Number.NaN } }], selectedEpoch: 1 },
      { title: 'b', epochs: [{ epoch: 4, figures: {} }], selectedEpoch: null },
    ];
    expect(epochPlot(odd, heading)).not.toMatch(/NaN|Infinity|undefined/);
    expect(epochPlot(odd.slice(1), heading)).not.toMatch(/NaN|Infinity|undefined/);
  });
});

describe('the map', () => {
  const random = seededRandom(2, 'map');
  const points = Array.from({ length: 300 }, (_, i) =>
    i === 17 ? null : ([3 * random.normal(), random.normal()] as const),
  );
  const layout = mapLayout(points);

  it('keeps the proportions of both axes, y up, inside the plot', () => {
    const [a, b, c] = [0, 1, 2].map((i) => ({ from: points[i]!, to: layout.positions[i]! })) as [
      Pair,
      Pair,
      Pair,
    ];
    type Pair = { from: readonly [number, number]; to: readonly [number, number] };
    const scale = (p: Pair, q: Pair, axis: 0 | 1): number =>
      (q.to[axis] - p.to[axis]) / (q.from[axis] - p.from[axis]);
    expect(scale(a, b, 0)).toBeGreaterThan(0);
    expect(Math.abs(scale(a, b, 1) / scale(a, b, 0) + 1)).toBeLessThan(0.05);
    expect(Math.abs(scale(a, c, 1) / scale(a, c, 0) + 1)).toBeLessThan(0.05);
    for (const position of layout.positions) {
      if (position === null) continue;
      expect(
        position[0] >= 0 && position[0] <= layout.width && position[1] >= 0 && position[1] <= layout.height,
      ).toBe(true);
    }
  });

  it('draws every point that is there, once, in its group', () => {
    const groupOf = points.map((_, i) => (i % 3 === 0 ? 1 : 0));
    const svg = mapPlot(layout, correctnessGroups, groupOf, heading)
      .split('fill-opacity="0.85"')[1]!
      .split('</g>')[0]!;
    const circles = [...svg.matchAll(/M[\d.]+ [\d.]+h0/g)].length;
    const crosses = [...svg.matchAll(/M/g)].length - circles;
    expect([circles, crosses / 2]).toEqual([199, 100]);
  });

  it('handles a single point, and none', () => {
    expect(mapLayout([[4, 4]]).positions).toEqual([[200, 80]]);
    expect(mapLayout([null]).positions).toEqual([null]);
  });
});

/** Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB. */
const colourVision = {
  full: [1, 0, 0, 0, 1, 0, 0, 0, 1],
  protanopia: [0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998],
  deuteranopia: [0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.01182, 0.04294, 0.968881],
  tritanopia: [1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733, 0.691367, 0.3039],
} as const;

/** CIE L*a*b* (D65) of a colour under a simulated colour vision. */
function labOf(colour: string, vision: readonly number[]): number[] {
  const linear = [1, 3, 5].map((at) => {
    const share = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  const times = (matrix: readonly number[], vector: readonly number[]): number[] =>
    [0, 3, 6].map((row) => vector.reduce((sum, value, k) => sum + matrix[row + k]! * value, 0));
  const seen = times(vision, linear).map((value) => Math.min(1, Math.max(0, value)));
  const xyz = times([0.4124, 0.3576, 0.1805, 0.2126, 0.7152, 0.0722, 0.0193, 0.1192, 0.9505], seen);
  const [x, y, z] = xyz
    .map((value, k) => value / [0.95047, 1, 1.08883][k]!)
    .map((value) => (value > 0.008856 ? Math.cbrt(value) : 7.787 * value + 16 / 116)) as [
    number,
    number,
    number,
  ];
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

describe('the plot of figures under noise', () => {
  const levels = reportData().noise!.levels;
  const circles = (svg: string) =>
    [...svg.matchAll(/<circle[^>]* cx="([\d.]+)" cy="([\d.]+)"/g)].map(
      ([, x, y]) => [Number(x), Number(y)] as const,
    );

  it('has every figure, from clean to the most noise, each lower than the one before', () => {
    const svg = noisePlot(levels, heading);
    const points = circles(svg);
    expect(points).toHaveLength(4 * levels.length);
    const panel = points.slice(0, levels.length);
    for (const [i, [x, y]] of panel.entries()) {
      if (i === 0) continue;
      expect(x).toBeGreaterThan(panel[i - 1]![0] + 20);
      expect(y).toBeGreaterThan(panel[i - 1]![1]);
    }
    const shown = texts(svg);
    for (const { wa } of levels) expect(shown).toContain((100 * wa).toFixed(1));
    for (const tick of ['clean', '20', '10', '5', '0', '-5']) expect(shown).toContain(tick);
    // Ratios are to scale: 10 dB take twice as much as 5.
    const at = (i: number) => panel[i]![0];
    expect(at(2) - at(1)).toBeCloseTo(2 * (at(3) - at(2)), 0);
  });

  it('takes levels in any order, one level, and levels without intervals', () => {
    const sorted = (svg: string) =>
      circles(svg)
        .map((point) => point.join())
        .sort();
    const bare = levels.map((level) => ({ ...level, intervals: null }));
    expect(sorted(noisePlot(levels.toReversed(), heading))).toEqual(sorted(noisePlot(levels, heading)));
    expect(noisePlot(bare, heading)).not.toContain('m-4 0h8');
    expect(noisePlot(levels, heading)).toContain('m-4 0h8');
    const one = noisePlot(bare.slice(0, 2), heading);
    expect(circles(one)).toHaveLength(8);
    expect(one).not.toMatch(/NaN|Infinity/);
  });

  it('leaves out ticks and values that would overlap', () => {
    const dense = Array.from({ length: 41 }, (_, i) => ({ ...levels[1]!, snr_db: i - 20 }));
    const svg = noisePlot([levels[0]!, ...dense], heading);
    expect(circles(svg)).toHaveLength(4 * 42);
    expect(texts(svg).length).toBeLessThan(4 * 32);
  });
});

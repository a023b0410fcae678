/** @file The plots of a report on a search show its trials, and the formats have the same tables. */

import { describe, expect, it } from 'vitest';
import { renderSearch, renderSearchJson, renderSearchMarkdown, searchPlots } from '../../src/report/index.js';
import type { SearchReport } from '../../src/report/search-data.js';
import { searchReport, tenKeys, threeKeys } from './search-data.js';

const data = searchReport({ trials: 20, failed: 1 });
const drawn = data.trials.filter(({ status }) => status !== 'failed');
const plot = (report: SearchReport, name: string): string =>
  searchPlots(report).find((each) => each.name.includes(name))!.svg;

/** Marks by the trial that their tooltip names; a path begins at its middle, a little above. */
function marks(svg: string): Map<number, { x: number; y: number; mark: string }> {
  const found = new Map<number, { x: number; y: number; mark: string }>();
  const pattern = /<(circle|path)([^>]*)><title>trial (\d+), (?:finished|stopped)[^<]*<\/title><\/\1>/g;
  for (const [, , attributes, number] of svg.matchAll(pattern)) {
    const circle = /cx="([\d.]+)" cy="([\d.]+)"/.exec(attributes!);
    const [, x, y] = circle ?? /d="M([\d.]+) ([\d.]+)/.exec(attributes!)!;
    const mark = circle === null ? 'diamond' : attributes!.includes('fill-page') ? 'hollow' : 'filled';
    found.set(Number(number), { x: Number(x), y: Number(y) + (circle === null ? 6.6 : 0), mark });
  }
  return found;
}

describe('the plot of a key', () => {
  it('has each trial with a figure once: finished ones filled, stopped ones hollow, the best a diamond', () => {
    for (const key of ['learning-rate', 'hidden', 'epochs']) {
      const found = marks(plot(data, key));
      expect([...found.keys()].sort((a, b) => a - b)).toEqual(
        drawn.map(({ number }) => number).sort((a, b) => a - b),
      );
      for (const { number, status } of drawn) {
        const expected = number === data.best ? 'diamond' : status === 'finished' ? 'filled' : 'hollow';
        expect([number, found.get(number)!.mark]).toEqual([number, expected]);
      }
    }
    expect(drawn.some(({ status }) => status === 'stopped')).toBe(true);
  });

  it('places values by their logarithm, and figures by their size', () => {
    const svg = plot(data, 'learning-rate');
    const found = marks(svg);
    const [left, right] = [44 + 8, 400 - 10 - 8];
    const tick = (text: string): number =>
      Number(new RegExp(`y="([\\d.]+)"[^>]*text-anchor="end"[^>]*>${text}<`).exec(svg)![1]) - 4;
    const [zero, sixty] = [tick('0'), tick('60')];
    for (const { number, values, best } of drawn) {
      const decades = Math.log10(values['probe.learning_rate'] as number) + 5; // of four
      const { x, y } = found.get(number)!;
      expect([number, x - (left + ((right - left) * decades) / 4)]).toEqual([number, expect.closeTo(0, 1)]);
      expect([number, y - (zero + (best!.value / 0.6) * (sixty - zero))]).toEqual([
        number,
        expect.closeTo(0, 1),
      ]);
    }
  });

  it('keeps trials of a category in its place, none on another', () => {
    const found = marks(plot(data, 'hidden'));
    const slot = (400 - 10 - 44) / 3;
    for (const { number, values } of drawn) {
      const index = [0, 16, 64].indexOf(values['probe.hidden'] as number);
      const { x } = found.get(number)!;
      expect([number, Math.floor((x - 44) / slot)]).toEqual([number, index]);
    }
  });

  it("shows the recipe's own value where it is in the space", () => {
    const legend = '>recipe</text>';
    expect(plot(data, 'hidden')).toContain(legend);
    expect(plot(data, 'epochs')).not.toContain(legend); // 20, and the space ends at 8
  });

  it('has a name of its own for each of ten keys, and no figure that is no number', () => {
    const plots = searchPlots(searchReport({ trials: 64, keys: tenKeys }));
    expect(new Set(plots.map(({ name }) => name)).size).toBe(12);
    for (const { name, svg } of plots) {
      expect(name).toMatch(/^[a-z0-9-]+$/);
      expect([name, /NaN|Infinity|undefined/.exec(svg)]).toEqual([name, null]);
      expect(svg).toMatch(/role="img" aria-labelledby="[\w-]+" aria-describedby="[\w-]+"/);
    }
  });
});

describe('the validation curves', () => {
  it('end where trials were stopped, and the best one has its name', () => {
    const svg = plot(data, 'validation-curves');
    const lines = [
      ...svg.matchAll(
        /<g><title>trial (\d+)(, stopped after epoch (\d+))?[^<]*<\/title><path[^>]* d="([^"]*)"/g,
      ),
    ];
    expect(lines).toHaveLength(drawn.length);
    for (const [, number, , stoppedAfter, path] of lines) {
      const trial = drawn.find((each) => each.number === Number(number))!;
      const points = path!.match(/[ML]/g)!.length;
      expect([number, points]).toEqual([number, trial.validation.length]);
      expect(stoppedAfter).toBe(trial.status === 'stopped' ? String(trial.validation.length) : undefined);
    }
    expect(svg.match(/>trial \d+<\/text>/g)).toEqual([`>trial ${data.best}</text>`]);
  });

  it('have a gap where an epoch has no figure', () => {
    const [best, ...others] = data.trials;
    const gap = { ...best!, validation: best!.validation.map((value, at) => (at === 1 ? null : value)) };
    const svg = plot({ ...data, trials: [gap, ...others] }, 'validation-curves');
    const path = new RegExp(`<title>trial ${gap.number}:[^<]*</title><path[^>]* d="([^"]*)"`).exec(svg)![1]!;
    expect(path).toMatch(/^M[\d. ]+h0M[\d. ]+(L|$)/);
  });
});

describe('the best figure so far', () => {
  it('is a step up at each finished trial that beats those before it', () => {
    const svg = plot(data, 'best-so-far');
    const path = /stroke-series2"[^>]* d="(M[^"]*H[^"]*V[^"]*)"/.exec(svg)![1]!;
    const byNumber = drawn.filter(({ status }) => status === 'finished').sort((a, b) => a.number - b.number);
    let steps = 0;
    let best = 0;
    for (const trial of byNumber) {
      if (trial.best!.value <= best) continue;
      best = trial.best!.value;
      steps++;
    }
    expect(steps).toBeGreaterThan(1);
    expect(path.match(/V/g)).toHaveLength(steps - 1);
    const heights = [...path.matchAll(/V([\d.]+)/g)].map(([, y]) => Number(y));
    expect(heights).toEqual([...heights].sort((a, b) => b - a));
    expect(heights.at(-1)).toBeCloseTo(marks(svg).get(data.best!)!.y, 1);
  });

  it('goes down where less is better', () => {
    const loss = { key: 'nll', higherIsBetter: false };
    const trials = data.trials.filter(({ best }) => best !== null).reverse();
    const best = trials.find(({ status }) => status === 'finished')!.number;
    const path = /d="(M[^"]*H[^"]*)"/.exec(
      plot({ ...data, figure: loss, trials, best }, 'best-so-far').split('stroke-series2" fill="none"')[1]!,
    )![1]!;
    const heights = [...path.matchAll(/V([\d.]+)/g)].map(([, y]) => Number(y));
    expect(heights).toEqual([...heights].sort((a, b) => a - b));
  });
});

describe('the formats', () => {
  const many = searchReport({ trials: 64, keys: tenKeys, failed: 2, unfinished: 1, planned: 70 });

  it('have the rows of every table of the page', () => {
    const page = [...renderSearch(many).matchAll(/<tr><th scope="row">(.*?)<\/tr>/g)].map(([row]) =>
      [...row.matchAll(/<t[hd][^>]*>(.*?)<\/t[hd]>/g)]
        .map(([, cell]) => cell!.replace(/<[^>]+>/g, ''))
        .map((cell) => cell.replace(/&#(\d+);/g, (_, code) => String.fromCharCode(code)))
        .join(' | '),
    );
    const markdown = renderSearchMarkdown(many).replace(/\\(.)/g, '$1');
    expect(page).toHaveLength(10 + 62 + 64);
    expect(page.filter((row) => !markdown.includes(`| ${row} |`))).toEqual([]);
  });

  it('name the plots in Markdown, or show them where they are written', () => {
    expect(renderSearchMarkdown(data, (name) => `plots/${name}.svg`)).toContain(
      '![probe.learning\\_rate](plots/key-1-probe-learning-rate.svg)',
    );
    expect(renderSearchMarkdown(data)).not.toContain('![');
  });

  it('are one file without addresses, and the same bytes each time', () => {
    const page = renderSearch(data);
    expect(page).not.toMatch(/(?:src|href)="https?:/);
    expect(page).toContain("default-src 'none'");
    expect(renderSearch(searchReport({ trials: 20, failed: 1 }))).toBe(page);
    expect(renderSearchJson(data).split('\n')).toHaveLength(2);
  });

  it('have no plot of one key beside others, and none without trials', () => {
    const rate = 'probe.learning_rate';
    const one = renderSearch(searchReport({ keys: { [rate]: threeKeys[rate]! } }));
    expect(one).toContain('<h2 id="keys-heading">The searched key</h2>');
    expect(searchPlots(searchReport({ trials: 0 }))).toEqual([]);
  });
});

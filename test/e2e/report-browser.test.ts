/**
 * @file The report in a real browser: display, accessibility, toggles, hovering, keyboard control, playback, saving,
 * printing.
 */

import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BrowserContextOptions, Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { overallOf } from '../../src/evaluation/index.js';
import { type ReportData, renderReport, reportPlots } from '../../src/report/index.js';
import { mapLayout } from '../../src/report/plots/index.js';
import { hostileReportData, hostileText, reportData } from '../report/report-data.js';
import {
  chromiumFor,
  expectFitting,
  expectLegiblePlots,
  lowContrastText,
  parseSvg,
  playRecording,
  unnamedControls,
  useChromium,
} from './report-browser.js';

const chromium = chromiumFor('the report in a browser');

const headings = [
  'Headline figures',
  'Confusion',
  'Classes',
  'Calibration',
  'Under noise',
  'Map of the embeddings',
  'Training',
  'Ablations',
  'Worst mistakes',
  'Recipe',
  'Prompt',
  'Versions and metadata',
  'Not in this report',
];

const widths = [390, 1280, 1920];

describe.runIf(chromium)('the report in Chromium', () => {
  const { folder, ...browser } = useChromium(chromium!, 'report');

  const plain = reportData({ utterances: 900 });
  const files = new Map<ReportData, string>();
  function fileOf(data: ReportData): string {
    if (!files.has(data)) {
      files.set(data, join(folder, `report-${files.size}.html`));
      writeFileSync(files.get(data)!, renderReport(data));
    }
    return files.get(data)!;
  }

  const open = (data: ReportData, options?: BrowserContextOptions): Promise<Page> =>
    browser.open(fileOf(data), options);

  /** Screen position of an utterance's point. */
  async function pointPosition(
    page: Page,
    data: ReportData,
    index: number,
  ): Promise<{ x: number; y: number }> {
    const layout = mapLayout(pointsOf(data));
    const box = (await page.locator('#map-surface').boundingBox())!;
    const [x, y] = layout.positions[index]!;
    return { x: box.x + (x * box.width) / layout.width, y: box.y + (y * box.height) / layout.height };
  }

  /** The utterance furthest from all others, so that a pointer there is unambiguous. */
  function loneliest(data: ReportData): number {
    const positions = mapLayout(pointsOf(data)).positions as [number, number][];
    const room = positions.map((a, i) =>
      Math.min(...positions.map((b, k) => (i === k ? Infinity : Math.hypot(a[0] - b[0], a[1] - b[1])))),
    );
    return room.indexOf(Math.max(...room));
  }

  const themeOf = (page: Page): Promise<string> =>
    page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);

  it('has every section, and its plots are images with names', async () => {
    const page = await open(plain);
    expect(await page.getByRole('heading', { level: 2 }).allInnerTexts()).toEqual(headings);
    for (const name of headings)
      expect(await page.getByRole('region', { name, exact: true }).count()).toBe(1);
    const shown = reportPlots(plain).filter(({ name }) => name !== 'map-correctness');
    for (const { title } of shown) {
      expect([title, await page.getByRole('img', { name: title, exact: true }).isVisible()]).toEqual([
        title,
        true,
      ]);
    }
    expect(await unnamedControls(page)).toEqual([]);
  });

  it('has shares and counts of the confusion matrix in one picture', async () => {
    const page = await open(plain);
    const cells = await page.locator('#figure-confusion g text').allTextContents();
    const { confusion } = overallOf(plain.scores);
    const counts = confusion.flat().map((count) => count.toLocaleString('en-US'));
    const shares = confusion.flatMap((row) => {
      const support = row.reduce((sum, count) => sum + count, 0);
      return row.map((count) => ((100 * count) / support).toFixed(1));
    });
    expect(cells.filter((_, i) => i % 2 === 0)).toEqual(shares);
    expect(cells.filter((_, i) => i % 2 === 1)).toEqual(counts);
  });

  it('toggles what the points of the map show', async () => {
    const page = await open(plain);
    const view = (name: string) => page.locator(`#figure-map-${name} svg`);
    const button = (name: string) => page.getByRole('button', { name, exact: true });
    expect([await view('labels').isVisible(), await view('correctness').isVisible()]).toEqual([true, false]);
    await button('Right or wrong').click();
    expect([await view('labels').isVisible(), await view('correctness').isVisible()]).toEqual([false, true]);
    expect(await button('Right or wrong').getAttribute('aria-pressed')).toBe('true');
    expect(await button('Reference label').getAttribute('aria-pressed')).toBe('false');
  });

  it("has a summary with the figures of the paper's metrics, intervals, baselines and a verdict", async () => {
    const page = await open(plain);
    const region = page.getByRole('region', { name: 'Summary' });
    const said = (await region.innerText()).replace(/\s+/g, ' ');
    const { wa, ua, wf1 } = overallOf(plain.scores);
    const text = (share: number): string => (100 * share).toFixed(1);
    for (const value of [wa, ua, wf1]) expect(said).toContain(`${text(value)} %`);
    for (const key of ['wa', 'ua', 'wf1'] as const) {
      const { low, high } = plain.intervals!.metrics[key];
      expect(said).toContain(`95 % interval ${text(low)} – ${text(high)}`);
      expect(said).toContain(`paper ${plain.paper![key]!.toFixed(1)}`);
      expect(said).toContain(`majority class ${text(plain.baselines.majority[key])}`);
      expect(said).toContain(`chance ${text(plain.baselines.chance[key])}`);
    }
    for (const part of [
      'facebook/hubert-large-ll60k',
      'meld',
      '9,989 for training',
      'points above the majority class',
    ])
      expect(said).toContain(part);
    expect((await region.boundingBox())!.y).toBeLessThan(120);
  });

  describe.each(widths)('at %d pixels', (width) => {
    const size = { viewport: { width, height: 900 } };
    const many = reportData({
      utterances: 500,
      labels: Array.from({ length: 25 }, (_, i) => `emotion_${i}`),
    });

    it.each([
      ['of seven classes', plain],
      ['of folds', reportData({ utterances: 500, folds: 5 })],
      ['of 25 classes', many],
      ['of hostile names', hostileReportData()],
    ])('fits its page %s, and what is wider scrolls in its card with a hint', async (_, data) => {
      await expectFitting(await open(data, size), width);
    });

    it('has plots that fill their containers, with legible text', async () => {
      await expectLegiblePlots(await open(plain, size), 11);
    });
  });

  it('has its contents beside it on a wide screen, and folded on a narrow one', async () => {
    const link = (page: Page) => page.getByRole('navigation').getByRole('link', { name: 'Calibration' });
    const wide = await open(plain, { viewport: { width: 1280, height: 900 } });
    expect(await link(wide).isVisible()).toBe(true);
    await wide.locator('#prompt').scrollIntoViewIfNeeded();
    expect((await wide.getByRole('navigation').boundingBox())!.y).toBeGreaterThanOrEqual(0); // it stays
    const narrow = await open(plain, { viewport: { width: 390, height: 844 } });
    expect(await link(narrow).isVisible()).toBe(false);
    await narrow.getByText('Contents').click();
    expect(await link(narrow).isVisible()).toBe(true);
    await link(narrow).click();
    expect(await link(narrow).isVisible()).toBe(false);
    expect(Math.abs((await narrow.locator('#calibration').boundingBox())!.y)).toBeLessThan(100);
  });

  it('breaks no id inside a word', async () => {
    const data = reportData({ utterances: 120 });
    const utterances = data.utterances.map((each, i) => ({
      ...each,
      id: `Ses01F_improvisation${i}_F000_extraordinary`,
    }));
    const page = await open({ ...data, utterances }, { viewport: { width: 390, height: 844 } });
    const broken = await page.evaluate(() =>
      [...document.querySelectorAll('#mistakes tbody th bdi')].flatMap((id) =>
        [...id.childNodes]
          .filter((node) => {
            const range = document.createRange();
            range.selectNodeContents(node);
            // Between two places to break there is one line.
            return node.nodeType === Node.TEXT_NODE && range.getClientRects().length > 1;
          })
          .map((node) => node.textContent),
      ),
    );
    expect(broken).toEqual([]);
    expect(await page.locator('#mistakes tbody th wbr').count()).toBeGreaterThan(3);
  });

  it('has one colour for each class in every plot', async () => {
    const page = await open(plain);
    const colours = await page.evaluate(
      (labels) =>
        labels.map((label) => {
          const paints = ['confusion', 'classes', 'map-labels'].flatMap((name) => {
            const svg = document.querySelector(`#figure-${name} svg`)!;
            const text = [...svg.querySelectorAll('text')].findLast((each) =>
              each.textContent!.startsWith(label),
            )!;
            const middle = text.getBoundingClientRect();
            const marks = [...svg.querySelectorAll('path')].filter((path) =>
              /series/.test(path.getAttribute('class') ?? ''),
            );
            const nearest = marks.sort((a, b) => {
              const distance = (path: Element): number => {
                const box = path.getBoundingClientRect();
                return Math.hypot(
                  box.right - middle.left,
                  box.y + box.height / 2 - middle.y - middle.height / 2,
                );
              };
              return distance(a) - distance(b);
            })[0]!;
            return /series\d/.exec(nearest.getAttribute('class')!)![0];
          });
          return new Set(paints).size === 1 ? paints[0] : paints.join();
        }),
      plain.labels,
    );
    expect(colours).toEqual(plain.labels.map((_, i) => `series${i + 1}`));
  });

  it('shows what is under the pointer, in both colourings of the map', async () => {
    const page = await open(plain);
    await page.locator('#map').scrollIntoViewIfNeeded();
    const index = loneliest(plain);
    const { id, text, reference, predicted, probabilities } = plain.utterances[index]!;
    for (const choice of ['Reference label', 'Right or wrong']) {
      await page.getByRole('button', { name: choice, exact: true }).click();
      await page.mouse.move(0, 0);
      const { x, y } = await pointPosition(page, plain, index);
      await page.mouse.move(x + 2, y - 2);
      const said = await page.locator('#map-text').innerText();
      const share = (100 * probabilities![predicted!]!).toFixed(1);
      for (const part of [id, text, plain.labels[reference]!, `${plain.labels[predicted!]}, ${share} %`]) {
        expect(said).toContain(part);
      }
      expect(said).toContain(reference === predicted ? 'right' : 'wrong');
      const marker = (await page.locator('#map-marker').boundingBox())!;
      expect(Math.hypot(marker.x + marker.width / 2 - x, marker.y + marker.height / 2 - y)).toBeLessThan(1.5);
    }
    expect(await page.locator('#figure-map-labels svg').isVisible()).toBe(false);
    expect(await page.locator('#figure-map-correctness svg').isVisible()).toBe(true);
  });

  it('is walked by keyboard', async () => {
    const page = await open(plain);
    await page.keyboard.press('Tab');
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('Skip to the figures');
    expect(await page.locator('.skip').evaluate((link) => link.getBoundingClientRect().left >= 0)).toBe(true);
    await page.locator('#map-surface').focus();
    const said = async (): Promise<string> => (await page.locator('#map-text dd').first().innerText()).trim();
    expect(await said()).toBe(plain.utterances[0]!.id);
    const { positions } = mapLayout(pointsOf(plain));
    const current = async () => positions[plain.utterances.findIndex(({ id }) => id === idOf)]!;
    let idOf = await said();
    for (const [key, axis, sign] of [
      ['ArrowRight', 0, 1],
      ['ArrowDown', 1, 1],
      ['ArrowLeft', 0, -1],
      ['ArrowUp', 1, -1],
    ] as const) {
      const before = await current();
      await page.keyboard.press(key);
      idOf = await said();
      const after = await current();
      expect(sign * (after[axis] - before[axis])).toBeGreaterThan(0);
    }
    await page.keyboard.press('End');
    expect(await said()).toBe(plain.utterances.at(-1)!.id);
    await page.keyboard.press('PageUp');
    expect(await said()).toBe(plain.utterances.at(-2)!.id);
    await page.keyboard.press('Home');
    await page.keyboard.press('PageDown');
    expect(await said()).toBe(plain.utterances[1]!.id);
    expect(await page.locator('#map-text').getAttribute('aria-live')).toBe('polite');
  });

  it('plays a recording, and says why there is none', async () => {
    const page = await open(plain);
    const { atSec, durationSec } = await playRecording(page, '#mistakes audio');
    expect(atSec).toBeGreaterThan(0);
    expect(durationSec).toBeCloseTo(0.5, 2); // 4,000 samples at 8,000 Hz
    expect(await page.locator('#mistakes audio').count()).toBe(plain.mistakes.length - 1);
    expect(await page.locator('#mistakes').innerText()).toContain(
      'its recording is not in the corpus folder',
    );
  });

  it('follows the system between light and dark, until its button is pressed', async () => {
    const page = await open(plain, { colorScheme: 'dark' });
    const [dark, light] = ['rgb(21, 24, 28)', 'rgb(255, 255, 255)'];
    const button = page.locator('#theme');
    // It says what it will do.
    expect([await themeOf(page), await button.innerText()]).toEqual([dark, 'Light']);
    await button.click();
    expect([await themeOf(page), await button.innerText()]).toEqual([light, 'Dark']);
    await page.emulateMedia({ colorScheme: 'light' });
    await button.click();
    expect([await themeOf(page), await button.innerText()]).toEqual([dark, 'Light']);
    const plotPage = await page
      .locator('#figure-headline svg > rect')
      .evaluate((rect) => getComputedStyle(rect).fill);
    expect(plotPage).toBe(dark);
  });

  it.each(['light', 'dark'] as const)('has readable text everywhere, %s', async (colorScheme) => {
    const page = await open(plain, { colorScheme });
    const faint = await page.evaluate(lowContrastText, 300);
    expect(faint).toEqual([]);
  });

  it('prints its summary and every plot on about two pages, light, and says what it leaves out', async () => {
    const page = await open(plain, { colorScheme: 'dark' });
    const pagesOf = async (each: Page): Promise<number> => {
      const pdf = (await each.pdf({ preferCSSPageSize: true })).toString('latin1');
      expect(pdf.startsWith('%PDF-')).toBe(true);
      return pdf.match(/\/Type\s*\/Page\b/g)!.length;
    };
    expect(await pagesOf(page)).toBeLessThanOrEqual(3); // of two stages, with noise and ablations
    const { noise: _, ...rest } = plain;
    const usual = { ...rest, noise: null, ablations: [], curves: plain.curves.slice(0, 1) };
    expect(await pagesOf(await open(usual))).toBeLessThanOrEqual(2);
    await page.emulateMedia({ media: 'print' });
    expect(await themeOf(page)).toBe('rgb(255, 255, 255)');
    for (const { name } of reportPlots(plain)) {
      expect([name, await page.locator(`#figure-${name} svg`).isVisible()]).toEqual([name, true]);
    }
    expect(await page.getByRole('region', { name: 'Summary' }).isVisible()).toBe(true);
    expect(await page.locator('#headline table').isVisible()).toBe(true);
    expect(
      await page.locator('button:visible, #map-surface:visible, audio:visible, details:visible').count(),
    ).toBe(0);
    expect(await page.locator('.print-only').innerText()).toMatch(
      /also has all figures as tables, and: worst mistakes, recipe, prompt, versions and metadata/,
    );
  });

  it('shows both views where scripts may not run', async () => {
    const page = await open(plain, { javaScriptEnabled: false });
    expect(await page.locator('#figure-map-labels svg').isVisible()).toBe(true);
    expect(await page.locator('#figure-map-correctness svg').isVisible()).toBe(true);
    expect(await page.locator('button:visible').count()).toBe(0);
    expect(await page.getByRole('navigation').getByRole('link', { name: 'Prompt' }).isVisible()).toBe(true);
  });

  it('saves a plot that is an SVG document by itself', async () => {
    const page = await open(plain, { colorScheme: 'dark' });
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Save SVG: Reliability diagram' }).click(),
    ]);
    expect(download.suggestedFilename()).toBe('reliability.svg');
    const path = join(folder, 'saved.svg');
    await download.saveAs(path);
    const { root, error, ground } = await parseSvg(page, readFileSync(path, 'utf8'));
    expect([root, error, ground]).toEqual(['svg', null, '#ffffff']);
  });

  it('keeps hostile text as text, and its plots as valid XML', async () => {
    const data = hostileReportData();
    const page = await open(data);
    expect(await page.title()).toContain('</script><script>');
    expect(await page.locator('main script:not([type="application/json"]), main img').count()).toBe(0);
    // A control character or half a surrogate pair cannot be in a document: a replacement stands for it.
    const visible = hostileText.replace('\u0000\u000b\ud800', '\ufffd'.repeat(3));
    expect(await page.locator('#recipe pre').textContent()).toBe(visible);
    await page.locator('#map-surface').focus();
    expect(await page.locator('#map-text dd').first().textContent()).toContain(
      "<script>document.title='broken'",
    );
    for (const { name, svg } of reportPlots(data)) {
      const { root, error } = await parseSvg(page, svg);
      expect([name, root, error]).toEqual([name, 'svg', null]);
    }
    await page.setViewportSize({ width: 400, height: 800 });
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(400);
  });

  it('is under 2 MB with 2,610 utterances, without recordings', () => {
    const data = reportData({ utterances: 2610, mistakes: 50, steps: 9000, epochs: 20 });
    const mistakes = data.mistakes.map((each) => ({ ...each, audio: null, audioMissing: 'not asked for' }));
    expect(statSync(fileOf({ ...data, mistakes })).size).toBeLessThan(2e6);
  });

  it('is small with 13,708 utterances, and opens soon', async () => {
    const data = reportData({ utterances: 13_708, mistakes: 50, audioBytes: 10_240, folds: 5, steps: 9000 });
    const bytes = statSync(fileOf(data)).size;
    const page = await open(data);
    const { load, paint } = await page.evaluate(() => ({
      load: (performance.getEntriesByType('navigation')[0] as PerformanceNavigationTiming).loadEventEnd,
      paint: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? Number.NaN,
    }));
    await page.locator('#map').scrollIntoViewIfNeeded();
    await page.locator('#map-surface').focus();
    await page.keyboard.press('End');
    expect(await page.locator('#map-text').innerText()).toContain(data.utterances.at(-1)!.id);
    console.log(
      `report of 13,708 utterances: ${(bytes / 1e6).toFixed(1)} MB, load event after ${load.toFixed(0)} ms, first paint after ${paint.toFixed(0)} ms`,
    );
    expect(bytes).toBeLessThan(15e6);
  });
});

/** Positions of all utterances, in the map's own units. */
function pointsOf({ map }: ReportData): [number, number][] {
  if (map.kind === 'missing') throw new Error('this report has no map');
  return map.points.map((point) => [...point!]);
}

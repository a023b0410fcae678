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
  'Training',
  'Classes',
  'Calibration',
  'Under noise',
  'Map of the embeddings',
  'Worst mistakes',
  'Folds and seeds',
  'Ablations',
  'Recipe',
  'Prompt',
  'Versions and metadata',
];

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
    const shown = reportPlots(plain).filter(
      ({ name }) => !['confusion-counts', 'map-correctness'].includes(name),
    );
    for (const { title } of shown) {
      expect([title, await page.getByRole('img', { name: title, exact: true }).isVisible()]).toEqual([
        title,
        true,
      ]);
    }
    expect(await unnamedControls(page)).toEqual([]);
  });

  it('toggles the confusion matrix', async () => {
    const page = await open(plain);
    const view = (name: string) => page.locator(`#figure-confusion-${name} svg`);
    const button = (name: string) => page.getByRole('button', { name, exact: true });
    expect([await view('shares').isVisible(), await view('counts').isVisible()]).toEqual([true, false]);
    await button('Counts').click();
    expect([await view('shares').isVisible(), await view('counts').isVisible()]).toEqual([false, true]);
    expect(await button('Counts').getAttribute('aria-pressed')).toBe('true');
    expect(await button('Percent of each reference class').getAttribute('aria-pressed')).toBe('false');
    const { confusion } = overallOf(plain.scores);
    const cells = await view('counts').locator('g text').allTextContents();
    expect(cells).toEqual(confusion.flat().map((count) => count.toLocaleString('en-US')));
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
    const button = page.getByRole('button', { name: 'Dark' });
    expect([await themeOf(page), await button.getAttribute('aria-pressed')]).toEqual([dark, 'true']);
    await button.click();
    expect([await themeOf(page), await button.getAttribute('aria-pressed')]).toEqual([light, 'false']);
    await page.emulateMedia({ colorScheme: 'light' });
    await button.click();
    expect(await themeOf(page)).toBe(dark);
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

  it('prints whole, on several pages, light', async () => {
    const page = await open(plain, { colorScheme: 'dark' });
    const pdf = (await page.pdf({ format: 'A4' })).toString('latin1');
    expect(pdf.startsWith('%PDF-')).toBe(true);
    expect(pdf.match(/\/Type\s*\/Page\b/g)!.length).toBeGreaterThan(3);
    await page.emulateMedia({ media: 'print' });
    expect(await themeOf(page)).toBe('rgb(255, 255, 255)');
    for (const { name } of reportPlots(plain)) {
      expect([name, await page.locator(`#figure-${name} svg`).isVisible()]).toEqual([name, true]);
    }
    expect(await page.locator('details table').first().isVisible()).toBe(true);
    expect(await page.locator('button:visible, #map-surface:visible, audio:visible').count()).toBe(0);
    const recipe = page.locator('#recipe pre');
    expect(await recipe.evaluate((pre) => pre.scrollHeight <= pre.clientHeight + 1)).toBe(true);
  });

  it('shows both views where scripts may not run', async () => {
    const page = await open(plain, { javaScriptEnabled: false });
    expect(await page.locator('#figure-confusion-counts svg').isVisible()).toBe(true);
    expect(await page.locator('#figure-map-correctness svg').isVisible()).toBe(true);
    expect(await page.locator('button:visible').count()).toBe(0);
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

/** @file The report of a search in a real browser: display, accessibility, text that stays text, printing. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BrowserContextOptions, Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { renderSearch, type SearchReport, searchPlots } from '../../src/report/index.js';
import { hostileText } from '../report/report-data.js';
import { searchReport, tenKeys, threeKeys } from '../report/search-data.js';
import {
  chromiumFor,
  expectFitting,
  expectLegiblePlots,
  lowContrastText,
  parseSvg,
  unnamedControls,
  useChromium,
} from './report-browser.js';

const chromium = chromiumFor('the report of a search in a browser');

describe.runIf(chromium)('the report of a search in Chromium', () => {
  const { folder, ...browser } = useChromium(chromium!, 'search');
  const plain = searchReport();
  const many = searchReport({ trials: 64, keys: tenKeys, failed: 2, unfinished: 1, planned: 70 });
  const rate = 'probe.learning_rate';
  const one = searchReport({ trials: 8, keys: { [rate]: threeKeys[rate]! } });
  const hostile: SearchReport = {
    ...searchReport({ keys: { [hostileText]: { choice: [hostileText, '</svg><img src=x>'] } } }),
    name: hostileText,
    recipe: hostileText,
  };

  const open = (data: SearchReport, options?: BrowserContextOptions): Promise<Page> => {
    const file = join(folder, 'search.html');
    writeFileSync(file, renderSearch(data));
    return browser.open(file, options);
  };

  it('has its sections, and its plots are images with names', async () => {
    const page = await open(plain);
    const headings = [
      ...['The searched keys', 'Validation curves', 'Best so far', 'All trials'],
      ...['What to do with it', 'Recipe'],
    ];
    expect(await page.getByRole('heading', { level: 2 }).allInnerTexts()).toEqual(headings);
    for (const name of headings)
      expect(await page.getByRole('region', { name, exact: true }).count()).toBe(1);
    for (const { title } of searchPlots(plain)) {
      const plot = page.getByRole('img', { name: title, exact: true });
      expect([title, await plot.isVisible()]).toEqual([title, true]);
    }
    expect(await unnamedControls(page)).toEqual([]);
    expect((await page.getByRole('region', { name: 'Summary' }).boundingBox())!.y).toBeLessThan(120);
  });

  describe.each([390, 800, 1280, 1920])('at %d pixels', (width) => {
    it.each([
      ['over three keys', plain, 5],
      ['over ten keys with long names', many, 12],
      ['over one key', one, 3],
      ['of hostile names', hostile, 3],
      ['without a result', searchReport({ trials: 0, unfinished: 1, planned: null }), 0],
    ])('fits its page, with legible plots, %s', async (_, data, plots) => {
      const page = await open(data, { viewport: { width, height: 900 } });
      await expectFitting(page, width);
      await expectLegiblePlots(page, plots);
    });
  });

  it.each(['light', 'dark'] as const)('has readable text everywhere, %s', async (colorScheme) => {
    const page = await open(many, { colorScheme });
    await page.locator('summary').last().click();
    expect(await page.evaluate(lowContrastText, 900)).toEqual([]);
  });

  it('names the best curve inside its plot, and no text is over another', async () => {
    const page = await open(many, { viewport: { width: 1280, height: 900 } });
    const overlaps = await page.evaluate(() =>
      [...document.querySelectorAll('.plot svg')].flatMap((svg) => {
        const whole = svg.getBoundingClientRect();
        const texts = [...svg.querySelectorAll('text')].map((text) => ({
          text: text.textContent!,
          box: text.getBoundingClientRect(),
        }));
        const outside = texts.filter(({ box }) => box.left < whole.left - 1 || box.right > whole.right + 1);
        const touching = texts.flatMap((a, i) =>
          texts.slice(i + 1).flatMap((b) => {
            const wide = Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left);
            const high = Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top);
            return wide > 1 && high > 4 ? [`${a.text} | ${b.text}`] : [];
          }),
        );
        return [...outside.map(({ text }) => `outside: ${text}`), ...touching];
      }),
    );
    expect(overlaps).toEqual([]);
    const name = page.locator('#figure-validation-curves text', { hasText: `trial ${many.best}` });
    expect(await name.count()).toBe(1);
  });

  it('keeps hostile text as text, and its plots as valid XML', async () => {
    const page = await open(hostile);
    expect(await page.title()).toContain('</script><script>');
    expect(await page.locator('main script, main img, .summary img').count()).toBe(0);
    for (const { name, svg } of searchPlots(hostile)) {
      expect([name, await parseSvg(page, svg)]).toEqual([
        name,
        { root: 'svg', error: null, ground: '#ffffff' },
      ]);
    }
  });

  it('prints its summary and every plot on two pages at most, and says what it leaves out', async () => {
    const page = await open(plain, { colorScheme: 'dark' });
    const pdf = (await page.pdf({ preferCSSPageSize: true })).toString('latin1');
    expect(pdf.match(/\/Type\s*\/Page\b/g)!.length).toBeLessThanOrEqual(2);
    await page.emulateMedia({ media: 'print' });
    for (const { name } of searchPlots(plain)) {
      expect([name, await page.locator(`#figure-${name} svg`).isVisible()]).toEqual([name, true]);
    }
    expect(await page.locator('.print-only').innerText()).toMatch(
      /and: all trials, what to do with it, recipe\.$/,
    );
  });
});

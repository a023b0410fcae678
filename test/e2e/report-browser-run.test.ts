/** @file `emoq report` on a newly trained run, opened in a real browser. */

import { readdirSync } from 'node:fs';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chromiumFor, launchChromium, openPage, parseSvg, playRecording } from './report-browser.js';
import { csvRows, makeWorkspace, toyRecipe } from './workspace.js';

const chromium = chromiumFor('the report of a toy run in a browser');

describe.runIf(chromium)('the report of a toy run in Chromium', () => {
  const work = makeWorkspace('report-browser');
  const complaints: string[] = [];
  let browser: Browser;
  let page: Page;

  beforeAll(async () => {
    await work.toyCorpus(10, 8);
    const stage1 = { epochs: 1, batch_size: 16, learning_rate: 1e-3 };
    work.file(
      'one.yaml',
      toyRecipe('toy', { former: { queries: 4, pooling_heads: 4, head_hidden: 64 }, stage1 }),
    );
    await work.done('stage1', '--recipe', 'one.yaml');
    await work.done(
      'report',
      '--recipe',
      'one.yaml',
      '--stage',
      '1',
      '--out',
      'page.html',
      '--plots',
      'plots',
    );
    browser = await launchChromium(chromium!);
    page = await openPage(browser, work.path('page.html'), complaints);
  });
  afterAll(async () => {
    await browser?.close();
    work.remove();
  });

  it('has the sections that have content, and lists why others are left out', async () => {
    expect(await page.getByRole('heading', { level: 2 }).count()).toBe(10);
    expect(await page.locator('#absent').innerText()).toContain('stage 1 has no language model');
  });

  it('has every utterance in the confusion matrix', async () => {
    const cells = await page.locator('#figure-confusion g text').allTextContents();
    const counts = cells.filter((_, i) => i % 2 === 1);
    expect(counts.reduce((sum, cell) => sum + Number(cell), 0)).toBe(16);
  });

  it('says whose point the map has under the pointer', async () => {
    const surface = page.locator('#map-surface');
    await surface.scrollIntoViewIfNeeded();
    const ids = csvRows(work, 'runs/one/stage1/predictions.csv').map(({ id }) => id);
    await surface.focus();
    const marker = (await page.locator('#map-marker').boundingBox())!;
    await page.keyboard.press('End');
    await page.mouse.move(marker.x + marker.width / 2, marker.y + marker.height / 2);
    const said = await page.locator('#map-text').innerText();
    expect(ids.filter((id) => said.includes(id!))).toHaveLength(1);
  });

  it('plays a recording', async () => {
    const { atSec, durationSec } = await playRecording(page, '#mistakes audio');
    expect(atSec).toBeGreaterThan(0);
    expect(durationSec).toBeGreaterThan(0.5);
  });

  it('has its plots as files that are valid by themselves', async () => {
    const names = readdirSync(work.path('plots'));
    expect(names).toContain('map-labels.svg');
    for (const name of names) {
      const { root, error } = await parseSvg(page, work.read(`plots/${name}`).toString());
      expect([name, root, error]).toEqual([name, 'svg', null]);
    }
  });

  it('complained about nothing, and asked for nothing', () => {
    expect(complaints).toEqual([]);
  });
});

/** @file The timeline page in a real browser: playback, seeking by pointer and keyboard, the picker, themes, widths. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BrowserContextOptions, Page } from 'playwright-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { encodeWav } from '../../src/data/audio/index.js';
import { fileAddress, renderTimeline } from '../../src/report/index.js';
import { timelineData } from '../report/timeline-data.js';
import {
  chromiumFor,
  lowContrastText,
  playRecording,
  unnamedControls,
  useChromium,
} from './report-browser.js';

const chromium = chromiumFor('the timeline in a browser');

describe.runIf(chromium)('the timeline in Chromium', () => {
  const { folder, ...browser } = useChromium(
    chromium!,
    'timeline',
    /^asked for file:.*\/calls\/(?:one|two)\.wav$/,
  );
  const data = timelineData();

  beforeAll(() => {
    mkdirSync(join(folder, 'calls'));
    const tone = Float32Array.from({ length: 24 * 16_000 }, (_, i) => 0.1 * Math.sin(i / 10));
    writeFileSync(join(folder, 'calls/one.wav'), encodeWav(tone, 16_000));
    writeFileSync(join(folder, 'page.html'), renderTimeline(data));
  });

  const open = (options?: BrowserContextOptions): Promise<Page> =>
    browser.open(join(folder, 'page.html'), options);
  const slider = (page: Page, index = 0) => page.locator(`#recording-${index}`).getByRole('slider');
  const said = (page: Page, index = 0): Promise<string> =>
    page.locator(`#recording-${index} [data-window=text]`).innerText();
  const audioSec = (page: Page): Promise<number> =>
    page.locator('#recording-0 audio').evaluate(async (element) => {
      const audio = element as HTMLAudioElement;
      if (audio.readyState === 0) {
        await new Promise((resolve) => audio.addEventListener('loadedmetadata', resolve));
      }
      return audio.currentTime;
    });

  /** Waits until the second recording is known to be missing, which is meant. */
  async function missing(page: Page): Promise<string> {
    const alert = page.locator('#recording-1').getByRole('alert');
    await alert.waitFor();
    browser.allow(/ERR_FILE_NOT_FOUND/);
    return alert.innerText();
  }

  it('shows one recording at a time, with names for all that can be used', async () => {
    const page = await open();
    expect(await page.getByRole('heading', { level: 2 }).allInnerTexts()).toEqual(['calls/one.wav']);
    await page.getByRole('combobox', { name: 'Recording' }).selectOption('calls/two.wav');
    expect(await page.getByRole('heading', { level: 2 }).allInnerTexts()).toEqual(['calls/two.wav']);
    expect(await page.getByRole('img', { name: 'Emotions over time in calls/two.wav' }).isVisible()).toBe(
      true,
    );
    expect(await unnamedControls(page)).toEqual([]);
    await missing(page);
  });

  it('seeks where it is clicked, and says what was found there', async () => {
    const page = await open();
    await audioSec(page);
    const box = (await slider(page).boundingBox())!;
    await slider(page).click({ position: { x: (box.width * 6) / 24, y: 80 } }); // 6 s of 24
    expect(await audioSec(page)).toBeCloseTo(6, 0);
    expect(await said(page)).toMatch(/^0:04\.5 to 0:08\.5: neutral \(neutral 70\.0 %, happy 10\.0 %/);
    await slider(page).click({ position: { x: (box.width * 8.75) / 24, y: 80 } });
    expect(await said(page)).toBe('No window: silence');
    await slider(page).click({ position: { x: (box.width * 11) / 24, y: 80 } });
    expect(await said(page)).toBe('0:09.0 to 0:13.0: no answer. the features are damaged');
    expect(await slider(page).getAttribute('aria-valuenow')).toMatch(/^1[01]\.\d$/);
  });

  it('moves by windows with the keyboard, and from the table', async () => {
    const page = await open();
    await audioSec(page);
    await slider(page).focus();
    for (const [key, sec] of [
      ['ArrowRight', 4.5],
      ['ArrowRight', 9],
      ['ArrowLeft', 4.5],
      ['End', 18],
      ['Home', 0],
    ] as const) {
      await page.keyboard.press(key);
      expect([key, Number(await slider(page).getAttribute('aria-valuenow'))]).toEqual([key, sec]);
      expect(await audioSec(page)).toBeCloseTo(sec, 1);
    }
    await page.getByText('The 5 windows as a table').click();
    await page.getByRole('button', { name: 'Go to 0:13.5' }).click();
    expect(await audioSec(page)).toBeCloseTo(13.5, 1);
    expect(await page.locator('tr[aria-current]').count()).toBe(1);
  });

  it('follows the playback', async () => {
    const page = await open();
    const { atSec, durationSec } = await playRecording(page, '#recording-0 audio');
    expect(durationSec).toBe(24);
    await page.waitForFunction(
      (sec) => Number(document.querySelector('#recording-0 .seek')!.getAttribute('aria-valuenow')) > sec,
      atSec,
    );
    expect(await page.locator('#recording-0 [data-window=text]').getAttribute('aria-live')).toBe('off');
  });

  it('says where a recording should be that is not there', async () => {
    const page = await open();
    await page.getByRole('combobox', { name: 'Recording' }).selectOption('calls/two.wav');
    expect(await missing(page)).toContain('cannot be played from calls/two.wav');
    await slider(page, 1).focus();
    await page.keyboard.press('End');
    expect(await said(page, 1)).toMatch(/^0:31\.5 to 0:35\.5/);
  });

  it('names a recording that is not there as it is called', async () => {
    const path = join(folder, 'odd.html');
    const audio = fileAddress(path, join(folder, 'gone, #1 & 50%.wav'));
    const odd = { name: 'gone', audio, windows: [] };
    writeFileSync(path, renderTimeline({ ...data, recordings: [odd] }));
    browser.allow(/ERR_FILE_NOT_FOUND|^asked for file:.*\/gone/);
    const alert = (await browser.open(path)).getByRole('alert');
    await alert.waitFor();
    expect(await alert.innerText()).toContain('played from gone, #1 & 50%.wav. ');
  });

  it.each([
    ['light', 1280],
    ['dark', 1280],
    ['light', 390],
    ['dark', 390],
  ] as const)('is readable in %s at %d px, and only the plot scrolls', async (colorScheme, width) => {
    const page = await open({ colorScheme, viewport: { width, height: 850 } });
    await page.getByText('The 5 windows as a table').click();
    expect(await page.evaluate(lowContrastText, 60)).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(
      0,
    );
  });

  it('shows every recording on paper and without scripts', async () => {
    const page = await open();
    await page.emulateMedia({ media: 'print' });
    expect(await page.getByRole('heading', { level: 2 }).allInnerTexts()).toEqual([
      'calls/one.wav',
      'calls/two.wav',
    ]);
    expect(await page.locator('audio').first().isVisible()).toBe(false);
    const plain = await open({ javaScriptEnabled: false });
    expect(await plain.getByRole('heading', { level: 2 }).allInnerTexts()).toEqual([
      'calls/one.wav',
      'calls/two.wav',
    ]);
    expect(await plain.getByRole('combobox').count()).toBe(0);
  });
});

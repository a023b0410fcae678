/** @file Drives the system's Chromium for tests of the report and of timelines. */

import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';

/** Only guards against a hang: a busy machine takes long to paint a page. */
const TIME_LIMIT_MS = 600_000;

/** CHROMIUM_PATH if set, else the first of the usual names on the PATH; says what is skipped if there is none. */
export function chromiumFor(what: string): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  const names = ['chromium', 'chromium-browser', 'google-chrome'];
  const candidates = process.env.CHROMIUM_PATH
    ? [process.env.CHROMIUM_PATH]
    : names.flatMap((name) => folders.map((folder) => join(folder, name)));
  const path = candidates.find(isExecutable);
  if (!path) console.log(`skipped: ${what} (there is no Chromium; CHROMIUM_PATH may name one)`);
  return path;
}

/** Chromium for the tests of a block. */
export interface TestBrowser {
  /** A folder for pages; it is deleted after the tests. */
  readonly folder: string;
  /** Opens a page in a fresh context, which is closed after the test. */
  open(path: string, options?: BrowserContextOptions): Promise<Page>;
  /** Complaints that are meant in the test that runs. */
  allow(meant: RegExp): void;
}

/**
 * Starts Chromium before the tests of a block, and closes it after them. A test fails if one of its pages complains, or
 * asks for anything but itself.
 * @param meant complaints that every page may have
 */
export function useChromium(executablePath: string, name: string, meant?: RegExp): TestBrowser {
  const folder = mkdtempSync(join(tmpdir(), `emoq-${name}-`));
  let browser: Browser;
  const complaints: string[] = [];
  const allowed: RegExp[] = [];
  beforeAll(async () => {
    browser = await launchChromium(executablePath);
  });
  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true });
  });
  afterEach(async () => {
    for (const context of browser.contexts()) await context.close();
    const patterns = [...(meant ? [meant] : []), ...allowed.splice(0)];
    const seen = complaints.splice(0);
    expect(seen.filter((complaint) => !patterns.some((pattern) => pattern.test(complaint)))).toEqual([]);
  });
  return {
    folder,
    open: (path, options) => openPage(browser, path, complaints, options),
    allow: (expected) => void allowed.push(expected),
  };
}

/** Headless, with autoplay allowed, and without a sandbox only where root cannot have one. */
export async function launchChromium(executablePath: string): Promise<Browser> {
  const root = process.getuid?.() === 0;
  return chromium.launch({
    executablePath,
    headless: true,
    timeout: TIME_LIMIT_MS,
    chromiumSandbox: !root,
    args: ['--autoplay-policy=no-user-gesture-required'],
  });
}

/**
 * Opens a file in a fresh context.
 * @param complaints gets what the page says to the console, its errors, and every request for anything but itself
 */
export async function openPage(
  browser: Browser,
  path: string,
  complaints: string[],
  options: BrowserContextOptions = {},
): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1100, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(TIME_LIMIT_MS);
  const address = pathToFileURL(path).href;
  page.on('console', (message) => complaints.push(`console: ${message.text()}`));
  page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
  page.on('request', (request) => {
    const url = request.url();
    if (url !== address && !/^(?:data|blob):/.test(url)) complaints.push(`asked for ${url}`);
  });
  await page.goto(address);
  return page;
}

/** Reads text as an SVG document in the page, as strictly as XML is read. */
export function parseSvg(
  page: Page,
  svg: string,
): Promise<{ root: string; error: string | null; ground: string | null }> {
  return page.evaluate((text) => {
    const parsed = new DOMParser().parseFromString(text, 'image/svg+xml');
    return {
      root: parsed.documentElement.localName,
      error: parsed.querySelector('parsererror')?.textContent ?? null,
      ground: parsed.querySelector('svg > rect')?.getAttribute('fill') ?? null,
    };
  }, svg);
}

/** Nothing is cut off at the right, and what is wider than its card scrolls there, with a hint. */
export async function expectFitting(page: Page, width: number): Promise<void> {
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(width);
  const outside = await page.evaluate(() =>
    [...document.querySelectorAll('main *, .summary *')]
      .filter((element) => element.checkVisibility() && !element.closest('.scroll, audio'))
      .filter((element) => element.getBoundingClientRect().right > innerWidth + 0.5)
      .map((element) => element.outerHTML.slice(0, 80)),
  );
  expect(outside).toEqual([]);
  const boxes = await page.evaluate(() =>
    [...document.querySelectorAll<HTMLElement>('.scroll:not(pre)')]
      .filter((box) => box.checkVisibility())
      .map((box) => ({
        isWide: box.scrollWidth > box.clientWidth + 1,
        hint: box.nextElementSibling?.matches('.hint') === true && box.nextElementSibling.checkVisibility(),
      })),
  );
  for (const { isWide, hint } of boxes) expect(hint).toBe(isWide);
}

/** Plots fill their containers, and their text is legible and not too large. @param least how many plots there must be */
export async function expectLegiblePlots(page: Page, least: number): Promise<void> {
  const plots = await page.evaluate(() =>
    [...document.querySelectorAll<SVGSVGElement>('.plot svg')]
      .filter((svg) => svg.checkVisibility())
      .map((svg) => {
        const box = svg.getBoundingClientRect();
        const scale = box.width / svg.viewBox.baseVal.width;
        const sizes = [...svg.querySelectorAll('text')].map(
          (text) => scale * Number.parseFloat(getComputedStyle(text).fontSize),
        );
        const card = svg.closest('.plot')!.parentElement!.getBoundingClientRect();
        return {
          name: svg.closest('figure')!.id,
          fill: box.width / card.width,
          least: Math.min(...sizes),
          largest: Math.max(...sizes),
        };
      }),
  );
  expect(plots.length).toBeGreaterThanOrEqual(least);
  for (const { name, fill, least: smallest, largest } of plots) {
    expect([name, fill > 0.99]).toEqual([name, true]);
    expect([name, smallest >= 8.5 ? 'legible' : smallest]).toEqual([name, 'legible']);
    expect([name, largest <= 22 ? 'not too large' : largest]).toEqual([name, 'not too large']);
  }
}

/** What can be used on the page and has no name for a screen reader. */
export function unnamedControls(page: Page): Promise<string[]> {
  return page.evaluate(() =>
    [...document.querySelectorAll('button, audio, [tabindex="0"]')]
      .filter((element) => !element.getAttribute('aria-label') && !element.textContent?.trim())
      .map((element) => element.outerHTML.slice(0, 80)),
  );
}

/** Plays a recording until it advances; returns its position and duration in seconds. */
export function playRecording(page: Page, selector: string): Promise<{ atSec: number; durationSec: number }> {
  return page
    .locator(selector)
    .first()
    .evaluate(async (element) => {
      const audio = element as HTMLAudioElement;
      await audio.play();
      await new Promise((resolve) => audio.addEventListener('timeupdate', resolve));
      return { atSec: audio.currentTime, durationSec: audio.duration };
    });
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Runs in the page: visible text with a contrast below 4.5:1 (WCAG 2.2, 1.4.3).
 * @param least how many texts there must be to look at
 */
export function lowContrastText(least: number): string[] {
  const channels = (colour: string): number[] => (colour.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = (colour: string): number => {
    const [r, g, b] = channels(colour)
      .slice(0, 3)
      .map((value) =>
        value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4,
      );
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
  };
  /** The fill of a cell under its figure, else the nearest opaque background. */
  const groundOf = (element: Element): string => {
    const cell =
      element.parentElement?.localName === 'g' && element.parentElement.querySelector(':scope > rect');
    if (cell && element.localName === 'text' && element.classList[0]?.startsWith('fill-onRamp')) {
      return getComputedStyle(cell).fill;
    }
    for (let at: Element | null = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (channels(colour)[3] !== 0) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const own = (element: Element): string =>
    [...element.childNodes]
      .map((node) => (node.nodeType === Node.TEXT_NODE ? node.textContent! : ''))
      .join('')
      .trim();
  let seen = 0;
  const faint = [...document.body.querySelectorAll('*')].flatMap((element) => {
    const text = own(element);
    if (text === '' || ['script', 'title', 'desc'].includes(element.localName) || !element.checkVisibility())
      return [];
    seen++;
    const style = getComputedStyle(element);
    const ink = element.localName === 'text' ? style.fill : style.color;
    const [high, low] = [luminance(ink), luminance(groundOf(element))].sort((a, b) => b - a) as [
      number,
      number,
    ];
    const ratio = (high + 0.05) / (low + 0.05);
    return ratio >= 4.5 ? [] : [`${text.slice(0, 30)}: ${ratio.toFixed(2)}`];
  });
  return seen > least ? faint : [`only ${seen} texts were looked at`];
}

/**
 * @file Makes the README's pictures from the demo's run: what `emoq eval` prints before the confusion matrices, as
 * docs/terminal.svg, and the top of its report, as docs/report.png. `make pictures` runs the demo first. Needs Chromium
 * and ffmpeg.
 */

import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const work = join(root, '.cache/pictures');
const COMMAND = ['eval', '--dataset', 'toy4'];

mkdirSync(work, { recursive: true });
const [results] = emoq(...COMMAND).split('\n\nConfusion');
writeFileSync(join(root, 'docs/terminal.svg'), terminal(`$ emoq ${COMMAND.join(' ')}\n${results}`));
const page = join(work, 'report.html');
emoq('report', '--dataset', 'toy4', '--mistakes', '0', '--out', page);
await photograph(page, join(work, 'report.png'), { width: 1280, height: 1330 });
// A picture of few colours is a third of the size with a palette.
const palette = 'split[a][b];[a]palettegen=max_colors=128[p];[b][p]paletteuse=dither=none';
const shot = ['-i', join(work, 'report.png')];
run('ffmpeg', ['-y', '-loglevel', 'error', ...shot, '-vf', palette, 'docs/report.png']);

function run(program, args) {
  return execFileSync(program, args, {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

function emoq(...args) {
  return run(process.execPath, ['bin/emoq.js', ...args]);
}

/** Text as a dark terminal shows it. */
function terminal(text) {
  const lines = text.trimEnd().split('\n');
  const [column, row, margin] = [7.25, 18, 16];
  const width = Math.ceil(2 * margin + column * Math.max(...lines.map((line) => line.length)));
  const height = 2 * margin + row * lines.length;
  const escaped = (line) => line.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`);
  const texts = lines.map((line, i) => {
    const style = i === 0 ? ' fill="#8fd0a0"' : '';
    return `<text x="${margin}" y="${margin + row * (i + 0.75)}" xml:space="preserve"${style}>${escaped(line)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="What emoq eval prints" font-family="ui-monospace, 'DejaVu Sans Mono', 'Liberation Mono', monospace" font-size="12" fill="#e6e8eb">
<rect width="${width}" height="${height}" rx="8" fill="#15181c"/>
${texts.join('\n')}
</svg>
`;
}

async function photograph(html, png, viewport) {
  const names = [process.env.CHROMIUM_PATH, 'chromium', 'chromium-browser', 'google-chrome'];
  const found = names.filter(Boolean).map((name) => {
    try {
      return run('sh', ['-c', `command -v ${name}`]).trim();
    } catch {
      return undefined;
    }
  });
  const executablePath = found.find(Boolean);
  if (executablePath === undefined) throw new Error('there is no Chromium; CHROMIUM_PATH may name one');
  const browser = await chromium.launch({ executablePath, chromiumSandbox: process.getuid?.() !== 0 });
  const shown = await browser.newPage({ viewport, colorScheme: 'light' });
  await shown.goto(pathToFileURL(html).href);
  await shown.screenshot({ path: png });
  await browser.close();
}

/**
 * @file The course of the emotions over recordings, as one HTML file that needs no network. Recordings are not in it,
 * because an hour of them is too large for a page: it plays them from where they are.
 */

import { dirname, relative, resolve, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import { percent } from '../evaluation/index.js';
import { type Block, type Cell, paragraph, section, table, userText } from './blocks.js';
import { blocksHtml, sectionHtml } from './html.js';
import { renderPage } from './page.js';
import { classMark, clockText, countText, escapeText, timelinePlot } from './plots/index.js';

/** A part of a recording, and the answer for it. */
export interface TimelineWindow {
  readonly startSec: number;
  readonly endSec: number;
  /** Null if the window was not judged. */
  readonly label: string | null;
  /** [classes], in the order of the page's labels; null if the window was not judged. */
  readonly probabilities: ArrayLike<number> | null;
  readonly note?: string | undefined;
  readonly error?: string | undefined;
}

export interface TimelineRecording {
  /** As the input names it. */
  readonly name: string;
  /** Address of its audio: see `fileAddress`. Null if there is none to play. */
  readonly audio: string | null;
  /** In order, without overlap. */
  readonly windows: readonly TimelineWindow[];
  /** The answer for the whole. */
  readonly whole?: Pick<TimelineWindow, 'label' | 'probabilities'> | undefined;
  /** End of the recording, if it goes on after the last window. */
  readonly durationSec?: number | undefined;
  readonly note?: string | undefined;
  /** Why there is no answer for it. */
  readonly error?: string | undefined;
}

export interface TimelineData {
  readonly title: string;
  readonly labels: readonly string[];
  readonly recordings: Iterable<TimelineRecording>;
}

const styles = `.timeline{margin-top:1rem}
.timeline .plot{container-type:normal;width:fit-content}
.timeline .plot svg{width:auto;max-width:none;font-size:12px}
.timeline td,.timeline th{white-space:nowrap}
.timeline audio{width:min(100%,46rem);display:block;margin:.5rem 0}
.timeline figure{max-width:none}
.classes{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1rem;padding:0;margin:.5rem 0}
.classes svg{vertical-align:-.1rem;margin-right:.35rem}
.seek{position:absolute;top:0;bottom:0;cursor:pointer;touch-action:pan-x pan-y}
.cursor{position:absolute;top:0;bottom:0;width:2px;margin-left:-1px;background:var(--ink);box-shadow:0 0 0 1px var(--page);pointer-events:none}
.window-text{background:var(--raised);border:1px solid var(--grid);border-radius:.3rem;padding:.4rem .8rem;max-width:46rem;min-height:3.9rem}
.window-text[data-audio=failed]{min-height:0}
tr[aria-current=true]{background:var(--raised)}
label select{font:inherit;max-width:100%;color:var(--ink);background:var(--raised);border:1px solid var(--muted);border-radius:.3rem;padding:.2rem .5rem}
.timeline .scroll:has(table){max-height:24rem}
@media (scripting:none){.picker,.window-text{display:none}.timeline[hidden]{display:block}}
@media print{.picker,.window-text,.seek,.timeline audio{display:none!important}.timeline[hidden]{display:block!important}
.timeline .plot,.timeline .plot svg{width:auto;max-width:100%}.timeline .scroll:has(table){max-height:none}
.timeline details::details-content{content-visibility:visible;block-size:auto}.timeline details{display:block!important}}
`;

/**
 * The page: for each recording a player, the probabilities over time, the label of each window, and all of it as a
 * table. A cursor follows the playback; a click, or a button of the table, moves it.
 */
export function renderTimeline({ title, labels, recordings }: TimelineData): string {
  const all = [...recordings];
  const sections = all.map((recording, index) => recordingSection(recording, index, labels));
  const options = all.map(
    ({ name }, index) => `<option value="recording-${index}">${escapeText(name)}</option>`,
  );
  const picker =
    all.length < 2
      ? ''
      : `<p class="picker"><label>Recording <select id="recordings">${options.join('')}</select></label></p>`;
  const windows = all.reduce((sum, recording) => sum + recording.windows.length, 0);
  return renderPage({
    title,
    kind: 'emoq timeline',
    skip: 'Skip to the recordings',
    lead: blocksHtml([
      paragraph(
        `Speech emotion recognition over time: ${counted(all.length, 'recording')}, ${counted(windows, 'window')}, ${labels.length} classes. Nothing is claimed for the silence between windows.`,
      ),
    ]),
    content: [picker, ...sections].filter((part) => part !== '').join('\n'),
    scripts: ['page-script', 'timeline-script'],
    styles,
    media: "'self' file: data:",
  });
}

function counted(count: number, name: string): string {
  return `${countText(count)} ${name}${count === 1 ? '' : 's'}`;
}

/**
 * The address of a file as seen from a page: relative, so that a folder with both can be moved; absolute if there is no
 * relative path, as between drives.
 */
export function fileAddress(page: string, file: string): string {
  const path = relative(dirname(resolve(page)), resolve(file));
  if (resolve(dirname(resolve(page)), path) !== resolve(file) || /^[A-Za-z]:/.test(path)) {
    return pathToFileURL(file).href;
  }
  return path.split(sep).map(encodeURIComponent).join('/');
}

function recordingSection(recording: TimelineRecording, index: number, labels: readonly string[]): string {
  const { name, audio, windows, whole, note, error } = recording;
  const id = `recording-${index}`;
  const fromSec = Math.min(0, windows[0]?.startSec ?? 0);
  const toSec = Math.max(recording.durationSec ?? 0, windows.at(-1)?.endSec ?? 0);
  const answers = windows.map(({ startSec, endSec, label, probabilities }) => {
    const at = label === null ? -1 : labels.indexOf(label);
    const answer =
      at < 0 || probabilities === null ? null : { label: at, probabilities: Array.from(probabilities) };
    return { startSec, endSec, answer };
  });
  const parts = [
    ...(error ? [paragraph(`No answer: ${error}`, 'note')] : []),
    ...(note ? [paragraph(note, 'note')] : []),
    ...(whole?.label ? [paragraph(wholeText(whole, windows, labels))] : []),
    ...(audio === null ? [] : [screen(player(name, audio))]),
    ...(windows.length === 0
      ? []
      : [
          screen(figureOf(index, name, labels, fromSec, toSec, answers)),
          screen(windowTable(recording, labels)),
        ]),
  ];
  const body = sectionHtml(section(id, name, { width: 'all' }, ...parts));
  return body.replace('class="card', `data-from="${fromSec}" data-to="${toSec}" class="timeline card`);
}

function screen(html: string): Block {
  return { kind: 'screen', html };
}

function wholeText(
  { label, probabilities }: Pick<TimelineWindow, 'label' | 'probabilities'>,
  windows: readonly TimelineWindow[],
  labels: readonly string[],
): string {
  const judged = windows.filter((window) => window.probabilities !== null);
  const sec = judged.reduce((sum, { startSec, endSec }) => sum + endSec - startSec, 0);
  const mean = probabilities ? `: ${sharesText(probabilities, labels)}` : '';
  return `The whole recording is ${label}${mean}. This is the mean of ${counted(judged.length, 'window')} (${clockText(sec)}), weighted by length.`;
}

/** Probabilities in percent, the largest first. */
function sharesText(probabilities: ArrayLike<number>, labels: readonly string[]): string {
  return labels
    .map((label, i) => ({ label, share: probabilities[i]! }))
    .sort((a, b) => b.share - a.share)
    .map(({ label, share }) => `${label} ${percent(share)}\u00a0%`)
    .join(', ');
}

function player(name: string, audio: string): string {
  return `<audio controls preload="none" class="screen-only" aria-label="Recording ${escapeText(name)}" src="${escapeText(audio)}"></audio>
<p class="window-text" data-audio="failed" role="alert" hidden></p>`;
}

function figureOf(
  index: number,
  name: string,
  labels: readonly string[],
  fromSec: number,
  toSec: number,
  answers: Parameters<typeof timelinePlot>[4],
): string {
  const heading = {
    name: `timeline-${index}`,
    title: `Emotions over time in ${name}`,
    description:
      'Probabilities of the classes, stacked, for each window of the recording; below them the label of each window. The table of windows has the same figures.',
  };
  const plot = timelinePlot(heading, labels, fromSec, toSec, answers);
  const isIncomplete = answers.some(({ answer }) => answer === null);
  const marks = labels.map((label, i) => `<li>${classMark(i)}${userText(label)}</li>`);
  const caption = `Probabilities over time, and the label of each window.${isIncomplete ? ' Dashed boxes are windows without an answer.' : ''}`;
  return `<ul class="classes" aria-label="Classes">${marks.join('')}</ul>
<figure id="figure-timeline-${index}">
<div class="scroll"><div class="plot" data-width="${plot.width}" data-left="${plot.left}" data-right="${plot.right}">${plot.svg}</div></div>
<figcaption>${escapeText(caption)}</figcaption>
<button type="button" class="save" data-save="timeline-${index}" aria-label="Save SVG: ${escapeText(heading.title)}">Save SVG</button>
</figure>
<p class="window-text screen-only" data-window="text" role="status" aria-live="polite">Click the plot to hear a window. With the keyboard, arrow keys move to the next and previous window, Home and End to the first and last.</p>`;
}

function windowTable({ name, windows }: TimelineRecording, labels: readonly string[]): string {
  const columns = [
    { name: 'start' },
    { name: 'end', figures: true },
    { name: 'label' },
    ...labels.map((label) => ({ name: `${label} %`, figures: true })),
    { name: 'note' },
  ];
  const rows = windows.map(({ startSec, endSec, label, probabilities, note, error }): Cell[] => [
    {
      html: `<button type="button" data-seek="${startSec}" data-end="${endSec}" aria-label="Go to ${clockText(startSec)}">${clockText(startSec)}</button>`,
      text: clockText(startSec),
    },
    clockText(endSec),
    label ?? 'no answer',
    ...labels.map((_, i) => (probabilities === null ? '–' : percent(probabilities[i]!))),
    [error, note].filter(Boolean).join('; '),
  ]);
  return `<details><summary>The ${counted(windows.length, 'window')} as a table</summary>
${blocksHtml([table(`The windows of ${name}`, columns, rows)])}
</details>`;
}

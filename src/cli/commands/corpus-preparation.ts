/** @file What the preparation commands share: their options, progress, Ctrl-C, and the summary of what was done. */

import { formatDuration } from '../../base/index.js';
import type { ClipFormat, ClipNote, PreparationSummary } from '../../data/corpora/index.js';
import { choice, flag, type OptionsOf, option, wholeNumber } from '../command-definition.js';
import { withInterrupts } from '../interrupt.js';

import { startProgress } from '../progress.js';

import { note, printResult, warn } from '../terminal-output.js';

export const preparationOptions = {
  allowIncomplete: flag('go on although the release differs from what is known, and record it'),
  jobs: option('<n>', 'conversions at a time (default: one for each core)', { parse: wholeNumber(1) }),
  format: choice<ClipFormat>(
    '<format>',
    'of the prepared audio; flac takes about half the space',
    ['wav', 'flac'],
    { default: 'wav' },
  ),
};

type PreparationOptions = OptionsOf<typeof preparationOptions>;

/** What a preparation is passed: how many clips at a time, a listener for progress, a signal to stop. */
interface PreparationControls {
  allowIncomplete: boolean;
  jobs: number | undefined;
  format: ClipFormat;
  onProgress: (done: number, total: number) => void;
  signal: AbortSignal;
}

/** How many single clips are listed before the manifest has to be read. */
const MAX_LISTED = 10;

/** Runs a preparation with progress and prints what it did. Ctrl-C keeps finished clips. */
export async function runPreparation(
  options: PreparationOptions,
  prepare: (controls: PreparationControls) => Promise<PreparationSummary>,
): Promise<void> {
  const progress = startProgress({ label: 'converting', unit: 'clips' });
  const summary = await withInterrupts('finishing the clips in hand', (signal) =>
    prepare({
      allowIncomplete: options.allowIncomplete === true,
      jobs: options.jobs,
      format: options.format,
      onProgress: (done, total) => progress.update(done, total),
      signal,
    }),
  ).finally(progress.finish);
  report(summary);
  await warnOfAudio(summary);
  const { countsTable } = await import('./counts-table.js');
  printResult(countsTable(summary.counts));
  printResult(
    `\n${summary.kept.toLocaleString('en')} utterances, ${formatDuration(summary.durationSec)}: ${summary.manifestPath}`,
  );
}

function report(summary: PreparationSummary): void {
  const { differences } = summary;
  for (const warning of summary.warnings) warn(warning);
  for (const remark of summary.remarks) note(remark);
  for (const difference of differences.slice(0, MAX_LISTED)) warn(difference);
  if (differences.length > MAX_LISTED) {
    warn(`and ${differences.length - MAX_LISTED} more differences, listed in the manifest's JSON`);
  }
  for (const [what, clips] of accountOf(summary)) {
    for (const { id, reason } of clips.slice(0, MAX_LISTED)) note(`${what}: ${id}: ${reason}`);
    const more = clips.length - MAX_LISTED;
    if (more > 0) note(`${what}: and ${more} more, listed in the manifest's JSON`);
  }
  const counts = accountOf(summary).map(([what, { length }]) => `${length.toLocaleString('en')} ${what}`);
  note(`${summary.kept.toLocaleString('en')} kept, of these ${counts.slice(1).join(', ')}; ${counts[0]}`);
  note(
    summary.alreadyDone
      ? 'everything was prepared already; nothing was changed'
      : `converted ${summary.converted.toLocaleString('en')} clips in ${formatDuration(summary.seconds)}${rate(summary)}`,
  );
}

/** One line on the sound of the clips that were kept, and one where another ffmpeg had decoded some of them. */
async function warnOfAudio(summary: PreparationSummary): Promise<void> {
  const { AUDIO_NOTE_KINDS, countByKind } = await import('../../data/audio/index.js');
  const notes = AUDIO_NOTE_KINDS.flatMap((kind) => summary[kind].map(({ id }) => ({ kind, name: id })));
  if (notes.length > 0) warn(`audio: ${countByKind(notes)}; manifest.json has each with its reason`);
  const { decodedAgain } = summary;
  if (decodedAgain === undefined) return;
  const { clips, from, by } = decodedAgain;
  warn(
    `${clips.toLocaleString('en')} clips had been decoded by ffmpeg ${from}; they were decoded again by ffmpeg ${by}, so that all are by one version`,
  );
}

/** What was done to clips beside converting them; those left out come first. */
function accountOf({ skipped, cut, padded, silent }: PreparationSummary): [string, ClipNote[]][] {
  return [
    ['left out', skipped],
    ['cut', cut],
    ['padded', padded],
    ['silent', silent],
  ];
}

function rate({ converted, seconds }: PreparationSummary): string {
  return converted > 0 && seconds > 0 ? ` (${(converted / seconds).toFixed(1)} clips/s)` : '';
}

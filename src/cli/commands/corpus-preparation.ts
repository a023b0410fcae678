/** @file Shared by the preparation commands: options, progress, Ctrl-C, and the summary. */

import { formatDuration } from '../../base/index.js';
import type { ClipFormat, ClipNote, CorpusRecogniser, PreparationSummary } from '../../data/corpora/index.js';
import {
  choice,
  deviceOption,
  flag,
  languageOption,
  type OptionsOf,
  option,
  refuseLoneLanguage,
  wholeNumber,
} from '../command-definition.js';
import { withInterrupts } from '../interrupt.js';

import { startProgress } from '../progress.js';

import { note, printResult, warn } from '../terminal-output.js';

export const preparationOptions = {
  allowIncomplete: flag('accept a release that differs from the known one, and record the differences'),
  jobs: option('<n>', 'parallel conversions (default: one per core)', { parse: wholeNumber(1) }),
  format: choice<ClipFormat>(
    '<format>',
    'format of the prepared audio; flac takes about half the space',
    ['wav', 'flac'],
    { default: 'wav' },
  ),
  transcribe: option(
    '<model>',
    'also write recognised texts, with this model (see emoq transcribe), in a column recognised',
  ),
  language: languageOption,
  device: { ...deviceOption, description: `device of --transcribe: ${deviceOption.description}` },
};

type PreparationOptions = OptionsOf<typeof preparationOptions>;

/** Arguments of a preparation: number of parallel clips, a progress callback, a stop signal. */
interface PreparationControls {
  allowIncomplete: boolean;
  jobs: number | undefined;
  format: ClipFormat;
  recogniser: CorpusRecogniser | undefined;
  onProgress: (done: number, total: number) => void;
  signal: AbortSignal;
}

/** How many clips are listed before referring to the manifest. */
const MAX_LISTED = 10;

/** Runs a preparation with progress and prints a summary. Ctrl-C keeps finished clips. */
export async function runPreparation(
  options: PreparationOptions,
  prepare: (controls: PreparationControls) => Promise<PreparationSummary>,
): Promise<void> {
  let progress = startProgress({ label: 'converting', unit: 'clips' });
  let isRecognising = false;
  const onRecognised = (done: number, total: number): void => {
    if (!isRecognising) {
      progress.finish();
      progress = startProgress({ label: 'recognising', unit: 'clips' });
      isRecognising = true;
    }
    progress.update(done, total);
  };
  const summary = await withInterrupts('finishing the current clips', (signal) =>
    withRecogniser(options, signal, onRecognised, (recogniser) =>
      prepare({
        allowIncomplete: options.allowIncomplete === true,
        jobs: options.jobs,
        format: options.format,
        recogniser,
        onProgress: (done, total) => progress.update(done, total),
        signal,
      }),
    ),
  ).finally(() => progress.finish());
  report(summary);
  await warnOfAudio(summary);
  const { countsTable } = await import('./counts-table.js');
  printResult(countsTable(summary.counts));
  printResult(
    `\n${summary.kept.toLocaleString('en')} utterances, ${formatDuration(summary.durationSec)}: ${summary.manifestPath}`,
  );
}

/** Finds the recogniser that `--transcribe` names before anything is converted. */
async function withRecogniser<T>(
  { transcribe, language, device }: PreparationOptions,
  signal: AbortSignal,
  onProgress: (done: number, total: number) => void,
  work: (recogniser: CorpusRecogniser | undefined) => Promise<T>,
): Promise<T> {
  refuseLoneLanguage({ transcribe, language });
  if (transcribe === undefined) return work(undefined);
  const { corpusRecogniser, namedRecogniser } = await import('../../inference/index.js');
  const { withCompute } = await import('./experiment-options.js');
  const named = await namedRecogniser(transcribe, { beam: 1, language });
  return withCompute(device, signal, {}, (compute) =>
    work(corpusRecogniser(named, compute, { onProgress, onWarning: warn })),
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
      ? 'already prepared; nothing was changed'
      : `converted ${summary.converted.toLocaleString('en')} clips in ${formatDuration(summary.seconds)}${rate(summary)}`,
  );
}

/** A line on audio problems of the kept clips, and one if a different ffmpeg had decoded some of them. */
async function warnOfAudio(summary: PreparationSummary): Promise<void> {
  const { AUDIO_NOTE_KINDS, countByKind } = await import('../../data/audio/index.js');
  const notes = AUDIO_NOTE_KINDS.flatMap((kind) => summary[kind].map(({ id }) => ({ kind, name: id })));
  if (notes.length > 0) warn(`audio: ${countByKind(notes)}; manifest.json has each with its reason`);
  const { decodedAgain } = summary;
  if (decodedAgain === undefined) return;
  const { clips, from, by } = decodedAgain;
  warn(
    `${clips.toLocaleString('en')} clips were decoded by ffmpeg ${from}; they have been decoded again with ffmpeg ${by}, so that all use the same version`,
  );
}

/** How clips were changed besides conversion; skipped ones come first. */
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

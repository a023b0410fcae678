/** @file Prints `emoq stats`: counts, lengths and leakage as tables, or as one JSON object. */

import { formatDuration } from '../../base/index.js';
import {
  type CorpusReport,
  countLabels,
  type Division,
  GROUP_KINDS,
  type GroupStatistics,
  groupStatistics,
  groupUtterances,
  type LeakagePair,
  type LeakageReport,
  type SeenInTraining,
  type SeenShare,
  type SharedItem,
  type SharedItems,
  type Utterance,
} from '../../data/corpora/index.js';
import { percent, textTable } from '../../evaluation/index.js';
import { countsTable } from './counts-table.js';

export function statsObject(report: CorpusReport): object {
  const { name, manifest, labels, utterances, division, unit, divided } = report;
  const { leftOut, unmatched, leakage, seen } = report;
  const counts = countLabels(utterances);
  const all = groupStatistics(utterances);
  const groups = division === undefined ? [] : [...groupUtterances(divided, division)];
  return {
    name,
    manifest: manifest.csvPath,
    manifest_sha256: manifest.sha256,
    ...groupObject(all),
    labels: labels ?? Object.keys(counts.total),
    counts,
    left_out: leftOut,
    left_out_by_id: unmatched,
    divided_by: unit ?? null,
    parts: Object.fromEntries(groups.map(([part, members]) => [part, groupObject(groupStatistics(members))])),
    leakage: {
      audio_files: leakage.audio,
      pairs: leakage.pairs.map((pair) => ({
        seen: pair.seen,
        held_out: pair.heldOut,
        utterances: pair.utterances,
        speakers: itemsObject(pair.speakers),
        dialogues: itemsObject(pair.dialogues),
        texts: itemsObject(pair.texts),
        long_texts: itemsObject(pair.longTexts),
        passages: itemsObject(pair.passages),
        audio: itemsObject(pair.audio),
      })),
    },
    seen_in_training: seen.map((part) => ({
      held_out: part.heldOut,
      utterances: part.utterances,
      ...part.kinds,
    })),
  };
}

function groupObject({ utterances, speakers, durationSec, lengthSec }: GroupStatistics): object {
  return {
    utterances,
    duration_sec: Number(durationSec.toFixed(4)),
    speakers,
    length_sec: lengthSec ?? null,
  };
}

function itemsObject({ count, utterances, examples }: SharedItems): object {
  return {
    count,
    utterances,
    examples: examples.map(({ what, seen, heldOut }) => ({ what, seen, held_out: heldOut })),
  };
}

export function statsText(report: CorpusReport): string {
  const { name, manifest, labels, utterances, divided, division, unit = '', leakage, seen } = report;
  const counts = countLabels(divided);
  const shown = division === 'session' ? { ...counts, split: undefined } : counts;
  const { speakers, durationSec } = groupStatistics(utterances);
  const parts = [
    `${utterances.length.toLocaleString('en')} utterances`,
    ...(durationSec > 0 ? [formatDuration(durationSec)] : []),
    ...(speakers > 0 ? [`${speakers.toLocaleString('en')} speakers`] : []),
  ];
  return [
    countsTable(shown, labels, unit),
    `${name}: ${parts.join(', ')} (${manifest.csvPath})`,
    lengthsTable(divided, division, unit),
    leakageText(leakage, unit),
    ...seenTable(seen),
  ].join('\n\n');
}

/** Speakers and, if known, hours and lengths in seconds. */
function lengthsTable(
  utterances: readonly Utterance[],
  division: Division | undefined,
  unit: string,
): string {
  const groups = division === undefined ? [] : [...groupUtterances(utterances, division)];
  const parts = [...groups, ['total', utterances] as const].map(([part, members]) => ({
    name: part || '(none)',
    ...groupStatistics(members),
  }));
  if (parts.at(-1)!.lengthSec === undefined) {
    return textTable(
      [unit, 'speakers'],
      parts.map(({ name, speakers }) => [name, String(speakers)]),
    );
  }
  const rows = parts.map(({ name, speakers, durationSec, lengthSec }) => {
    const lengths = lengthSec ? Object.values(lengthSec).map((sec: number) => sec.toFixed(2)) : UNKNOWN;
    return [name, String(speakers), (durationSec / 3600).toFixed(2), ...lengths];
  });
  const header = ['speakers', 'hours', 'shortest s', '25 %', 'median', '75 %', '95 %', 'longest s'];
  return textTable([unit, ...header], rows);
}

/** The cells of a part without lengths. */
const UNKNOWN = Array<string>(6).fill('?');

function leakageText({ division, pairs, audio }: LeakageReport, unit: string): string {
  if (division === undefined)
    return 'There are neither splits nor sessions, so there is no leakage to check.';
  if (pairs.length === 0) return `One ${unit} only, so there is no leakage to check.`;
  const cell = ({ count, utterances }: SharedItems): string =>
    count === 0 ? '0' : `${count.toLocaleString('en')} (${utterances.toLocaleString('en')})`;
  // Most corpora are no conversations, and others have dialogues in one part each.
  const shared = pairs.some(({ dialogues }) => dialogues.count > 0);
  const rows = pairs.map((pair) => [
    `${pair.seen} and ${pair.heldOut}`,
    cell(pair.speakers),
    ...(shared ? [cell(pair.dialogues)] : []),
    ...[pair.texts, pair.longTexts, pair.passages].map(cell),
    audio.compared === 0 && pair.audio.count === 0 ? '?' : cell(pair.audio),
  ]);
  const unread = audio.missing > 0 ? [`${missingFiles(audio.missing)} and not compared.`] : [];
  const table = textTable(
    [
      ...['in common (utterances)', 'speakers', ...(shared ? ['dialogues'] : [])],
      ...['texts', '5+ words', 'passages', 'audio'],
    ],
    rows,
  );
  return [table, [...pairs.flatMap(exampleLines), ...unread].join('\n')]
    .filter((part) => part !== '')
    .join('\n\n');
}

/** Share of each held-out part that training has seen, by the kinds that the corpus has; empty if it has none. */
function seenTable(parts: readonly SeenInTraining[]): string[] {
  const kinds = GROUP_KINDS.filter((kind) => parts.some((part) => part.kinds[kind] !== null));
  if (kinds.length === 0) return [];
  const cell = (share: SeenShare | null): string =>
    share === null ? '?' : `${share.utterances.toLocaleString('en')} (${percent(share.share)} %)`;
  const rows = parts.map(({ heldOut, utterances, kinds: shares }) => [
    `${heldOut} of ${utterances.toLocaleString('en')}`,
    ...kinds.map((kind) => cell(shares[kind])),
  ]);
  return [textTable(['seen in training', ...kinds], rows)];
}

/** `1 audio file is missing`, `2 audio files are missing`. */
export function missingFiles(count: number): string {
  return `${count.toLocaleString('en')} audio ${count === 1 ? 'file is' : 'files are'} missing`;
}

/** How many examples of a kind are printed; `--json` lists more. */
const SHOWN = 3;

function exampleLines(pair: LeakagePair): string[] {
  const { seen, heldOut, speakers, dialogues, longTexts, passages, audio } = pair;
  const where = `${seen} and ${heldOut}`;
  const first = ({ examples }: SharedItems): SharedItem[] => examples.slice(0, SHOWN);
  const more = ({ count }: SharedItems): string => (count > SHOWN ? `, and ${count - SHOWN} more` : '');
  const namesOf = (items: SharedItems): string =>
    `${first(items)
      .map(({ what }) => what)
      .join(', ')}${more(items)}`;
  return [
    ...(speakers.count > 0 ? [`${where}: speakers ${namesOf(speakers)}`] : []),
    ...(dialogues.count > 0 ? [`${where}: dialogues ${namesOf(dialogues)}`] : []),
    ...first(passages).map(
      (passage) =>
        `${where}: passage ${span(passage.seen)} = ${span(passage.heldOut)}: "${brief(passage.what)}"`,
    ),
    ...(passages.count > 0
      ? []
      : first(longTexts).map(
          (text) => `${where}: text ${text.seen[0]} = ${text.heldOut[0]}: "${brief(text.what)}"`,
        )),
    ...first(audio).map((recording) => `${where}: audio ${recording.seen[0]} = ${recording.heldOut[0]}`),
  ];
}

function span(ids: readonly string[]): string {
  return ids.length === 1 ? ids[0]! : `${ids[0]} to ${ids.at(-1)}`;
}

function brief(words: string): string {
  return words.length > 60 ? `${words.slice(0, 60).trimEnd()} ...` : words;
}

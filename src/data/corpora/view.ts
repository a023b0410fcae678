/** @file Views of a corpus: one preparation, many label sets, parts and readings of its transcripts. */

import { stat } from 'node:fs/promises';
import { InputError, lineError, mapConcurrently } from '../../base/index.js';
import { labelWarnings } from './label-spellings.js';
import type { Manifest, Utterance } from './manifest.js';
import type { LabelCounts } from './manifest-info.js';
import { withoutTags } from './transcripts.js';

/** Which labels and utterances to work on, and what is merged or taken out first. */
export interface CorpusView {
  /** The classes, in the order of the outputs. */
  labels: readonly string[];
  /** Corpus label -> class, e.g. excited -> happy. Labels that are not named stay as they are. */
  labelMap?: Readonly<Record<string, string>> | undefined;
  /** Regular expression: only utterances whose id matches, e.g. `_impro` for IEMOCAP's improvised speech. */
  idPattern?: string | undefined;
  /** Take what stands in square brackets ([LAUGHTER], [BREATHING]) out of the transcripts. */
  stripTags?: boolean | undefined;
  /** What to do with utterances outside the set: leave them out (default), or refuse. */
  outside?: 'drop' | 'error' | undefined;
}

export interface SelectedUtterances {
  /** In the manifest's order, `label` already mapped. */
  utterances: Utterance[];
  /** Utterances with another label that were left out, by the label that the corpus gives them. */
  dropped: LabelCounts;
  /** How many have an id that the pattern does not match. */
  unmatched: number;
  /** A line for labels that are left out, or apart, because of their spelling alone. */
  warnings: string[];
}

/**
 * The utterances of a view: MELD's seven emotions as four, IEMOCAP's excited merged into happy, its improvised part.
 * @throws InputError when the map leads outside the set, when nothing remains, and (with `outside: 'error'`) at the
 *   first utterance outside the set, with its line.
 */
export function selectUtterances(manifest: Manifest, view: CorpusView): SelectedUtterances {
  const map = new Map(Object.entries(view.labelMap ?? {}));
  const classes = new Set(view.labels);
  for (const [from, to] of map) {
    if (!classes.has(to)) {
      throw new InputError(
        `label map: ${from} becomes "${to}", which is not a label of the set (${view.labels.join(', ')})`,
      );
    }
  }
  const pattern = view.idPattern === undefined ? undefined : new RegExp(view.idPattern, 'u');
  const matched = pattern ? manifest.utterances.filter(({ id }) => pattern.test(id)) : manifest.utterances;
  if (matched.length === 0) {
    throw new InputError(
      `${manifest.csvPath}: no utterance has an id that matches id_pattern "${view.idPattern}"; the first id is ${manifest.utterances[0]!.id}`,
    );
  }
  const utterances: Utterance[] = [];
  const dropped = new Map<string, number>();
  for (const utterance of matched) {
    const label = map.get(utterance.label) ?? utterance.label;
    const text = view.stripTags ? withoutTags(utterance.text) : utterance.text;
    if (classes.has(label)) utterances.push({ ...utterance, label, text });
    else if (view.outside === 'error') {
      throw lineError(
        manifest.csvPath,
        manifest.lineOf.get(utterance.id),
        `label "${utterance.label}" is not in the set (${view.labels.join(', ')}); add it to labels, map it with labelMap, or let such utterances be dropped`,
      );
    } else dropped.set(utterance.label, (dropped.get(utterance.label) ?? 0) + 1);
  }
  if (utterances.length === 0) {
    const found = Object.keys(manifest.info.counts.total).join(', ');
    throw new InputError(
      `${manifest.csvPath}: no utterance has a label of the set (${view.labels.join(', ')}); its labels are ${found}`,
    );
  }
  return {
    utterances,
    dropped: Object.fromEntries(dropped),
    unmatched: manifest.utterances.length - matched.length,
    warnings: labelWarnings(dropped, view.labels, map),
  };
}

/** @throws InputError for the first utterance that has no audio, as in a corpus of transcripts alone, with its line. */
export function requireAudio(
  { csvPath, lineOf }: Manifest,
  utterances: readonly Utterance[],
  remedy: string,
): void {
  const first = utterances.find(({ path }) => path === '');
  if (first === undefined) return;
  throw lineError(
    csvPath,
    lineOf.get(first.id),
    `utterance ${first.id} has no audio: it is a corpus of transcripts alone; ${remedy}`,
  );
}

/** @throws InputError for the first utterance whose audio is missing or empty, with line and path; those that have none are passed over. */
export async function checkAudioFiles(
  manifest: Manifest,
  utterances: readonly Utterance[] = manifest.utterances,
): Promise<void> {
  const heard = utterances.filter(({ path }) => path !== '');
  const sizes = await mapConcurrently(heard, 32, async ({ path }) =>
    stat(path).then(
      (file) => (file.isFile() ? file.size : -1),
      () => -1,
    ),
  );
  const bad = sizes.flatMap((size, index) => (size > 0 ? [] : [index]));
  const first = heard[bad[0] ?? -1];
  if (!first) return;
  const what = sizes[bad[0]!] === 0 ? 'is empty' : 'does not exist';
  const more = bad.length > 1 ? ` (and ${bad.length - 1} more like it)` : '';
  throw lineError(
    manifest.csvPath,
    manifest.lineOf.get(first.id),
    `audio ${first.path} ${what}${more}; prepare the corpus again`,
  );
}

/** Utterances of each label, in label order. */
export function labelCounts(utterances: readonly Utterance[], labels: readonly string[]): number[] {
  return labels.map((label) => utterances.filter((utterance) => utterance.label === label).length);
}

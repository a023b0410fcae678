/** @file Any corpus from a CSV: path and label, and what else is known. */

import { dirname, resolve } from 'node:path';
import { InputError, sha256Of } from '../../base/index.js';
import type { ChannelChoice } from '../audio/index.js';
import { refuseLookAlikes } from './csv-columns.js';
import { type CsvRecording, findSources, readRecordings } from './csv-recordings.js';
import { readCsvTable } from './csv-table.js';
import { mapLabels } from './label-map.js';
import type { Utterance } from './manifest.js';
import {
  type CorpusPlan,
  type PreparationOptions,
  type PreparationSummary,
  prepareCorpus,
} from './preparation.js';
import { assignFolds, assignSplits, type SplitOptions, type SplitUnit } from './splits.js';

export interface CsvCorpusOptions extends PreparationOptions, Omit<SplitOptions, 'unit'> {
  /** A CSV with `path` and `label`, and others where they are known: see docs/adding-a-corpus.md. */
  file: string;
  /** Name of the corpus. */
  name: string;
  /** Label of the CSV -> label of the corpus; others stay as they are. */
  labelMap?: Readonly<Record<string, string>> | undefined;
  /** Of every recording for which the CSV does not choose. */
  channel?: ChannelChoice | undefined;
  /** Make this many speaker-independent folds (sessions) instead of splits. */
  folds?: number | undefined;
  /** Let a speaker be in two splits, as some corpora publish them. */
  allowSharedSpeakers?: boolean | undefined;
}

/** Columns that may stand beside `path` and `label`. */
const OPTIONAL_COLUMNS = [
  ...['id', 'text', 'speaker', 'gender', 'session', 'split'],
  ...['start', 'end', 'channel'],
];

/** File systems take names of 255 bytes; an ending and a temporary suffix come on top. */
const LONGEST_NAME_BYTES = 200;

/**
 * Prepares a corpus from a CSV. Paths are relative to the CSV (or absolute); the audio is converted into the corpus
 * folder, cut out from `start` to `end` where the CSV says so. Without a split and a session column, splits are made
 * by speaker from the seed, or folds where asked.
 * @throws InputError with file and line: a missing or misnamed column, an empty path or label, missing audio, a
 *   segment that ends before it starts or after its recording, an unknown split, two utterances of one id, a speaker
 *   in two splits, clips that cannot be decoded (missing and broken audio unless `allowIncomplete`).
 */
export async function prepareCsv(options: CsvCorpusOptions): Promise<PreparationSummary> {
  if (!/^[\p{L}\p{N}][\p{L}\p{N} ._-]*$/u.test(options.name)) {
    throw new InputError(
      `corpus name "${options.name}" must be letters, digits, spaces, dots, dashes and underscores`,
    );
  }
  return prepareCorpus(await planCsv(options), options);
}

async function planCsv(options: CsvCorpusOptions): Promise<CorpusPlan> {
  const { file, name, labelMap = {} } = options;
  const { columns, rows } = await readCsvTable(file, ['path', 'label']);
  refuseLookAlikes(file, columns, OPTIONAL_COLUMNS);
  const recordings = readRecordings(file, rows);
  const read = recordings.map(({ utterance }) => utterance);
  const utterances = divide(file, recordings, mapLabels(read, labelMap), options);
  const renamed = Object.entries(labelMap).map(([from, to]) => `${from} as ${to}`);
  const plan: CorpusPlan = {
    name,
    source: [`prepared from a CSV of ${rows.length} utterances`, ...renamed].join(', '),
    root: file,
    planned: [],
    skipped: [],
    differences: [],
    knownBad: new Map(),
  };
  const sources = await findSources(file, recordings);
  for (const [index, { path: _, durationSec: __, ...utterance }] of utterances.entries()) {
    const { line, path, segment, channel = options.channel } = recordings[index]!;
    const { id } = utterance;
    const source = sources[index];
    if (source !== undefined) {
      const target = `audio/${fileName(id)}.wav`;
      plan.planned.push({ utterance, clip: { id, source, target, segment, channel } });
    } else {
      plan.skipped.push({ id, reason: 'clip missing' });
      plan.differences.push(`line ${line}: ${resolve(dirname(file), path)} does not exist`);
    }
  }
  return plan;
}

/** Splits and folds: the CSV's own, or made by speaker. */
function divide(
  file: string,
  recordings: readonly CsvRecording[],
  utterances: Utterance[],
  options: CsvCorpusOptions,
): Utterance[] {
  const { folds, seed, allowSharedSpeakers } = options;
  const lineOf = new Map(recordings.map(({ utterance, line }) => [utterance.id, line]));
  const unsplit = utterances.filter(({ split }) => split === '');
  if (unsplit.length > 0 && unsplit.length < utterances.length) {
    throw new InputError(
      `${file}, line ${lineOf.get(unsplit[0]!.id)}: split is empty while other lines have one`,
    );
  }
  const hasSplits = unsplit.length === 0;
  const hasSessions = utterances.some(({ session }) => session !== '');
  if (hasSplits && !allowSharedSpeakers) refuseSharedSpeakers(file, utterances, 'split', lineOf);
  if (hasSessions && folds !== undefined) {
    throw new InputError(
      `${file}: its column "session" says what the folds are; leave out --folds, or take the column out`,
    );
  }
  if (hasSessions && !hasSplits && !allowSharedSpeakers) {
    refuseSharedSpeakers(file, utterances, 'session', lineOf);
  }
  const unit = unitOf(recordings);
  if (folds !== undefined) return assignFolds(utterances, folds, seed, unit);
  return hasSplits || hasSessions ? utterances : assignSplits(utterances, { ...options, unit });
}

/** Speakers; where none is known, recordings that several utterances are cut from, so that those stay whole. */
function unitOf(recordings: readonly CsvRecording[]): SplitUnit | undefined {
  if (recordings.some(({ utterance }) => utterance.speaker !== '')) return undefined;
  const pathOf = new Map(recordings.map(({ utterance, path }) => [utterance.id, path]));
  if (new Set(pathOf.values()).size === recordings.length) return undefined;
  return { name: 'recording', of: ({ id }) => pathOf.get(id)! };
}

function refuseSharedSpeakers(
  file: string,
  utterances: readonly Utterance[],
  part: 'split' | 'session',
  lineOf: ReadonlyMap<string, number>,
): void {
  const first = new Map<string, Utterance>();
  for (const utterance of utterances) {
    const { id, speaker } = utterance;
    if (speaker === '') continue;
    const other = first.get(speaker);
    if (!other) first.set(speaker, utterance);
    else if (other[part] !== utterance[part]) {
      throw new InputError(
        `${file}, line ${lineOf.get(id)}: speaker "${speaker}" is in ${part} ${utterance[part]} here and in ${part} ${other[part]} on line ${lineOf.get(other.id)}; ${part}s must not share speakers (--allow-shared-speakers lets them)`,
      );
    }
  }
}

/** An id may hold anything; a file name may not climb, hide or be longer than file systems take. */
function fileName(id: string): string {
  const name = id.replace(/[/\\:*?"<>|\p{Cc}]/gu, '_').replace(/^\./, '_');
  if (Buffer.byteLength(name) <= LONGEST_NAME_BYTES) return name;
  return `${[...name].slice(0, 40).join('')}_${sha256Of(id).slice(0, 16)}`;
}

/** @file Any corpus from a CSV: path and label, and what else is known. */

import { stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { InputError } from '../../base/index.js';
import { mapConcurrently } from '../audio/index.js';
import { type CsvRow, readCsvTable } from './csv-table.js';
import type { Utterance } from './manifest.js';
import {
  type CorpusPlan,
  type PreparationOptions,
  type PreparationSummary,
  prepareCorpus,
} from './preparation.js';
import { assignFolds, assignSplits, type SplitOptions } from './splits.js';

export interface CsvCorpusOptions extends PreparationOptions, SplitOptions {
  /** A CSV with `path` and `label`; `id`, `text`, `speaker`, `gender`, `session`, `split` where known. */
  file: string;
  /** Name of the corpus. */
  name: string;
  /** Make this many speaker-independent folds (sessions) instead of splits. */
  folds?: number | undefined;
  /** Let a speaker be in two splits, as some corpora publish them. */
  allowSharedSpeakers?: boolean | undefined;
}

const SPLIT_NAMES: Readonly<Record<string, string>> = {
  train: 'train',
  dev: 'dev',
  valid: 'dev',
  validation: 'dev',
  test: 'test',
};

/**
 * Prepares a corpus from a CSV. Paths are relative to the CSV (or absolute); the audio is converted into the corpus
 * folder. Without a split and a session column, splits are made by speaker from the seed, or folds where asked.
 * @throws InputError with file and line: a missing column, an empty path or label, missing audio, an unknown split,
 *   two utterances of one id, a speaker in two splits, clips that cannot be decoded (unless `allowIncomplete`).
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
  const { file, name } = options;
  const { rows } = await readCsvTable(file, ['path', 'label']);
  const folder = resolve(dirname(file));
  const prefix = commonFolder(rows.map(({ fields }) => fields.path!));
  const sources = new Map<string, string>();
  const lineOf = new Map<string, number>();
  const read = rows.map((row) => {
    const { source, utterance } = readRow(file, folder, prefix, row);
    const earlier = lineOf.get(utterance.id);
    if (earlier !== undefined) {
      throw new InputError(
        `${file}, line ${row.line}: id "${utterance.id}" is on line ${earlier} already; add a column "id" with unique values`,
      );
    }
    lineOf.set(utterance.id, row.line);
    sources.set(utterance.id, source);
    return utterance;
  });
  const utterances = divide(file, read, lineOf, options);
  const plan: CorpusPlan = {
    name,
    source: `prepared from a CSV of ${rows.length} utterances`,
    root: file,
    planned: [],
    skipped: [],
    differences: [],
    knownBad: new Map(),
  };
  const present = await mapConcurrently(utterances, 32, ({ id }) => isFile(sources.get(id)!));
  for (const [index, { path: _path, durationSec: _durationSec, ...utterance }] of utterances.entries()) {
    const { id } = utterance;
    const source = sources.get(id)!;
    if (present[index]) {
      plan.planned.push({ utterance, clip: { id, source, target: `audio/${fileName(id)}.wav` } });
    } else {
      plan.skipped.push({ id, reason: 'clip missing' });
      plan.differences.push(`line ${lineOf.get(id)}: ${source} does not exist`);
    }
  }
  return plan;
}

function readRow(
  file: string,
  folder: string,
  prefix: string,
  { line, fields }: CsvRow,
): { source: string; utterance: Utterance } {
  const path = fields.path!;
  const known = (column: string): string => fields[column]?.trim() ?? '';
  for (const column of ['path', 'label', ...('id' in fields ? ['id'] : [])]) {
    if (known(column) === '') throw new InputError(`${file}, line ${line}: column "${column}" is empty`);
  }
  const split = known('split') === '' ? '' : SPLIT_NAMES[known('split').toLowerCase()];
  if (split === undefined) {
    throw new InputError(
      `${file}, line ${line}: split "${known('split')}" is not one of ${Object.keys(SPLIT_NAMES).join(', ')}`,
    );
  }
  return {
    source: isAbsolute(path) ? path : join(folder, path),
    utterance: {
      id: known('id') || idFromPath(path.slice(prefix.length)),
      path: '',
      text: fields.text?.trim() ?? '',
      label: known('label'),
      speaker: known('speaker'),
      gender: known('gender'),
      session: known('session'),
      split,
      durationSec: 0,
    },
  };
}

/** Splits and folds: the CSV's own, or made by speaker. */
function divide(
  file: string,
  utterances: Utterance[],
  lineOf: ReadonlyMap<string, number>,
  options: CsvCorpusOptions,
): Utterance[] {
  const unsplit = utterances.filter(({ split }) => split === '');
  if (unsplit.length > 0 && unsplit.length < utterances.length) {
    throw new InputError(
      `${file}, line ${lineOf.get(unsplit[0]!.id)}: split is empty while other lines have one`,
    );
  }
  if (options.folds !== undefined) return assignFolds(utterances, options.folds, options.seed);
  if (unsplit.length > 0) {
    const hasSessions = utterances.some(({ session }) => session !== '');
    return hasSessions ? utterances : assignSplits(utterances, options);
  }
  if (!options.allowSharedSpeakers) {
    const first = new Map<string, Utterance>();
    for (const utterance of utterances) {
      const { id, speaker, split } = utterance;
      const other = first.get(speaker);
      if (speaker !== '' && other && other.split !== split) {
        throw new InputError(
          `${file}, line ${lineOf.get(id)}: speaker "${speaker}" is in split ${split} here and in split ${other.split} on line ${lineOf.get(other.id)}; splits must not share speakers`,
        );
      }
      if (!other) first.set(speaker, utterance);
    }
  }
  return utterances;
}

/** Leading folders that all paths share say nothing about an utterance. */
function commonFolder(paths: readonly string[]): string {
  const folders = paths.map((path) => path.slice(0, path.lastIndexOf('/') + 1));
  let prefix = folders[0] ?? '';
  for (const folder of folders) {
    while (!folder.startsWith(prefix))
      prefix = prefix.slice(0, prefix.lastIndexOf('/', prefix.length - 2) + 1);
  }
  return prefix;
}

function idFromPath(path: string): string {
  return path.replace(/\.[^./]*$/, '').replace(/[/\\]+/g, '_');
}

/** An id may hold anything; a file name may not climb or hide. */
function fileName(id: string): string {
  return id.replace(/[/\\:*?"<>|\p{Cc}]/gu, '_').replace(/^\./, '_');
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (file) => file.isFile(),
    () => false,
  );
}

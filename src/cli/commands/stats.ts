/** @file `emoq stats`: what a prepared corpus holds, as it is or as a recipe sees it. */

import type { Command } from 'commander';
import type { CorpusCounts, LabelCounts, Utterance } from '../../data/corpora/index.js';
import { addCorpusOptions, type CorpusOptions, recipeOfOptions } from '../options.js';
import { note, printJson, printResult } from '../output.js';
import { formatDuration } from '../progress.js';
import { countsTable } from './counts-table.js';

export interface StatsOptions extends CorpusOptions {
  readonly json?: true;
}

interface CorpusView {
  readonly name: string;
  readonly labels: readonly string[] | undefined;
  readonly utterances: readonly Utterance[];
  /** Utterances that the recipe leaves out, by label. */
  readonly leftOut: LabelCounts;
}

export function declare(command: Command): void {
  addCorpusOptions(command)
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
With --dataset or --recipe the counts are of the recipe's classes; with
--manifest alone, of all labels.

Example:
  emoq stats --dataset toy4`,
    );
}

export async function run(options: StatsOptions): Promise<void> {
  const { countLabels, readManifest, selectUtterances } = await import('../../data/corpora/index.js');
  const plain =
    options.manifest !== undefined && options.recipe === undefined && options.dataset === undefined;
  const recipe = plain ? undefined : await recipeOfOptions(options);
  const manifest = await readManifest(recipe?.manifest ?? options.manifest!);
  const selected =
    recipe && selectUtterances(manifest, { labels: recipe.labels, labelMap: recipe.label_map });
  const view: CorpusView = {
    name: recipe?.name ?? manifest.name,
    labels: recipe?.labels,
    utterances: selected?.utterances ?? manifest.utterances,
    leftOut: selected?.dropped ?? {},
  };
  const counts = countLabels(view.utterances as Utterance[]);
  if (options.json) printJson(statsObject(view, counts, manifest.csvPath, manifest.sha256));
  else printStats(view, counts, manifest.csvPath);
}

function statsObject(view: CorpusView, counts: CorpusCounts, manifest: string, sha256: string): object {
  const { name, labels, utterances, leftOut } = view;
  return {
    name,
    manifest,
    manifest_sha256: sha256,
    utterances: utterances.length,
    duration_sec: Number(totalSec(utterances).toFixed(4)),
    speakers: speakersOf(utterances),
    labels: labels ?? Object.keys(counts.total),
    counts,
    left_out: leftOut,
  };
}

function printStats(
  { name, labels, utterances, leftOut }: CorpusView,
  counts: CorpusCounts,
  path: string,
): void {
  const speakers = speakersOf(utterances);
  const parts = [
    `${utterances.length.toLocaleString('en')} utterances`,
    ...(totalSec(utterances) > 0 ? [formatDuration(totalSec(utterances))] : []),
    ...(speakers > 0 ? [`${speakers.toLocaleString('en')} speakers`] : []),
  ];
  printResult(`${countsTable(counts, labels)}\n\n${name}: ${parts.join(', ')} (${path})`);
  const left = Object.entries(leftOut).map(([label, count]) => `${label} ${count}`);
  if (left.length > 0) note(`left out by the recipe: ${left.join(', ')}`);
}

function totalSec(utterances: readonly Utterance[]): number {
  return utterances.reduce((total, { durationSec }) => total + durationSec, 0);
}

function speakersOf(utterances: readonly Utterance[]): number {
  return new Set(utterances.map(({ speaker }) => speaker).filter((speaker) => speaker !== '')).size;
}

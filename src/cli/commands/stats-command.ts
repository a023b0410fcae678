/** @file `emoq stats`: what a prepared corpus holds, as it is or as a recipe sees it, and what leaks into its test. */

import { InvalidArgumentError } from 'commander';
import { ExitCode } from '../../base/index.js';
import type { LeakageKind, LeakageReport } from '../../data/corpora/index.js';
import type { Recipe } from '../../systems/index.js';
import { corpusOptions, defineCommand, flag, option, recipeOfOptions } from '../command-definition.js';
import { note, printJson, printResult, warn } from '../terminal-output.js';

/** Kinds of leakage that make the command fail; true is every kind. */
type FailOn = true | readonly LeakageKind[];

const KINDS = ['speakers', 'texts', 'passages', 'audio'] as const satisfies readonly LeakageKind[];

export const statsCommand = defineCommand({
  options: {
    ...corpusOptions,
    json: flag('print one JSON object'),
    failOnLeakage: option(
      '[kinds]',
      'exit code 1 where parts have these in common: speakers, texts, passages, audio (default: any)',
      { parse: parseKinds },
    ),
  },
  help: `
Counts, lengths, and what a test set has in common with what is seen before it:
speakers, texts (the same words), passages (the same words over several
utterances) and audio (the same bytes); and what share of it is of speakers,
sessions, episodes and dialogues that training has too. With --dataset or --recipe
all of it is of the recipe's utterances and classes; with --manifest alone (and no
--set), of all.

Example:
  emoq stats --dataset toy4`,
  run: async (options) => {
    const { corpusReport } = await import('../../data/corpora/index.js');
    const { missingFiles, statsObject, statsText } = await import('./stats-report.js');
    const { dataset, recipe: path, set } = options;
    const plain =
      options.manifest !== undefined && path === undefined && dataset === undefined && set === undefined;
    const recipe = plain ? undefined : await recipeOfOptions(options);
    const report = await corpusReport(
      recipe?.manifest ?? options.manifest!,
      recipe && (await viewOf(recipe)),
    );
    const { manifest, leakage } = report;
    if (options.json) printJson(statsObject(report));
    else {
      printResult(statsText(report));
      const left = Object.entries(report.leftOut).map(([label, count]) => `${label} ${count}`);
      if (left.length > 0) note(`left out by the recipe: ${left.join(', ')}`);
      if (manifest.prepared && manifest.name === 'meld' && manifest.info.episodes === undefined)
        note(
          'manifest.json does not have the episodes, as it was prepared by an earlier version; run prepare-meld again',
        );
      if (report.unmatched > 0) note(`left out by the recipe's id_pattern: ${report.unmatched}`);
    }
    for (const warning of report.warnings) warn(warning);
    if (manifest.splitNote !== undefined) note(manifest.splitNote);
    if (options.failOnLeakage === undefined) return;
    const found = leaksOf(leakage, options.failOnLeakage);
    if (found.length > 0) warn(`leakage: ${found.join('; ')}`);
    else if (asks(options.failOnLeakage, 'audio') && leakage.audio.missing > 0) {
      warn(`${missingFiles(leakage.audio.missing)}, so whether audio leaks is not known`);
    } else return;
    process.exitCode = ExitCode.failed;
  },
});

async function viewOf(recipe: Recipe) {
  const { corpusViewOf } = await import('../../recipe/index.js');
  return {
    name: recipe.name,
    view: { ...corpusViewOf(recipe), labels: recipe.labels },
    bySession: recipe.folds === 'session',
  };
}

/** The leaks of the kinds that are asked for, in words. */
function leaksOf({ pairs }: LeakageReport, kinds: FailOn): string[] {
  return pairs.flatMap((pair) => {
    // A greeting that somebody else has said before is no leak; a sentence is.
    const found = { ...pair, texts: pair.longTexts };
    const leaks = KINDS.filter((kind) => asks(kinds, kind) && found[kind].count > 0);
    return leaks.map((kind) => `${kind} in ${pair.seen} and ${pair.heldOut}`);
  });
}

function asks(kinds: FailOn, kind: LeakageKind): boolean {
  return kinds === true || kinds.includes(kind);
}

function parseKinds(value: string): FailOn {
  const kinds = value.split(',').map((kind) => kind.trim());
  const unknown = kinds.find((kind) => !(KINDS as readonly string[]).includes(kind));
  if (unknown !== undefined) {
    throw new InvalidArgumentError(`"${unknown}" is not one of ${KINDS.join(', ')}.`);
  }
  return kinds as LeakageKind[];
}

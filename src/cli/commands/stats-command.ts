/**
 * @file `emoq stats`: shows what a prepared corpus contains, as a whole or as selected by a recipe, and leakage into
 * its test set.
 */

import { InvalidArgumentError } from 'commander';
import { ExitCode } from '../../base/index.js';
import type { LeakageKind, LeakageReport } from '../../data/corpora/index.js';
import type { Recipe } from '../../systems/index.js';
import { corpusOptions, defineCommand, flag, option, recipeOfOptions } from '../command-definition.js';
import { note, printJson, printResult, warn } from '../terminal-output.js';

/** Kinds of leakage that make the command fail; true means every kind. */
type FailOn = true | readonly LeakageKind[];

const KINDS = [
  'speakers',
  'dialogues',
  'texts',
  'passages',
  'audio',
] as const satisfies readonly LeakageKind[];

export const statsCommand = defineCommand({
  options: {
    ...corpusOptions,
    json: flag('print one JSON object'),
    failOnLeakage: option(
      '[kinds]',
      'exit with code 1 if parts share any of these: speakers, dialogues, texts, passages, audio (default: any)',
      { parse: parseKinds },
    ),
  },
  help: `
Shows counts, lengths, and what a test set shares with the data seen before it:
speakers, dialogues (whose earlier turns a model may read), texts (the same
words), passages (the same words over several utterances) and audio (the same
bytes); also its share of speakers, sessions,
episodes and dialogues that occur in training. With --dataset or --recipe, all
of it covers the recipe's utterances and classes; with only --manifest (and no
--set), the whole corpus.

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
        note('manifest.json has no episodes, because an earlier version prepared it; run prepare-meld again');
      if (report.unmatched > 0) note(`left out by the recipe's id_pattern: ${report.unmatched}`);
    }
    for (const warning of report.warnings) warn(warning);
    if (manifest.splitNote !== undefined) note(manifest.splitNote);
    if (options.failOnLeakage === undefined) return;
    const found = leaksOf(leakage, options.failOnLeakage);
    if (found.length > 0) warn(`leakage: ${found.join('; ')}`);
    else if (asks(options.failOnLeakage, 'audio') && leakage.audio.missing > 0) {
      warn(`${missingFiles(leakage.audio.missing)}, so audio leakage cannot be checked`);
    } else return;
    process.exitCode = ExitCode.failed;
  },
});

async function viewOf(recipe: Recipe) {
  const { corpusViewOf, foldingOf } = await import('../../recipe/index.js');
  return {
    name: recipe.name,
    view: { ...corpusViewOf(recipe), labels: recipe.labels },
    folding: foldingOf(recipe),
  };
}

/** The leaks of the requested kinds, as text. */
function leaksOf({ pairs }: LeakageReport, kinds: FailOn): string[] {
  return pairs.flatMap((pair) => {
    // A greeting that someone else has said before is not a leak; a sentence is.
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

/**
 * @file The run of an earlier phase that a phase starts from: its checkpoint, its recipe, its validation draw; and
 * what training would refuse of a recipe, found by a dry run, and before hours of training.
 */

import { errorMessage, InputError, pathExists } from '../base/index.js';
import type { ValidationDraw } from '../data/corpora/index.js';
import { type ChangedKey, changedKeys, dumpRecipe } from '../recipe/index.js';
import {
  type BackboneIdentities,
  type PhaseStart,
  type Recipe,
  systemOf,
  titleOf,
} from '../systems/index.js';
import { type ExperimentCorpus, loadCorpus } from './corpus.js';
import { recordedDraw } from './run-metadata.js';
import {
  backboneDifferences,
  phaseFolder,
  type RunFolder,
  type RunMetadata,
  readMetadata,
  runRecipe,
  type VerifiedCheckpoint,
  verifyCheckpoint,
} from './runs/index.js';
import { selectionRule } from './selection.js';

/** A run of a phase, where it stands among the runs of its experiment. */
export interface PhaseRun {
  readonly recipe: Recipe;
  readonly phase: string;
  readonly fold: number | undefined;
  /** Folder of the experiment; the run goes to `<root>/<phase>[/fold-N]`. */
  readonly root: string;
}

/** The run that another starts from. */
export interface EarlierRun {
  readonly start: PhaseStart;
  readonly folder: RunFolder;
}

/** The run of the earlier phase; undefined where a phase starts from the backbones. */
export function earlierRun({ recipe, phase, fold, root }: PhaseRun): EarlierRun | undefined {
  const start = systemOf(recipe).startsFrom(recipe, phase);
  return start && { start, folder: phaseFolder(root, start.phase, fold) };
}

/**
 * How the validation set is drawn: as the run that goes on was, or the run that this one starts from, which has trained on
 * everybody else. Both may be of an earlier version.
 */
export async function validationDraw(
  run: PhaseRun,
  begun: RunMetadata | undefined,
  onNote?: (text: string) => void,
): Promise<ValidationDraw> {
  const earlier = earlierRun(run);
  const before = begun ?? (earlier && (await readMetadata(earlier.folder)));
  if (before === undefined) return 'by-fold';
  if (before.validation === undefined && run.fold !== undefined && before.utterances.dev > 0)
    onNote?.(
      'validating on the same utterances as the run of an earlier version that this goes on from; a new run draws them by fold',
    );
  return recordedDraw(before);
}

/** A checkpoint to start from. */
export interface StartCheckpoint extends VerifiedCheckpoint {
  readonly path: string;
}

/** The checkpoint that a phase starts from. @throws InputError where it is not there or damaged, or of other backbones */
export async function startCheckpoint(
  phase: string,
  { start, folder }: EarlierRun,
  backbones: BackboneIdentities,
): Promise<StartCheckpoint> {
  const metadata = await readMetadata(folder);
  if (metadata?.status === 'finished' && (await pathExists(folder.checkpoint))) {
    const verified = await verifyCheckpoint(folder, metadata);
    requireSameBackbones(folder, metadata, backbones);
    return { ...verified, path: folder.checkpoint };
  }
  const missing = metadata?.status === 'training' ? 'is not finished' : 'has no checkpoint';
  throw new InputError(
    `${titleOf(phase)} starts from ${titleOf(start.phase)}, and ${folder.dir} ${missing}; run ${start.phase} first, or ${start.otherwise}`,
  );
}

/** @throws InputError where a backbone is another than the run was trained with */
export function requireSameBackbones(
  { dir }: RunFolder,
  { backbones }: RunMetadata,
  now: BackboneIdentities,
): void {
  const differences = backboneDifferences(backbones, now);
  if (differences.length === 0) return;
  throw new InputError(
    `the run in ${dir} was trained with other backbones than are there now: ${differences.join('; ')}; put those back, or train again`,
  );
}

/** Keys that no phase is trained by. The manifest goes by its content. */
const UNREAD = ['name', 'manifest', 'keep_checkpoints', 'paper'];

/**
 * Compares the recipe of a phase with that of the finished run that it starts from, as far as both read it.
 * @param manifestSha256 of the phase's manifest; undefined where there is none yet
 * @returns what is to know of keys that the earlier phase alone reads; undefined where they agree
 * @throws InputError with every key that differs and matters for both, and how to set it
 */
export async function checkEarlierRecipe(
  { recipe, phase }: Pick<PhaseRun, 'recipe' | 'phase'>,
  { start, folder }: EarlierRun,
  manifestSha256: string | undefined,
): Promise<string | undefined> {
  // Read as a recipe: a key that was not there when an earlier version trained it has its default.
  const trained = dumpRecipe(await runRecipe(folder));
  const changed = changedKeys(trained, dumpRecipe(recipe)).filter(
    ({ key }) => !isIn([...UNREAD, ...start.unreadByEarlier], key),
  );
  const [own, shared] = [
    changed.filter(({ key }) => isIn(start.readByEarlierAlone, key)),
    changed.filter(({ key }) => !isIn(start.readByEarlierAlone, key)),
  ];
  const manifest = await manifestDifference(recipe, folder, manifestSha256);
  const differences = [...shared.map(differenceText), ...(manifest === undefined ? [] : [manifest.text])];
  if (differences.length > 0) {
    const settings = [...shared.flatMap(settingOf), ...(manifest?.setting ?? [])];
    const sameAsThere = settings.length === 0 ? '' : `add ${settings.join(' ')}, or `;
    throw new InputError(
      `${titleOf(phase)} starts from the run in ${folder.dir}, whose recipe differs: ${differences.join('; ')}; ${sameAsThere}train ${titleOf(start.phase)} anew with this recipe, in another --run folder`,
    );
  }
  if (own.length === 0) return undefined;
  return `${titleOf(phase)} starts from the run in ${folder.dir}, which was trained with other settings: ${own.map(differenceText).join('; ')}`;
}

function isIn(names: readonly string[], key: string): boolean {
  return names.some((name) => key === name || key.startsWith(`${name}.`));
}

function differenceText({ key, before = 'absent', after = 'absent' }: ChangedKey): string {
  return `${key} is ${before} there and ${after} here`;
}

/** As a shell takes it; a key that the earlier phase had not cannot be taken away by an override. */
function settingOf({ key, before }: ChangedKey): string[] {
  if (before === undefined) return [];
  const setting = `${key}=${before}`;
  return [`--set ${/^[\w.=/-]+$/.test(setting) ? setting : `'${setting.replaceAll("'", `'\\''`)}'`}`];
}

/** The same manifest may have been named by another path. */
async function manifestDifference(
  recipe: Recipe,
  earlier: RunFolder,
  sha256: string | undefined,
): Promise<{ readonly text: string; readonly setting: string[] } | undefined> {
  const metadata = await readMetadata(earlier);
  if (metadata === undefined || sha256 === undefined || metadata.manifest.sha256 === sha256) return undefined;
  const { path } = metadata.manifest;
  if (path === recipe.manifest) return { text: `${path} has changed since`, setting: [] };
  return {
    text: `manifest is ${path} there and ${recipe.manifest} here`,
    setting: [`--manifest ${path}`],
  };
}

/** A phase and those that come after it on the way to the recipe's final model. */
export function phasesFrom(recipe: Recipe, phase: string): readonly string[] {
  const phases = systemOf(recipe).phases(recipe);
  return [phase, ...phases.slice(phases.indexOf(phase) + 1).filter((later) => later !== phase)];
}

/**
 * Looks the plan of a phase over, and of the phases behind it, as far as corpus, backbones and earlier runs are here.
 * @returns what is to know of the run that it starts from
 * @throws InputError for what training would refuse
 */
export async function reviewPlan(run: PhaseRun): Promise<string | undefined> {
  const { recipe, phase, fold } = run;
  const system = systemOf(recipe);
  const corpus = await corpusAtHand(recipe, fold);
  const phases = phasesFrom(recipe, phase);
  for (const each of phases) {
    // Without a corpus it is not known whether there will be a validation set.
    selectionRule(system.settings(recipe, each), each, corpus?.dev.length ?? 1);
  }
  for (const each of phases) await system.review(recipe, each, corpus);
  const earlier = earlierRun(run);
  if (earlier === undefined || (await readMetadata(earlier.folder))?.status !== 'finished') return undefined;
  return checkEarlierRecipe(run, earlier, corpus?.manifest.sha256);
}

/**
 * What a phase or one behind it, or the evaluation after them, will refuse or miss: found before anything is trained. A run
 * that has begun goes on all the same: it is not changed by that.
 * @returns what to warn of
 * @throws InputError for what would be refused of a new run
 */
export async function reviewAhead(
  { recipe, phase, fold }: Omit<PhaseRun, 'root'>,
  corpus: ExperimentCorpus,
  isNew: boolean,
): Promise<string | undefined> {
  const system = systemOf(recipe);
  const warnings: string[] = [];
  for (const each of phasesFrom(recipe, phase)) {
    if (each === phase && !isNew) continue;
    try {
      selectionRule(system.settings(recipe, each), each, corpus.dev.length);
      const warning = await system.review(recipe, each, corpus);
      if (warning !== undefined && (fold ?? 1) === 1) warnings.push(warning); // one for all folds
    } catch (error) {
      if (isNew || !(error instanceof InputError)) throw error;
      return `${titleOf(each)} will not start: ${errorMessage(error)}`;
    }
  }
  return warnings[0];
}

async function corpusAtHand(recipe: Recipe, fold: number | undefined): Promise<ExperimentCorpus | undefined> {
  try {
    return await loadCorpus(recipe, fold, []);
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

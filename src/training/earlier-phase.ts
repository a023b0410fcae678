/**
 * @file The earlier run that a phase starts from (checkpoint, recipe, validation draw), and checks that find errors
 * before hours of training.
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
import { type ExperimentCorpus, loadCorpus } from './experiment.js';
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

/** Location of a phase's run within its experiment. */
export interface PhaseRun {
  readonly recipe: Recipe;
  readonly phase: string;
  readonly fold: number | undefined;
  /** Folder of the experiment; the run goes to `<root>/<phase>[/fold-N]`. */
  readonly root: string;
}

/** The run that another one starts from. */
export interface EarlierRun {
  readonly start: PhaseStart;
  readonly folder: RunFolder;
}

/** The run of the earlier phase; undefined if a phase starts from the backbones. */
export function earlierRun({ recipe, phase, fold, root }: PhaseRun): EarlierRun | undefined {
  const start = systemOf(recipe).startsFrom(recipe, phase);
  return start && { start, folder: phaseFolder(root, start.phase, fold) };
}

/**
 * How the validation set is drawn: as in the run being resumed, or else as in the run that this one starts from, which
 * was trained on all other speakers. Both may come from an earlier version.
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
      'validating on the same utterances as the earlier-version run that this run continues from; a new run draws them per fold',
    );
  return recordedDraw(before);
}

/** A checkpoint to start from. */
export interface StartCheckpoint extends VerifiedCheckpoint {
  readonly path: string;
}

/**
 * The checkpoint that a phase starts from. @throws InputError if it is missing, damaged, or trained with other
 * backbones
 */
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

/** @throws InputError if a backbone differs from the one the run was trained with */
export function requireSameBackbones(
  { dir }: RunFolder,
  { backbones }: RunMetadata,
  now: BackboneIdentities,
): void {
  const differences = backboneDifferences(backbones, now);
  if (differences.length === 0) return;
  throw new InputError(
    `the run in ${dir} was trained with different backbones: ${differences.join('; ')}; restore the originals, or train again`,
  );
}

/** Keys that no phase is trained with. The manifest is compared by content. */
const UNREAD = ['name', 'manifest', 'keep_checkpoints', 'paper'];

/**
 * Compares the recipe of a phase with that of the finished run it starts from, over the keys that both read.
 * @param manifestSha256 of the phase's manifest; undefined if there is none yet
 * @returns a warning about keys that only the earlier phase reads; undefined if they agree
 * @throws InputError listing every differing key that matters to both, and how to set it
 */
export async function checkEarlierRecipe(
  { recipe, phase }: Pick<PhaseRun, 'recipe' | 'phase'>,
  { start, folder }: EarlierRun,
  manifestSha256: string | undefined,
): Promise<string | undefined> {
  // Parsed as a recipe, so keys added since an earlier version trained it have their defaults.
  const trained = dumpRecipe(await runRecipe(folder));
  const changed = changedKeys(trained, dumpRecipe(recipe)).filter(
    ({ key }) => !isIn([...UNREAD, ...start.unreadByEarlier], key),
  );
  const [own, shared] = [
    changed.filter(({ key }) => isIn(start.onlyReadByEarlier, key)),
    changed.filter(({ key }) => !isIn(start.onlyReadByEarlier, key)),
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

/** Whether a phase's earlier one is the same run with either recipe. */
export function sharesEarlierPhase({ unreadByEarlier }: PhaseStart, one: Recipe, other: Recipe): boolean {
  const unread = [...UNREAD, ...unreadByEarlier].filter((key) => key !== 'manifest');
  return changedKeys(dumpRecipe(one), dumpRecipe(other)).every(({ key }) => isIn(unread, key));
}

function isIn(names: readonly string[], key: string): boolean {
  return names.some((name) => key === name || key.startsWith(`${name}.`));
}

function differenceText({ key, before = 'absent', after = 'absent' }: ChangedKey): string {
  return `${key} is ${before} there and ${after} here`;
}

/** Quoted for a shell. An override cannot remove a key that the earlier phase did not have. */
function settingOf({ key, before }: ChangedKey): string[] {
  if (before === undefined) return [];
  const setting = `${key}=${before}`;
  return [`--set ${/^[\w.=/-]+$/.test(setting) ? setting : `'${setting.replaceAll("'", `'\\''`)}'`}`];
}

/** The same manifest may have been given by a different path. */
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

/** A phase and the later ones that lead to the recipe's final model. */
export function phasesFrom(recipe: Recipe, phase: string): readonly string[] {
  const phases = systemOf(recipe).phases(recipe);
  return [phase, ...phases.slice(phases.indexOf(phase) + 1).filter((later) => later !== phase)];
}

/**
 * Checks the plan of a phase and of the phases after it, as far as corpus, backbones and earlier runs are present.
 * @returns a warning about the run that it starts from
 * @throws InputError for anything training would reject
 */
export async function reviewPlan(run: PhaseRun): Promise<string | undefined> {
  const { recipe, phase, fold } = run;
  const system = systemOf(recipe);
  const corpus = await corpusAtHand(recipe, fold);
  const phases = phasesFrom(recipe, phase);
  for (const each of phases) {
    // Without a corpus, whether there will be a validation set is unknown.
    selectionRule(system.settings(recipe, each), each, corpus?.dev.length ?? 1);
  }
  for (const each of phases) await system.review(recipe, each, corpus);
  const earlier = earlierRun(run);
  if (earlier === undefined || (await readMetadata(earlier.folder))?.status !== 'finished') return undefined;
  return checkEarlierRecipe(run, earlier, corpus?.manifest.sha256);
}

/**
 * Finds what a phase, a later one, or the evaluation will reject or lack, before anything is trained. A resumed run
 * continues regardless.
 * @returns warnings
 * @throws InputError for anything that would be rejected in a new run
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

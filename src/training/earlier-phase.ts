/** @file The run of an earlier phase that a phase starts from: its checkpoint, its recipe, its validation draw. */

import { InputError, pathExists } from '../base/index.js';
import type { ValidationDraw } from '../data/corpora/index.js';
import { type ChangedKey, changedKeys, dumpRecipe } from '../recipe/index.js';
import type { Recipe } from '../systems/index.js';
import { type BackboneIdentities, type PhaseStart, systemOf, titleOf } from '../systems/index.js';
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

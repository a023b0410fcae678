/** @file Inputs and results of the doctor's checks. */

import { stripVTControlCharacters } from 'node:util';
import { errorMessage } from '../../../base/index.js';
import type { Recipe } from '../../../systems/index.js';
import { emoqFolder, emoqVersion, isInstalled } from '../../versions.js';

/** The experiment to check. */
export interface NamedExperiment {
  readonly recipe: Recipe;
  /** As named on the command line: `--dataset meld7 --set seed=2`. */
  readonly named: string;
  /** The phase to check; undefined for all phases of the experiment. */
  readonly phase: string | undefined;
  /** Whether any phase reads recordings. */
  readonly usesAudio: boolean;
}

/** One line of the report. `details` has the content of `found` for programs. */
export interface CheckResult {
  /** The item, such as `ffmpeg`. */
  readonly name: string;
  /** `missing`: absent or unusable. `warning`: present, with a caveat. */
  readonly status: 'ok' | 'warning' | 'missing';
  /** Whether the main job needs it. */
  readonly needed: boolean;
  /** One line. */
  readonly found: string;
  /** A command that fixes it; null if nothing is wrong or no command fixes it. */
  readonly fix: string | null;
  readonly details: Readonly<Record<string, unknown>>;
}

type Rest = Partial<Pick<CheckResult, 'needed' | 'fix' | 'details'>>;

export function checked(
  name: string,
  status: CheckResult['status'],
  found: string,
  rest: Rest = {},
): CheckResult {
  return { name, status, needed: false, found, fix: null, details: {}, ...rest };
}

const MOST_CHARACTERS = 200;

/** Another program's message, cleaned for `found`: native ones have colours, line breaks and source locations. */
export function inOneLine(text: string): string {
  const line = stripVTControlCharacters(text).replace(/\s+/g, ' ').trim();
  return line.length > MOST_CHARACTERS ? `${line.slice(0, MOST_CHARACTERS)}...` : line;
}

/** A native error in one line, without the name of what was loaded. */
export function nativeMessage(error: unknown): string {
  const text = errorMessage(error);
  return inOneLine(/with error: ([\s\S]*)$/.exec(text)?.[1] ?? text);
}

/** Reinstalls emoq's packages, including native libraries. */
export const REINSTALL = isInstalled
  ? `npm install --global emoq-${emoqVersion()}.tgz`
  : `npm --prefix ${emoqFolder.replace(/\/$/, '')} ci`;

/** The command that installs a system package here; null if unknown. */
export function installCommand(debianPackage: string): string | null {
  if (process.platform === 'darwin') return `brew install ${debianPackage}`;
  if (process.platform !== 'linux') return null;
  return `${process.getuid?.() === 0 ? '' : 'sudo '}apt-get install -y ${debianPackage}`;
}

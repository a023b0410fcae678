/** @file What a check of the doctor is given and what it returns: lines of the report. */

import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import type { Recipe } from '../../../systems/index.js';

/** The experiment that is asked for. */
export interface NamedExperiment {
  readonly recipe: Recipe;
  /** How it is named on the command line: `--dataset meld7 --set seed=2`. */
  readonly named: string;
  /** The one phase that is asked for; undefined for all that the experiment takes. */
  readonly phase: string | undefined;
}

/** One line of the report. `details` hold what `found` says in words, for programs. */
export interface CheckResult {
  /** What was looked at, such as `ffmpeg`. */
  readonly name: string;
  /** `missing`: not there, or of no use as it is. `warning`: there, with something to know. */
  readonly status: 'ok' | 'warning' | 'missing';
  /** Whether the main job cannot run where this is missing. */
  readonly needed: boolean;
  /** One line. */
  readonly found: string;
  /** The command that fixes it; null where nothing is wrong or no command fixes it. */
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

/** Another program's message for `found`: native ones have colours, line breaks and source locations. */
export function inOneLine(text: string): string {
  const line = stripVTControlCharacters(text).replace(/\s+/g, ' ').trim();
  return line.length > MOST_CHARACTERS ? `${line.slice(0, MOST_CHARACTERS)}...` : line;
}

/** Installs emoq's packages anew, native libraries included. */
export const REINSTALL = `npm --prefix ${fileURLToPath(new URL('../../../../', import.meta.url)).replace(/\/$/, '')} ci`;

/** How a package of the system is installed here; null where that is not known. */
export function installCommand(debianPackage: string): string | null {
  if (process.platform === 'darwin') return `brew install ${debianPackage}`;
  if (process.platform !== 'linux') return null;
  return `${process.getuid?.() === 0 ? '' : 'sudo '}apt-get install -y ${debianPackage}`;
}

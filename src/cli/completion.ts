/**
 * @file What may follow the words of an unfinished command line: the answer to the shell scripts of `emoq completion`,
 * which call `emoq complete -- WORDS...`.
 */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pathExists } from '../base/index.js';
import { type CommandDefinition, flagOf, type OptionDeclaration } from './command-definition.js';
import type { CommandEntry } from './command-table.js';

/** A word that may come next. */
interface Candidate {
  readonly word: string;
  readonly description?: string;
}

/** The words that may come next, and the paths that may if there are no such words. */
export interface Completions {
  readonly candidates: readonly Candidate[];
  readonly paths: 'none' | 'files' | 'folders';
}

const NOTHING: Completions = { candidates: [], paths: 'none' };
const GLOBAL_OPTIONS: readonly Candidate[] = [
  { word: '--help', description: 'print this help' },
  { word: '--version', description: 'print the version' },
  { word: '--debug', description: 'show the stack of an error' },
];
const DEVICES = ['auto', 'cpu', 'cuda', 'webgpu'];

/**
 * The answer in the protocol of the scripts (that of the Go library cobra): a line for each word, `WORD<tab>DESCRIPTION`,
 * then `:N`, where N says which paths the shell adds.
 * @param words those after `emoq`; the last one is to be completed, '' if it is not begun
 */
export async function completionAnswer(
  entries: readonly CommandEntry[],
  words: readonly string[],
): Promise<string> {
  const { ShellCompDirective } = await import('@bomb.sh/tab');
  const { candidates, paths } = await completionsOf(entries, words);
  const directive = {
    none: ShellCompDirective.ShellCompDirectiveNoFileComp,
    files: ShellCompDirective.ShellCompDirectiveDefault,
    folders: ShellCompDirective.ShellCompDirectiveFilterDirs,
  }[paths];
  const lines = candidates.map(({ word, description = '' }) => `${word}\t${description}`);
  return [...lines, `:${directive}`].join('\n');
}

/** The words that may stand in the place of the last one. */
export async function completionsOf(
  entries: readonly CommandEntry[],
  words: readonly string[],
): Promise<Completions> {
  const [earlier, last] = [words.slice(0, -1), words.at(-1) ?? ''];
  const { candidates, paths } = await nextAfter(entries, earlier, last.startsWith('-'));
  return { candidates: candidates.filter(({ word }) => word.startsWith(last)), paths };
}

async function nextAfter(
  entries: readonly CommandEntry[],
  earlier: readonly string[],
  isOption: boolean,
): Promise<Completions> {
  const name = earlier.find((word) => !word.startsWith('-'));
  if (name === undefined) {
    const commands = entries.map((entry) => ({ word: entry.name, description: entry.summary }));
    return { candidates: isOption ? GLOBAL_OPTIONS : commands, paths: 'none' };
  }
  const definition = await entries.find((entry) => entry.name === name)?.load();
  if (definition === undefined) return NOTHING;
  const waiting = waitingOption(definition, earlier);
  if (waiting !== undefined && !isOption) return valuesOf(...waiting);
  if (isOption || definition.argument === undefined)
    return { candidates: flagsOf(definition), paths: 'none' };
  const { choices = [] } = definition.argument;
  const words = /corpus/.test(definition.argument.name) ? await corpora() : choices;
  return {
    candidates: words.map((word) => ({ word })),
    paths: /file|input|checkpoint/.test(definition.argument.name) ? 'files' : 'none',
  };
}

function flagsOf({ options }: CommandDefinition): Candidate[] {
  const own = Object.entries(options).map(([name, { description }]) => ({ word: flagOf(name), description }));
  return [...own, { word: '--help', description: 'print this help' }];
}

/** The option whose value comes next: the last word, or an option of several values before it. */
function waitingOption(
  { options }: CommandDefinition,
  earlier: readonly string[],
): [string, OptionDeclaration] | undefined {
  const place = earlier.findLastIndex((word) => word.startsWith('-'));
  const found = Object.entries(options).find(
    ([name, { short }]) => earlier[place] === flagOf(name) || earlier[place] === `-${short}`,
  );
  const value = found?.[1].value;
  if (value === undefined) return undefined;
  return place === earlier.length - 1 || value.endsWith('...>') ? found : undefined;
}

async function valuesOf(name: string, { value = '', choices }: OptionDeclaration): Promise<Completions> {
  if (choices !== undefined) return { candidates: choices.map((word) => ({ word })), paths: 'none' };
  if (name === 'device') return { candidates: DEVICES.map((word) => ({ word })), paths: 'none' };
  if (name === 'dataset') return { candidates: await datasets(), paths: 'none' };
  if (name === 'run' || name === 'compare') return { candidates: await runFolders(), paths: 'files' };
  if (/^<folder/.test(value)) return { candidates: [], paths: 'folders' };
  return { candidates: [], paths: /^<file|release/.test(value) ? 'files' : 'none' };
}

/** What `--dataset` takes: recipes of emoq, recipes in this folder, and prepared corpora. */
async function datasets(): Promise<Candidate[]> {
  const { shippedRecipeNames } = await import('../recipe/index.js');
  const own = (await namesIn('.')).filter((name) => name.endsWith('.yaml')).map((name) => name.slice(0, -5));
  const prepared: string[] = [];
  for (const name of await namesIn('data'))
    if (await pathExists(join('data', name, 'manifest.csv'))) prepared.push(name);
  const words = new Set([...(await shippedRecipeNames()), ...own, ...prepared]);
  return [...words].sort().map((word) => ({ word }));
}

/** The corpora that `emoq prepare` knows. */
async function corpora(): Promise<readonly string[]> {
  const { releaseNames } = await import('../data/corpora/index.js');
  return releaseNames();
}

/** The experiments in runs/ and the runs in them. */
async function runFolders(): Promise<Candidate[]> {
  const found: Candidate[] = [];
  for (const name of await namesIn('runs')) {
    const experiment = join('runs', name);
    const parts = (await namesIn(experiment)).sort().map((part) => join(experiment, part));
    const isRun = await Promise.all(parts.map((part) => pathExists(join(part, 'run.json'))));
    found.push({ word: experiment }, ...parts.filter((_, index) => isRun[index]).map((word) => ({ word })));
  }
  return found;
}

async function namesIn(folder: string): Promise<string[]> {
  return (await readdir(folder).catch((): string[] => [])).filter((name) => !name.startsWith('.')).sort();
}

/** @file Shell completion: the words that may follow, and the scripts in the shells that this machine has. */

import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commandEntries } from '../../src/cli/command-table.js';
import { emoq, emoqBin, run } from './command-line.js';
import { emoqHere } from './in-process.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-completion-'));
const programs = join(folder, 'bin');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

beforeAll(() => {
  for (const name of ['bin', 'data/calls', 'runs/calls/stage1'])
    mkdirSync(join(folder, name), { recursive: true });
  for (const name of ['mine.yaml', 'data/calls/manifest.csv', 'runs/calls/stage1/run.json', 'calls.csv'])
    writeFileSync(join(folder, name), '');
  const program = `#!/bin/sh\nexec '${process.execPath}' '${emoqBin}' "$@"\n`;
  writeFileSync(join(programs, 'emoq'), program);
  chmodSync(join(programs, 'emoq'), 0o755);
});

/** The words that may stand in the place of the last one, and the last line. */
async function answer(...words: string[]): Promise<{ words: string[]; directive: string }> {
  const { code, stdout, stderr } = await emoqHere(['complete', '--', ...words], folder);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const lines = stdout.trimEnd().split('\n');
  return { words: lines.slice(0, -1).map((line) => line.split('\t')[0]!), directive: lines.at(-1)! };
}

const [FILES, NO_FILES, FOLDERS] = [':0', ':4', ':16'];

describe('the words that may follow', () => {
  it('are the commands, then the options of the command', async () => {
    const names = commandEntries.map(({ name }) => name);
    expect(await answer('')).toEqual({ words: names, directive: NO_FILES });
    expect(await answer('sta')).toEqual({ words: ['stats', 'stage1', 'stage2'], directive: NO_FILES });
    expect(await answer('--v')).toEqual({ words: ['--version'], directive: NO_FILES });
    expect((await answer('stage1', '--d')).words.sort()).toEqual([
      ...['--dataset', '--device', '--devices', '--dry-run'],
    ]);
    expect((await answer('stage1', '')).words).toContain('--dataset');
    expect(await answer('nosuch', '')).toEqual({ words: [], directive: NO_FILES });
  });

  it('are the choices of an argument or an option', async () => {
    expect((await answer('completion', '')).words).toEqual(['bash', 'zsh', 'fish']);
    expect(await answer('prepare', 'r')).toEqual({ words: ['ravdess'], directive: FILES });
    expect((await answer('train', '--precision', 'b')).words).toEqual(['bfloat16']);
    expect((await answer('train', '--device', 'c')).words).toEqual(['cpu', 'cuda']);
  });

  it('are the datasets that there are', async () => {
    const { words } = await answer('train', '--dataset', '');
    expect(words).toEqual(expect.arrayContaining(['calls', 'meld7', 'mine', 'toy4']));
    expect((await answer('train', '--dataset', 'mi')).words).toEqual(['mine']);
  });

  it('are the runs that there are, for each of several values too', async () => {
    const runs = ['runs/calls', 'runs/calls/stage1'];
    expect((await answer('predict', '--run', '')).words).toEqual(runs);
    expect((await answer('eval', '--compare', 'runs/a', '')).words).toEqual(runs);
  });

  it('are paths where a file or a folder is wanted', async () => {
    expect(await answer('predict', '')).toEqual({ words: [], directive: FILES });
    expect(await answer('train', '--recipe', '')).toEqual({ words: [], directive: FILES });
    expect(await answer('prepare-meld', '--root', '')).toEqual({ words: [], directive: FOLDERS });
    expect(await answer('train', '--seeds', '')).toEqual({ words: [], directive: NO_FILES });
  });
});

const hasProgram = (...command: [string, ...string[]]): boolean => {
  try {
    execFileSync(command[0], command.slice(1), { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

/** Asks bash's completion function as the shell does, for the last of `words`. */
const IN_BASH = `
. /usr/share/bash-completion/bash_completion
eval "$(emoq completion bash)"
function_of() { complete -p emoq | sed 's/.*-F \\([^ ]*\\).*/\\1/'; }
COMP_WORDS=(emoq "$@") COMP_CWORD=$#
COMP_LINE="emoq $*" COMP_POINT=\${#COMP_LINE} COMP_TYPE=9 COMP_KEY=9
"$(function_of)" 2>/dev/null
printf '%s\\n' "\${COMPREPLY[@]}"
`;
const hasBash = hasProgram('bash', '-c', 'test -r /usr/share/bash-completion/bash_completion');
const hasFish = hasProgram('fish', '--version');
const hasZsh = hasProgram('zsh', '--version');

describe('the script', () => {
  const path = { PATH: `${programs}${delimiter}${process.env.PATH}`, HOME: folder };
  const inShell = async (...command: [string, ...string[]]): Promise<string[]> => {
    const { stdout } = await run(command[0], command.slice(1), folder, path);
    return stdout.split('\n').map((line) => line.trim().split(/[\t ]/)[0]!);
  };

  it.each(['bash', 'zsh', 'fish'])('for %s is printed on stdout alone', async (shell) => {
    const { code, stdout, stderr } = await emoq(['completion', shell]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('emoq complete -- ');
  });

  it.skipIf(!hasBash)('completes in bash', async () => {
    const complete = (...words: string[]) => inShell('bash', '-c', IN_BASH, 'bash', ...words);
    expect(await complete('pred')).toContain('predict');
    expect(await complete('train', '--dataset', 'mi')).toContain('mine');
    // Paths are left to bash.
    expect((await complete('predict', 'ca')).join('')).toBe('');
    expect(
      await inShell('bash', '-c', `eval "$(emoq completion bash)"; complete -p emoq | tr ' ' '\\n'`),
    ).toContain('default');
  });

  it.skipIf(!hasBash)(
    'evaluates nothing in bash: neither what is typed, nor the names of files',
    async () => {
      const complete = async (...words: string[]): Promise<string> =>
        (await run('bash', ['-c', IN_BASH, 'bash', ...words], folder, path)).stdout;
      writeFileSync(join(folder, 'kept.csv'), 'kept');
      expect(await complete('predict', 'calls.csv', '>', 'kept.csv', '--dev')).toContain('--device\n');
      expect(readFileSync(join(folder, 'kept.csv'), 'utf8')).toBe('kept');
      expect(await complete('predict', '$(touch typed)', '--dev')).toContain('--device\n');
      const odd = join(folder, 'odd $(touch named).yaml');
      writeFileSync(odd, '');
      expect(await complete('train', '--dataset', 'od')).toBe('odd\\ \\$\\(touch\\ named\\)\n');
      rmSync(odd);
      expect(readdirSync(folder)).not.toEqual(
        expect.arrayContaining([expect.stringMatching(/^(?:typed|named)$/)]),
      );
    },
  );

  it.skipIf(!hasBash)('may be read again in the same bash', async () => {
    const twice = 'eval "$(emoq completion bash)"; eval "$(emoq completion bash)"';
    const { code, stderr } = await run('bash', ['-c', twice], folder, path);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  it.skipIf(!hasFish)('completes in fish', async () => {
    const complete = (line: string) =>
      inShell('fish', '-c', `emoq completion fish | source; complete --do-complete '${line}'`);
    expect(await complete('emoq pred')).toContain('predict');
    expect(await complete('emoq train --dataset mi')).toContain('mine');
    expect(await complete('emoq predict ca')).toContain('calls.csv');
  });

  it.skipIf(!hasZsh)('is a valid one in zsh, which loads it as a completion', async () => {
    const load = 'autoload -U compinit; compinit -D -u; source <(emoq completion zsh); echo $_comps[emoq]';
    expect(await inShell('zsh', '-f', '-c', load)).toContain('_emoq');
  });
});

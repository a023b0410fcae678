/** @file `emoq completion`: prints the script with which a shell completes emoq's command line. */

import { bashCompletion } from '../bash-completion.js';
import { defineCommand } from '../command-definition.js';
import { printResult } from '../terminal-output.js';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

export const completionCommand = defineCommand({
  argument: { name: '<shell>', description: 'the shell to print the script for', choices: SHELLS },
  options: {},
  help: `
The script completes commands, options and their values: datasets, run folders,
devices, files. Save it where the shell looks for such scripts:

  bash   ~/.local/share/bash-completion/completions/emoq
         (needs the package bash-completion)
  zsh    _emoq in a folder of $fpath, before compinit is called
  fish   ~/.config/fish/completions/emoq.fish

Example:
  emoq completion bash`,
  run: async (_options, shell) => {
    // The package's script for bash evaluates what is typed, redirections included, and the names of files.
    if (shell === 'bash') return printResult(bashCompletion);
    const { script } = await import('@bomb.sh/tab');
    script(shell!, 'emoq', 'emoq'); // prints it
  },
});

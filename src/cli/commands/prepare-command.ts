/** @file `emoq prepare`: converts the raw release of a described corpus to a prepared one, or lists the corpora. */

import { InputError } from '../../base/index.js';
import { defineCommand, flag, option } from '../command-definition.js';
import { printResult } from '../terminal-output.js';
import { preparationOptions, runPreparation } from './corpus-preparation.js';

export const prepareCommand = defineCommand({
  argument: {
    name: '[corpus-or-file]',
    description: 'a corpus that emoq knows, or the file of a description of your own (.yaml)',
  },
  options: {
    root: option('<folder>', 'the raw release'),
    out: option('<folder>', 'output folder (default: data/<corpus>)', { short: 'o' }),
    list: flag('list the corpora that emoq knows', { conflicts: ['root', 'out'] }),
    ...preparationOptions,
  },
  help: `
Reads the release as its description says (names of clips, tables, transcripts),
checks it against the known counts, and writes <out>/manifest.csv,
<out>/manifest.json and 16 kHz mono audio. Run it again after an interruption
to continue. Without a name it lists the corpora.

A description is a YAML file; docs/adding-a-corpus.md says what is in it. Write
the path of your own: emoq prepare ./calls.yaml --root calls

Example:
  emoq prepare ravdess --root RAVDESS`,
  run: async (options, ...names) => {
    const [name] = names as readonly (string | undefined)[];
    const { root } = options;
    if (options.list || (name === undefined && root === undefined)) return listReleases();
    if (name === undefined) {
      throw new InputError(
        '--root is given, but no corpus; name one before it (emoq prepare --list lists them)',
      );
    }
    const { openRelease } = await import('../../data/corpora/index.js');
    const release = await openRelease(name);
    if (root === undefined) {
      throw new InputError(
        `emoq prepare ${name} needs --root: ${release.root.what}, such as --root ${release.root.name}`,
      );
    }
    const { out = `data/${release.name}` } = options;
    await runPreparation(options, (controls) => release.prepare({ root, out, ...controls }));
  },
});

async function listReleases(): Promise<void> {
  const { openRelease, releaseNames } = await import('../../data/corpora/index.js');
  const releases = await Promise.all((await releaseNames()).map(openRelease));
  const width = Math.max(...releases.map(({ name }) => name.length));
  const lines = releases.map(({ name, title, languages, root }) => {
    const spoken = languages.length === 0 ? '' : ` [${languages.join(', ')}]`;
    return `${name.padEnd(width)}  ${title}${spoken}\n${' '.repeat(width)}  --root: ${root.what}`;
  });
  printResult(lines.join('\n'));
}

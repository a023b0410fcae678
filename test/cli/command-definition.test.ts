/**
 * @file What commander and a command's action receive from a declaration; its types are checked when tests are
 * compiled.
 */

import { Command, InvalidArgumentError } from 'commander';
import { expect, it } from 'vitest';
import { choice, declareCommand, defineCommand, flag, option } from '../../src/cli/command-definition.js';

function parseLength(text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It must be a whole number.');
}

/** The arguments the action was called with. */
let seen: unknown[] = [];
const definition = defineCommand({
  argument: { name: '<colours...>', description: 'which', choices: ['red', 'green'] },
  options: {
    dryRun: flag('do nothing'),
    outFile: option('<file>', 'where to', { short: 'o', required: true }),
    pathLength: option('<n>', 'how long', { parse: parseLength, default: 3 }),
    format: choice('<format>', 'how', ['csv', 'json'], { default: 'csv' }),
    width: option('<n>', 'how wide', { parse: parseLength, conflicts: ['dryRun'] }),
    two: option<readonly string[]>('<two...>', 'several'),
  },
  help: '\nExample:\n  emoq paint red',
  run: async (options, ...colours) => {
    const { dryRun, outFile, pathLength, format, width, two } = options;
    const typed: [
      true | undefined,
      string,
      number,
      'csv' | 'json',
      number | undefined,
      readonly string[] | undefined,
      ('red' | 'green')[],
    ] = [dryRun, outFile, pathLength, format, width, two, colours];
    // @ts-expect-error: an option that is not declared
    const absent: unknown = options.colour;
    // @ts-expect-error: it may be left out
    const always: number = options.width;
    seen = [...typed, absent, always];
  },
});

async function parse(line: string): Promise<unknown[]> {
  const command = declareCommand(new Command('paint'), definition)
    .exitOverride()
    .configureOutput({ writeErr: () => {}, outputError: () => {} });
  command.action((colours: string[], options: object) => definition.run(options, ...colours));
  await command.parseAsync(line.split(' '), { from: 'user' });
  return seen;
}

it('the work gets what is declared, defaults included', async () => {
  expect(await parse('red -o x')).toEqual([
    ...[undefined, 'x', 3, 'csv', undefined, undefined, ['red']],
    ...[undefined, undefined],
  ]);
  expect(await parse('red green --out-file y --path-length 7 --format json --width 2 --two a b')).toEqual([
    ...[undefined, 'y', 7, 'json', 2, ['a', 'b'], ['red', 'green']],
    ...[undefined, 2],
  ]);
});

it.each([
  ['red', 'required option'],
  ['blue -o x', 'Allowed choices are red, green'],
  ['red -o x --path-length y', 'It must be a whole number.'],
  ['red -o x --format xml', 'Allowed choices are csv, json'],
  ['red -o x --dry-run --width 2', 'cannot be used with'],
])('refuses %s', async (line, message) => {
  await expect(parse(line)).rejects.toThrow(message);
});

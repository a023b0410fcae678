/** @file The option spellings that scripts rely on, for every command. */

import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { type CommandDefinition, declareCommand } from '../../src/cli/command-definition.js';
import { ablateCommand as ablate } from '../../src/cli/commands/ablate-command.js';
import { evalCommand as evaluate } from '../../src/cli/commands/eval-command.js';
import { predictCommand as predict } from '../../src/cli/commands/predict-command.js';
import { prepareCommand as prepare } from '../../src/cli/commands/prepare-command.js';
import { prepareToyCommand as prepareToy } from '../../src/cli/commands/prepare-toy-command.js';
import { pullCommand as pull } from '../../src/cli/commands/pull-command.js';
import { runsCommand as runs } from '../../src/cli/commands/runs-command.js';
import { phaseCommand, trainCommand } from '../../src/cli/commands/training-commands.js';

function parse(definition: CommandDefinition, line: string): Record<string, unknown> {
  const command = new Command('x')
    .exitOverride()
    .configureOutput({ writeErr: () => {}, outputError: () => {} });
  declareCommand(command, definition);
  command.action(() => {});
  command.parse(line === '' ? [] : line.split(' '), { from: 'user' });
  return { ...command.opts(), ...(command.args.length > 0 ? { operands: command.args } : {}) };
}

const [stage1, stage2] = [phaseCommand('stage1'), phaseCommand('stage2')];
const stage = { device: 'auto' };

describe('command lines', () => {
  it.each<[string, CommandDefinition, string, Record<string, unknown>]>([
    ['prepare-toy', prepareToy, '', { seed: 0 }],
    ['prepare-toy', prepareToy, '--dialogues --utterances 64', { seed: 0, dialogues: true, utterances: 64 }],
    [
      'prepare-toy',
      prepareToy,
      '--out x --seed 7 --speakers 12 --raw meld --spoken',
      { out: 'x', seed: 7, speakers: 12, raw: 'meld', spoken: true },
    ],
    [
      'prepare',
      prepare,
      'emo-db --root EMO-DB -o x --format flac --allow-incomplete',
      {
        operands: ['emo-db'],
        root: 'EMO-DB',
        out: 'x',
        format: 'flac',
        allowIncomplete: true,
        device: 'auto',
      },
    ],
    ['prepare', prepare, '--list', { list: true, format: 'wav', device: 'auto' }],
    [
      'pull',
      pull,
      'hubert-large roberta-base --dry-run',
      { operands: ['hubert-large', 'roberta-base'], dryRun: true },
    ],
    ['pull', pull, 'a/b --revision v1 --json', { operands: ['a/b'], revision: 'v1', json: true }],
    ['train', trainCommand, '--dataset meld7 --jobs 2', { ...stage, dataset: 'meld7', jobs: 2 }],
    ['stage1', stage1, '--dataset meld7 --dry-run', { ...stage, dataset: 'meld7', dryRun: true }],
    [
      'stage1',
      stage1,
      '--manifest m.csv --recipe r.yaml --fold 3 --run d --set a=1 --set b.c=2 --device cuda:1',
      { device: 'cuda:1', manifest: 'm.csv', recipe: 'r.yaml', fold: 3, run: 'd', set: ['a=1', 'b.c=2'] },
    ],
    [
      'stage2',
      stage2,
      '--dataset iemocap4 --folds 5 --device cuda',
      { device: 'cuda:0', dataset: 'iemocap4', folds: 5 },
    ],
    [
      'stage1',
      stage1,
      '--dataset iemocap4 --folds 5 --seeds 1,2,30 --jobs 3 --threads 2',
      { ...stage, dataset: 'iemocap4', folds: 5, seeds: [1, 2, 30], jobs: 3, threads: 2 },
    ],
    [
      'stage2',
      stage2,
      '--dataset meld7 --precision float32 --fit 24GB',
      { ...stage, dataset: 'meld7', precision: 'float32', fit: 24e9 },
    ],
    ['train', trainCommand, '--dataset meld7 --fit 48', { ...stage, dataset: 'meld7', fit: 48e9 }],
    [
      'train',
      trainCommand,
      '--dataset meld7 --fit 22.5GiB',
      { ...stage, dataset: 'meld7', fit: 22.5 * 2 ** 30 },
    ],
    ['stage1', stage1, '--dataset meld7 --fit auto', { ...stage, dataset: 'meld7', fit: 'auto' }],
    ['eval', evaluate, '--seeds 7 --precision bfloat16', { ...stage, seeds: [7], precision: 'bfloat16' }],
    [
      'ablate',
      ablate,
      '--dataset meld7 --table 4 --precision float16',
      { ...stage, dataset: 'meld7', table: 4, precision: 'float16' },
    ],
    [
      'ablate',
      ablate,
      '--dataset meld7 --table 4 --run d --set a=1 --folds 5 --threads 2 --json',
      { ...stage, dataset: 'meld7', table: 4, run: 'd', set: ['a=1'], folds: 5, threads: 2, json: true },
    ],
    ['eval', evaluate, '--seeds 7', { ...stage, seeds: [7] }],
    ['eval', evaluate, '--seeds all --folds 5', { ...stage, seeds: 'all', folds: 5 }],
    ['runs', runs, '', { root: 'runs' }],
    ['runs', runs, '--root out --json', { root: 'out', json: true }],
    [
      'eval',
      evaluate,
      '--dataset toy4 --run d --stage 1 --json',
      { ...stage, dataset: 'toy4', run: ['d'], stage: 'stage1', json: true },
    ],
    ['eval', evaluate, '--folds 5', { ...stage, folds: 5 }],
    [
      'eval',
      evaluate,
      '--resamples 500 --resample-by speaker --resample-seed 7 --format latex',
      { ...stage, resamples: 500, resampleBy: 'speaker', resampleSeed: 7, format: 'latex' },
    ],
    ['eval', evaluate, '--compare runs/a runs/b', { ...stage, compare: ['runs/a', 'runs/b'] }],
    [
      'predict',
      predict,
      'calls.csv -o out.csv --run d',
      {
        ...stage,
        operands: ['calls.csv'],
        output: 'out.csv',
        run: ['d'],
        pathColumn: 'path',
        textColumn: 'text',
        speakerColumn: 'speaker',
      },
    ],
    [
      'predict',
      predict,
      'calls.csv -o out --run b --run c --path-column wav --text-column said --format jsonl --device cpu',
      {
        device: 'cpu',
        operands: ['calls.csv'],
        output: 'out',
        run: ['b', 'c'],
        pathColumn: 'wav',
        textColumn: 'said',
        speakerColumn: 'speaker',
        format: 'jsonl',
      },
    ],
  ])('%s (%#)', (_, declaration, line, expected) => {
    expect(parse(declaration, line)).toEqual(expected);
  });

  it.each<[CommandDefinition, string]>([
    [prepareToy, '--raw ravdess'],
    [prepareToy, '--speakers 0'],
    [stage1, '--fold 0'],
    [stage1, '--fold 1 --folds 5'],
    [stage1, '--device cuda:x'],
    [stage1, '--precision int8'],
    [stage1, '--fit much'],
    [stage1, '--fit 0GB'],
    [stage1, '--fit 24MB'],
    [evaluate, '--predictions x.csv --precision float32'],
    [predict, 'calls.csv --shard 5/4'],
    [predict, 'calls.csv -o x --run a --bundle b'],
    [predict, 'calls.csv -o x --format xml'],
    [predict, 'calls.csv --run a --windows none'],
    [predict, 'calls.csv -o x --run a --shard 3/2'],
  ])('wrong values are refused (%#)', (declaration, line) => {
    expect(() => parse(declaration, line)).toThrow();
  });
});

/** @file Help, versions, typos and exit codes of the real command line. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CommandEntry, commandEntries } from '../../src/cli/command-table.js';
import { createProgram } from '../../src/cli/program.js';
import { emoq, emoqBin, run } from './command-line.js';
import { emoqHere } from './in-process.js';

const names = commandEntries.map(({ name }) => name);

describe('help', () => {
  it('lists every command on stdout, quickly', async () => {
    const { code, stdout, stderr, elapsedMs } = await emoq(['--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const name of names) expect(stdout).toContain(`  ${name}`);
    console.log(`emoq --help took ${elapsedMs.toFixed(0)} ms`);
  });

  it('loads nothing that computes', async () => {
    const { stdout } = await run(process.execPath, [
      '--input-type=module',
      '-e',
      `const { main } = await import(${JSON.stringify(new URL('../../dist/cli/index.js', import.meta.url).href)});
       await main(['node', 'emoq', 'eval', '--help']);
       const libraries = process.report.getReport().sharedObjects;
       console.log(libraries.filter((path) => path.includes('onnxruntime')).length, libraries.length > 1);`,
    ]);
    expect(stdout.trim().split('\n').at(-1)).toBe('0 true');
  });

  it.each(names)('of %s ends in an example that the command line accepts', async (name) => {
    const { code, stdout } = await emoqHere([name, '--help']);
    expect(code).toBe(0);
    const example = /Example:\n {2}(emoq .*)\n$/.exec(stdout)?.[1];
    expect(example).toBeDefined();
    const args = example!.split(' ').slice(1);
    expect(args[0]).toBe(name);
    let ran = false;
    const entries = commandEntries.map(
      (entry): CommandEntry => ({
        ...entry,
        load: async () => ({
          ...(await entry.load()),
          run: async () => {
            ran = true;
          },
        }),
      }),
    );
    await (await createProgram(entries, args)).parseAsync(args, { from: 'user' });
    expect(ran).toBe(true);
  });

  it('of one command by `help` too', async () => {
    const option = await emoqHere(['stats', '--help']);
    expect(await emoqHere(['help', 'stats'])).toEqual({ code: 0, stdout: option.stdout, stderr: '' });
  });
});

describe('the version', () => {
  it('is that of package.json', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string;
    };
    expect(await emoq(['--version'])).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: '' });
  });
});

describe('wrong usage is one line on stderr and exit code 2', () => {
  // In a folder without runs and corpora: the repository may contain the demo's, which some commands would use.
  const [here, empty] = [process.cwd(), mkdtempSync(join(tmpdir(), 'emoq-usage-'))];
  beforeAll(() => process.chdir(empty));
  afterAll(() => {
    process.chdir(here);
    rmSync(empty, { recursive: true });
  });

  it.each([
    [['stat'], "error: unknown command 'stat' (Did you mean stats?); see emoq --help"],
    [['zzz'], "error: unknown command 'zzz'; see emoq --help"],
    [
      ['stats', '--datset', 'x'],
      "error: unknown option '--datset' (Did you mean --dataset?); see emoq stats --help",
    ],
    [['stats', 'extra'], 'error: too many arguments for'],
    [
      ['prepare-meld'],
      "error: required option '--root <folder>' not specified; see emoq prepare-meld --help",
    ],
    [
      ['prepare-csv', '--name', 'x'],
      "error: missing required argument 'file.csv'; see emoq prepare-csv --help",
    ],
    [
      ['prepare-csv'],
      "error: missing required argument 'file.csv'; required option '--name <name>' not specified; see emoq",
    ],
    [['predict'], "missing required argument 'input'; --run <folder> or --bundle <folder> not specified;"],
    [['predict', 'x.csv', '-o', 'y'], 'error: say which model predicts: --run FOLDER or --bundle FOLDER'],
    [['pull'], "error: missing required argument 'names'; see emoq pull --help"],
    [
      ['export'],
      "argument 'part'; --out <path> not specified; --run <folder> or --checkpoint <folder> not specified;",
    ],
    [
      ['export', 'llm'],
      'say where the model goes: --out FILE.onnx, and what to export: --run FOLDER or --checkpoint FOLDER',
    ],
    [
      ['export', 'encoder'],
      'say where the model goes: --out FILE.onnx, and what to export: --checkpoint FOLDER',
    ],
    [
      ['ablate'],
      "required option '--table <n>' not specified; --dataset <name> or --recipe <file> not specified; see",
    ],
    [['eval', '--device', 'gpu'], 'It must be auto, cpu, webgpu, cuda or cuda:N'],
    [
      ['stage1', '--fit', 'much'],
      "'much' is invalid. It must be a number of GB, such as 24GB or 22.5GiB, or auto; see emoq stage1 --help",
    ],
    [['eval', '--precision', 'int8'], 'Allowed choices are auto, bfloat16, float16, float32'],
    [['eval', '--stage', '3'], 'It must be 1 or 2'],
    [['stage1', '--folds', 'x'], "'x' is invalid. It must be a whole number from 2; see emoq stage1 --help"],
    [['prepare-toy', '--raw', 'x'], 'Allowed choices are meld, iemocap; see emoq prepare-toy --help'],
    [['eval', '--folds', '1.5'], 'It must be a whole number from 2'],
    [['eval', '--predictions', 'x.csv', '--folds', '5'], "option '--predictions <file>' cannot be used with"],
    [['eval', '--resamples', '5'], 'It must be 0 or a whole number from 100 to 1000000'],
    [['eval', '--resample-by', 'word'], 'Allowed choices are utterance, speaker, dialogue'],
    [['eval', '--json', '--format', 'csv'], "option '--json' cannot be used with option '--format <format>'"],
    [['eval', '--compare', 'a', 'b', '--run', 'c'], "option '--compare <two...>' cannot be used with"],
    [['stats', '--dataset', 'a', '--recipe', 'b'], 'cannot be used with'],
    [['eval'], 'error: say what to score'],
    [['stats'], 'error: say what to work on: --dataset NAME, --manifest FILE or --recipe FILE'],
    [['stats', '--dataset', 'medl7'], 'did you mean meld7?'],
  ])('emoq %j', async (args, message) => {
    const { code, stdout, stderr } = await emoqHere(args);
    expect(stderr).toContain(message);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });

  it('in the real process too', async () => {
    expect(await emoq(['stats', '--datset', 'x'])).toMatchObject({
      code: 2,
      stdout: '',
      stderr: "error: unknown option '--datset' (Did you mean --dataset?); see emoq stats --help\n",
    });
  });

  it('no command at all shows the help on stderr', async () => {
    const { code, stdout, stderr } = await emoq([]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('Usage: emoq');
  });
});

describe('manners', () => {
  it('a failure that is not of the input is exit code 1, one line, and a stack under --debug only', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'emoq-usage-'));
    writeFileSync(join(folder, 'clips.csv'), 'path,label\nclip.wav,joy\n');
    const fault = `import fs from 'node:fs/promises'; import { syncBuiltinESMExports } from 'node:module';
      fs.mkdir = () => Promise.reject(new Error('a fault')); syncBuiltinESMExports();`;
    const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(fault)}` };
    const args = ['prepare-toy', '--out', 'x'];
    const [plain, debug] = await Promise.all([
      emoq(args, folder, env),
      emoq([...args, '--debug'], folder, env),
    ]);
    rmSync(folder, { recursive: true });
    expect(plain).toMatchObject({ code: 1, stdout: '' });
    expect(plain.stderr).toMatch(/^error: a fault\nRun again with --debug to see where\.\n$/);
    expect(plain.stderr).not.toContain('\u001b');
    expect(debug.stderr).toMatch(/\n +at /);
  });

  it('a reader that goes away is no error', async () => {
    const pipe = `"${process.execPath}" "${emoqBin}" --help | true`;
    expect(await run('bash', ['-o', 'pipefail', '-c', pipe])).toMatchObject({ code: 0, stderr: '' });
  });
});

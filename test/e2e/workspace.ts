/** @file A temporary working folder in which tests run the command line. */

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Papa from 'papaparse';
import { expect } from 'vitest';
import { readSafetensors, writeSafetensors } from '../../src/engine/tensor/index.js';
import { emoq, emoqBin, type Outcome } from '../cli/command-line.js';
import { emoqHere } from '../cli/in-process.js';
import { copyFolder, madeOnce } from '../suite/made-once.js';

export interface Workspace {
  readonly dir: string;
  path(...parts: string[]): string;
  /** Writes a file, making its folder; returns its name. */
  file(name: string, content: string | Uint8Array): string;
  read(name: string): Buffer;
  /** `emoq ...args` in this folder, in this process or, if the workspace asks for it, in a separate one. */
  run(...args: string[]): Promise<Outcome>;
  /** The same, required to succeed; a failure shows stderr. */
  done(...args: string[]): Promise<Outcome>;
  /** The same in this process, even if the workspace uses separate ones. */
  doneHere(...args: string[]): Promise<Outcome>;
  /** The same as `run`, required to reject its input: one line on stderr, exit code 2, nothing on stdout, no file changed. */
  refused(...args: string[]): Promise<string>;
  /**
   * The output of `prepare-toy --out OUT --speakers N --utterances N` with further options, made once for all test
   * files.
   */
  toyCorpus(speakers: number, utterances: number, out?: string, ...options: string[]): Promise<void>;
  /** small.yaml (`smallRecipe`), its corpus in toy, and a stage-1 run of it in `run`; made once for all test files. */
  smallRun(run: string): Promise<void>;
  /** Starts a command that will be interrupted. */
  start(...args: string[]): RunningCommand;
  remove(): void;
}

export interface RunningCommand {
  /** Resolves when stderr matches. */
  says(pattern: RegExp): Promise<void>;
  signal(name: NodeJS.Signals): void;
  ended: Promise<{ code: number | null; signal: NodeJS.Signals | null; stderr: string; elapsedMs: number }>;
}

/**
 * Creates a workspace. Its feature cache is in a separate folder, so that listings show only what commands write for
 * users.
 */
export function makeWorkspace(name: string, { processes = false } = {}): Workspace {
  const root = realpathSync(mkdtempSync(join(tmpdir(), `emoq-${name}-`)));
  const dir = join(root, 'work');
  mkdirSync(dir);
  const env = { EMOQ_CACHE: join(root, 'features'), NO_COLOR: '1' };
  const path = (...parts: string[]): string => join(dir, ...parts);
  const runHere = (...args: string[]): Promise<Outcome> => emoqHere(withOneThread(args), dir, env);
  const run = processes
    ? (...args: string[]): Promise<Outcome> => emoq(withOneThread(args), dir, env)
    : runHere;
  const succeeding =
    (runIt: typeof run) =>
    async (...args: string[]): Promise<Outcome> => {
      const outcome = await runIt(...args);
      expect(outcome.code, `emoq ${args.join(' ')}\n${outcome.stderr}`).toBe(0);
      return outcome;
    };
  return {
    dir,
    path,
    file(file, content) {
      mkdirSync(join(path(file), '..'), { recursive: true });
      writeFileSync(path(file), content);
      return file;
    },
    read: (file) => readFileSync(path(file)),
    run,
    done: succeeding(run),
    doneHere: succeeding(runHere),
    async refused(...args) {
      const before = listing(dir);
      const { code, stdout, stderr } = await run(...args);
      expect({ code, stdout }, stderr).toEqual({ code: 2, stdout: '' });
      const lines = stderr
        .trimEnd()
        .split('\n')
        .filter((line) => line !== 'computing on cpu');
      expect(lines).toHaveLength(1);
      expect(lines[0]).toMatch(/^error: /);
      expect(listing(dir)).toEqual(before);
      return lines[0]!;
    },
    async toyCorpus(speakers, utterances, out = 'toy', ...options) {
      const sizes = ['--speakers', String(speakers), '--utterances', String(utterances)];
      const args = ['prepare-toy', '--out', out, ...sizes, ...options];
      const made = await madeOnce(args, async (folder) => {
        const { code, stderr } = await emoqHere(args, folder, env);
        expect(code, stderr).toBe(0);
        await halveBackbones(join(folder, out, 'backbones'));
      });
      copyFolder(join(made, out), path(out));
    },
    async smallRun(run) {
      const made = await madeOnce(['small run', smallRecipe], async (folder) => {
        const maker = makeWorkspace('small');
        try {
          maker.file('small.yaml', smallRecipe);
          await maker.toyCorpus(5, 4);
          await maker.done('stage1', '--recipe', 'small.yaml', '--run', 'good');
          copyFolder(join(maker.dir, '..'), folder);
        } finally {
          maker.remove();
        }
      });
      copyFolder(join(made, 'features'), env.EMOQ_CACHE);
      copyFolder(join(made, 'work'), dir);
      if (run !== 'good') renameSync(path('good'), path(run));
    },
    start: (...args) => startCommand(withOneThread(args), dir, { ...process.env, ...env }),
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}

/**
 * Leaves each toy backbone the first half of its layers. Most tests ask nothing of a model's quality, and onnxruntime
 * takes longer to load a graph of four layers than to train it on a toy corpus.
 */
async function halveBackbones(folder: string): Promise<void> {
  for (const name of readdirSync(folder)) {
    const config = join(folder, name, 'config.json');
    const settings = JSON.parse(readFileSync(config, 'utf8')) as { num_hidden_layers: number };
    const layers = settings.num_hidden_layers / 2;
    writeFileSync(config, JSON.stringify({ ...settings, num_hidden_layers: layers }, undefined, 2));
    const weights = join(folder, name, 'model.safetensors');
    const { tensors } = await readSafetensors(weights);
    const isKept = (key: string): boolean => !(Number(/\.layers?\.(\d+)\./.exec(key)?.[1]) >= layers);
    await writeSafetensors(
      weights,
      [...tensors].filter(([key]) => isKept(key)),
      { format: 'pt' },
    );
  }
}

/** Commands with an option for the number of threads. */
const COMPUTING = [
  'stage1',
  'stage2',
  'train',
  'ablate',
  'search',
  'eval',
  'report',
  'explain',
  'predict',
  'transcribe',
];
/** Options that compute nothing, and exclude `--threads`. */
const READING = ['--compare', '--predictions'];

/**
 * Computes with one thread by default: the tests' matrix products are so small that a second thread costs more than it
 * saves, and another test file runs on its core.
 */
function withOneThread(args: readonly string[]): readonly string[] {
  const isComputing = COMPUTING.includes(args[0]!) && !args.some((arg) => READING.includes(arg));
  return isComputing && !args.includes('--threads') ? [...args, '--threads', '1'] : args;
}

/** Every file and folder under `dir`, with size and modification time. */
export function listing(dir: string): Record<string, string> {
  const names = readdirSync(dir, { recursive: true }) as string[];
  return Object.fromEntries(
    names.sort().map((name) => {
      const entry = statSync(join(dir, name), { throwIfNoEntry: false });
      // A temporary file changes a folder's time; only its list of names counts.
      const metadata =
        entry === undefined ? 'dangling' : entry.isFile() ? `${entry.size} ${entry.mtimeMs}` : 'folder';
      return [name, metadata];
    }),
  );
}

/** Files of a run that contain times. */
const CLOCKED = ['timings.jsonl', join('tensorboard', 'events.out.tfevents.0.emoq')];

/** SHA-256 of every file in a folder of the workspace, except files of a run that contain times. */
export function fileDigests(workspace: Workspace, folder: string): Record<string, string> {
  const names = (readdirSync(workspace.path(folder), { recursive: true }) as string[]).sort();
  const files = names.filter(
    (name) =>
      statSync(workspace.path(folder, name)).isFile() && !CLOCKED.some((clocked) => name.endsWith(clocked)),
  );
  const digest = (name: string): string =>
    createHash('sha256')
      .update(workspace.read(`${folder}/${name}`))
      .digest('hex');
  return Object.fromEntries(files.map((name) => [name, digest(name)]));
}

function startCommand(args: readonly string[], cwd: string, env: NodeJS.ProcessEnv): RunningCommand {
  const startMs = performance.now();
  const child = spawn(process.execPath, [emoqBin, ...args], {
    cwd,
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  let check = (): void => {};
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
    check();
  });
  const ended = new Promise<Awaited<RunningCommand['ended']>>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) =>
      resolve({ code, signal, stderr, elapsedMs: performance.now() - startMs }),
    );
  });
  return {
    says: (pattern) =>
      new Promise((resolve, reject) => {
        check = () => pattern.test(stderr) && resolve();
        check();
        void ended.then(() => reject(new Error(`emoq ended without saying ${pattern}:\n${stderr}`)));
      }),
    signal: (name) => void child.kill(name),
    ended,
  };
}

/** A recipe for a toy corpus in `corpus` with toy backbones; `settings` are further top-level keys. */
export function toyRecipe(corpus: string, settings: Readonly<Record<string, unknown>> = {}): string {
  const backbone = (name: string): string => JSON.stringify(`${corpus}/backbones/${name}`);
  const sections: Record<string, unknown> = {
    manifest: `${corpus}/manifest.csv`,
    labels: ['neutral', 'happy', 'angry', 'sad'],
    ...settings,
  };
  const lines = Object.entries(sections).map(([key, value]) => `${key}: ${JSON.stringify(value)}`);
  return [
    ...lines,
    `backbones: {encoder: ${backbone('hubert')}, former: ${backbone('roberta')}, llm: ${backbone('qwen2')}}`,
    '',
  ].join('\n');
}

/** A recipe of a stage 1 that trains quickly, for tests that do not depend on its quality. */
export const smallRecipe = toyRecipe('toy', {
  former: { queries: 4, pooling_heads: 4, head_hidden: 64 },
  stage1: { epochs: 1, batch_size: 8, learning_rate: 1e-3 },
  stage2: { epochs: 1, batch_size: 8 },
  max_audio_sec: 2,
});

/** A prompt without the built-in instructions: a fifth of the tokens, and of the work of stage 2. */
export const shortPrompt = { system: '', user: '{transcript}\n<AUDIO>' };

/** Metrics of a run, line by line. */
export function metricsOf(workspace: Workspace, run: string): Record<string, number>[] {
  return workspace
    .read(`${run}/metrics.jsonl`)
    .toString()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, number>);
}

/** Rows of a CSV as objects. */
export function csvRows(workspace: Workspace, file: string): Record<string, string>[] {
  const text = workspace.read(file).toString().trim();
  return Papa.parse<Record<string, string>>(text, { header: true, delimiter: ',' }).data;
}

/** Folder of real recordings, if this machine has one. */
export const realData = process.env.EMOQ_REAL_DATA;
/** A Python with the package onnx, if this machine has one. */
export const onnxPython = process.env.EMOQ_PYTHON;

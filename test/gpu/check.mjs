/**
 * @file The check of a GPU machine: `node test/gpu/check.mjs`, or `make gpu-check`. Runs the sections of sections.mjs one
 * after another, each in a process of its own with a time limit, writes one JSON file as it goes and prints one table.
 * Needs Node and what emoq needs at run time, and `make gpu-check-cases` before for the gradient rules. `--help` lists
 * the options.
 */

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { markdownOf } from './report.mjs';
import { sections } from './sections.mjs';

const USAGE = `node test/gpu/check.mjs [options]

  --device DEVICE   cuda, cuda:N, or cpu for a trial without a GPU (cuda)
  --size SIZE       full: published models; tiny: small ones, for a trial (full; tiny with --device cpu)
  --only SECTIONS   only these: ${sections.map(({ name }) => name).join(', ')}
  --quick           fewer runs, cases and batches
  --out FILE        the JSON file (gpu-check.json); the table goes beside it, as FILE with .md
  --folder FOLDER   for random weights, 17 GB at full size (a temporary folder)
  --threads N       threads of a run on the CPU (one per core)
  --limit SECONDS   of the whole check; what does not fit is left out (590)

PYTHON names the Python whose PyTorch is compared with (python3).`;

const { values } = parseArgs({
  options: {
    device: { type: 'string', default: 'cuda' },
    size: { type: 'string' },
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
    out: { type: 'string', default: 'gpu-check.json' },
    folder: { type: 'string', default: tmpdir() },
    threads: { type: 'string', default: '0' },
    limit: { type: 'string', default: '590' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) console.log(USAGE);
else process.exitCode = await check();

async function check() {
  const size = values.size ?? (values.device === 'cpu' ? 'tiny' : 'full');
  const chosen = chooseSections(values.only?.split(','), values.device);
  if (typeof chosen === 'string' || !['full', 'tiny'].includes(size)) {
    console.error(typeof chosen === 'string' ? chosen : `--size ${size}: it is full or tiny`);
    return 2;
  }
  const out = resolve(values.out);
  mkdirSync(dirname(out), { recursive: true });
  mkdirSync(values.folder, { recursive: true });
  const folder = mkdtempSync(join(resolve(values.folder), 'emoq-gpu-check-'));
  const { device, quick } = values;
  const options = {
    device,
    size,
    quick,
    folder,
    threads: Number(values.threads),
    python: process.env.PYTHON || 'python3',
  };
  const result = { date: new Date().toISOString(), device, size, quick, sections: [] };
  const save = () => {
    writeFileSync(`${out}.part`, `${JSON.stringify(result, null, 1)}\n`);
    renameSync(`${out}.part`, out);
  };
  const deadline = performance.now() + 1000 * Number(values.limit);
  let child;
  const stop = (signal) => {
    if (child !== undefined) kill(child);
    rmSync(folder, { recursive: true, force: true });
    process.exit(signal === 'SIGINT' ? 130 : 143);
  };
  process.on('SIGINT', stop).on('SIGTERM', stop);
  try {
    for (const section of chosen) {
      const entry = { name: section.name, title: section.title, status: 'running', seconds: 0, rows: [] };
      result.sections.push(entry);
      const limitSec = Math.min(section.limitSec, (deadline - performance.now()) / 1000);
      if (limitSec < 5) Object.assign(entry, { status: 'not run', note: 'no time was left' });
      else {
        console.error(`${section.title} ...`);
        const started = (process) => {
          child = process;
        };
        await runSection(section, options, { entry, limitSec, save, started });
        child = undefined;
        console.error(
          `  ${entry.status}, ${entry.seconds.toFixed(1)} s${entry.note ? `: ${entry.note}` : ''}`,
        );
      }
      save();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const table = markdownOf(result);
  writeFileSync(out.replace(/(\.json)?$/, '.md'), table);
  console.log(table);
  return result.sections.every(({ status, rows }) => status === 'done' && rows.every(({ ok }) => ok)) ? 0 : 1;
}

/** The sections to run, or what is wrong with the choice. */
function chooseSections(names, device) {
  const unknown = names?.find((name) => !sections.some((section) => section.name === name));
  if (unknown !== undefined) return `--only ${unknown}: there is no such section; see --help`;
  const all = sections.filter(({ cudaOnly }) => !(cudaOnly && device === 'cpu'));
  return names === undefined ? all : all.filter(({ name }) => names.includes(name));
}

function runSection({ name, env = {} }, options, { entry, limitSec, save, started }) {
  const startedAt = performance.now();
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL('./section.mjs', import.meta.url)), name, JSON.stringify(options)],
    // A group of its own, which can be ended with everything that it has started.
    {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ORT_DISABLE_TELEMETRY: '1', ...env },
    },
  );
  started(child);
  let timedOut = false;
  let said = '';
  const timer = setTimeout(() => {
    timedOut = true;
    kill(child);
  }, 1000 * limitSec);
  child.stderr.on('data', (text) => {
    said = `${said}${text}`.slice(-4000);
  });
  createInterface({ input: child.stdout }).on('line', (line) => {
    const row = rowOf(line);
    if (row === undefined) return;
    entry.rows.push(row);
    entry.seconds = (performance.now() - startedAt) / 1000;
    save();
  });
  return new Promise((done) => {
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      entry.seconds = (performance.now() - startedAt) / 1000;
      if (timedOut)
        Object.assign(entry, { status: 'ended', note: `took longer than ${Math.round(limitSec)} s` });
      else if (code === 0) entry.status = 'done';
      else
        Object.assign(entry, {
          status: 'failed',
          note: reasonIn(said) ?? `ended with ${signal ?? `code ${code}`}`,
        });
      done();
    });
  });
}

function kill({ pid }) {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

/** A line of a section's output; native libraries may print others. */
function rowOf(line) {
  try {
    const row = JSON.parse(line);
    return typeof row?.kind === 'string' ? row : undefined;
  } catch {
    return undefined;
  }
}

/** The line of an uncaught error, or the last that was printed. */
function reasonIn(text) {
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !/^Node\.js v/.test(line));
  return lines.find((line) => /^\w*Error\b/.test(line)) ?? lines.at(-1);
}

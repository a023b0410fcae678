/** @file The check of a GPU machine, tried on the CPU with tiny models: what it writes, and that it can fail. */

import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const pathOf = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const load = (name: string) => import(new URL(name, import.meta.url).href);

type Row = Record<string, unknown> & { kind: string; ok: boolean };
interface Section {
  name: string;
  status: string;
  note?: string;
  rows: Row[];
}

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'emoq-gpu-check-test-'));
  const compiler = pathOf('../../node_modules/typescript/bin/tsc');
  execFileSync(process.execPath, [compiler, '-p', pathOf('tsconfig.json')]);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs the check and returns its exit code, what it printed, the JSON file's sections and the table. */
async function check(name: string, ...options: string[]) {
  const out = join(folder, `${name}.json`);
  const args = ['--quick', '--threads', '1', '--out', out, '--folder', join(folder, name), ...options];
  const ended = await new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
    const env = { ...process.env, PYTHON: join(folder, 'no-python') }; // which might have PyTorch
    execFile(process.execPath, [pathOf('check.mjs'), ...args], { env }, (error, stdout, stderr) => {
      resolve({ code: Number(error?.code ?? 0), stdout, stderr });
    });
  });
  const text = (path: string) => {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return undefined;
    }
  };
  const json = text(out);
  const sections = json === undefined ? [] : (JSON.parse(json).sections as Section[]);
  return { ...ended, sections, table: text(join(folder, `${name}.md`)) };
}

const rowsOf = (sections: Section[], kind: string) =>
  sections.flatMap(({ rows }) => rows).filter((row) => row.kind === kind);

describe('on the CPU', () => {
  it('runs its sections, writes a row for each result, and leaves no weights behind', async () => {
    const names = 'machine,matrix,stage2,parity-models,parity-rules,stage1,peer,encoder,inference';
    const { code, stdout, stderr, sections, table } = await check('all', '--device', 'cpu', '--only', names);
    expect(sections.map(({ status, note }) => note ?? status)).toEqual(names.split(',').map(() => 'done'));
    expect(sections.map(({ name }) => name)).toEqual(names.split(','));
    expect(sections.flatMap(({ rows }) => rows).filter(({ ok }) => !ok)).toEqual([]);
    expect([code, stdout.trim()], stderr).toEqual([0, table!.trim()]);

    const [machine] = rowsOf(sections, 'machine');
    expect(machine).toMatchObject({ node: process.version, onnxruntime: expect.stringMatching(/^\d+\./) });
    for (const step of rowsOf(sections, 'step')) {
      expect(step.what).toMatch(/^stage-[12] step, tiny /);
      for (const figure of ['stepSec', 'flopPerStep', 'estimateBytes', 'trainable', 'loss'])
        expect(step[figure]).toEqual(expect.any(Number));
    }
    expect(rowsOf(sections, 'step')).toHaveLength(2);
    expect(rowsOf(sections, 'skipped')).toHaveLength(1); // PyTorch
    expect(rowsOf(sections, 'matrix')).toHaveLength(1);
    expect(rowsOf(sections, 'encoder')).toHaveLength(1);
    expect(rowsOf(sections, 'rows')).toHaveLength(1);

    const parity = rowsOf(sections, 'parity');
    const of = (group: string, precision: string) =>
      parity.filter((row) => row.group === group && row.precision === precision);
    const named = (rows: Row[]) => new Set(rows.map(({ what }) => what)).size;
    expect(named(of('rules', 'float32'))).toBeGreaterThan(35); // an operator each
    expect(of('rules', 'bfloat16')).toHaveLength(of('rules', 'float32').length);
    expect(named(of('models', 'float32'))).toBe(5); // an encoder, the probe, both stages, one with checkpointing
    expect(named(of('models', 'bfloat16'))).toBe(3); // the encoder and stage 2
    for (const { error, bound } of parity) expect(error).toBeLessThanOrEqual(bound as number);
    // On the CPU float32 is the same twice; bfloat16 is emulated, and differs.
    expect(of('models', 'bfloat16').every(({ error }) => (error as number) > 1e-4)).toBe(true);
    expect(table).toMatch(/\| gradient rules, float32 \| largest error /);
    expect(readdirSync(join(folder, 'all'))).toEqual([]);
  });
});

describe('what goes wrong', () => {
  it('a section that fails is listed, and the next one runs', async () => {
    const only = ['--only', 'machine,matrix'];
    const { code, sections, table } = await check('failing', '--device', 'quantum', ...only);
    const reason = expect.stringContaining('device "quantum" is not known');
    expect(sections).toMatchObject([
      { name: 'machine', status: 'failed', note: reason },
      { name: 'matrix', status: 'failed', note: reason },
    ]);
    expect(code).toBe(1);
    expect(table).toContain('| Machine | **failed** |');
    expect(table).toContain('0 failed, 2 sections not finished');
  });

  it('sections for which no time is left are listed too', async () => {
    const { code, sections } = await check('late', '--device', 'cpu', '--limit', '0');
    expect(new Set(sections.map(({ status }) => status))).toEqual(new Set(['not run']));
    expect(code).toBe(1);
  });

  it('a section that does not exist is refused', async () => {
    const { code, stderr, sections } = await check('unknown', '--only', 'stage3');
    expect([code, stderr, sections]).toEqual([
      2,
      '--only stage3: there is no such section; see --help\n',
      [],
    ]);
  });

  it('a difference is one of its own in the table, and not a largest error', async () => {
    const { markdownOf } = await load('report.mjs');
    const { relativeError } = await load('attempt.mjs');
    const [close, far, none] = [
      [3, 4.001],
      [3, -4],
      [Number.NaN, 4],
    ].map((values) => relativeError(values, [3, 4]));
    expect(close).toBeCloseTo(2e-4, 10);
    expect([far, none, relativeError([3], [3, 4])]).toEqual([1.6, Infinity, Infinity]);
    expect(relativeError([0.01], [0], 1)).toBeCloseTo(0.01, 10);
    const row = (what: string, error: number | null) => ({
      ...{ kind: 'parity', group: 'models', quantity: 'losses', precision: 'float32', bound: 0.1, what },
      ...{ error, ok: error !== null && error <= 0.1 },
    });
    const rows = [row('stage 1', close!), row('stage 2', far!), row('probe', null)]; // null: Infinity in JSON
    const section = { name: 'parity-models', title: 'Models', status: 'done', seconds: 1, rows };
    const table = markdownOf({ date: '2026-01-02', device: 'cuda', size: 'full', sections: [section] });
    expect(table.split('\n').slice(2)).toEqual([
      '| what | measured | beside it |',
      '|---|---|---|',
      '| models, losses, float32 | largest error 2.0e-4 (stage 1) | bound 1.0e-1; 1 of 3 within the bound |',
      '| stage 2 | **differs** by 1.6e+0 (losses; float32) | bound 1.0e-1 |',
      '| probe | **differs** by no number (losses; float32) | bound 1.0e-1 |',
      '',
      '2 failed, 0 sections not finished, 1 s.',
      '',
    ]);
  });
});

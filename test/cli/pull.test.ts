/** @file `emoq pull` from a user's perspective: results, progress, mistakes, Ctrl-C, and a process killed midway. */

import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { etagOf } from '../checkpoints/hub/fake-hub.js';
import { hubCase, isThere } from '../checkpoints/hub/hub-case.js';
import { emoq, emoqBin } from './command-line.js';
import { emoqHere } from './in-process.js';

const current = hubCase();
const SIZE = 600_000;
const weights = Buffer.from(Uint8Array.from({ length: SIZE }, (_, i) => (i * 7) ^ (i >> 5)));
const files = { 'config.json': '{}', 'model.safetensors': weights, 'flax_model.msgpack': 'no' };

function addModel(id = 'Org/Tiny') {
  const model = current.hub.addModel(id, files);
  const folder = join(current.home, 'hub', `models--${id.replace('/', '--')}`);
  const blob = join(folder, 'blobs', etagOf(model.files.get('model.safetensors')!));
  return {
    model,
    blob,
    partial: `${blob}.emoq.incomplete`,
    snapshot: join(folder, 'snapshots', model.commit),
  };
}

/** Starts the real process, and sends it a signal when part of the weights has arrived. */
async function interrupted(signal: NodeJS.Signals, partial: string) {
  current.hub.paceMs = 10;
  const child = spawn(process.execPath, [emoqBin, 'pull', 'Org/Tiny'], { env: process.env });
  let output = '';
  child.stderr.on('data', (chunk) => {
    output += chunk;
  });
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  while (!(await isThere(partial)) || (await readFile(partial)).length < 50_000) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  child.kill(signal);
  const code = await ended;
  current.hub.paceMs = 0;
  return { code, output };
}

describe('emoq pull', () => {
  it('prints the folder of each model, and the rest on stderr', async () => {
    const [tiny, other] = [addModel(), addModel('Org/Other')];
    const { code, stdout, stderr } = await emoq(['pull', 'Org/Tiny', 'Org/Other', 'Org/Tiny']);
    expect([code, stdout]).toEqual([0, `${tiny.snapshot}\n${other.snapshot}\n`]);
    expect(stderr).toBe(
      ['Tiny', 'Other']
        .map(
          (name, i) => `Org/${name} at commit ${[tiny, other][i]!.model.commit}: 600 kB fetched, 2 files\n`,
        )
        .join(''),
    );
    const again = await emoqHere(['pull', 'Org/Tiny']);
    expect(again).toMatchObject({ code: 0, stdout: `${tiny.snapshot}\n` });
    expect(again.stderr).toContain('complete, 2 files');
  });

  it('killed midway resumes, and the result is the same bytes', async () => {
    const { blob, partial } = addModel();
    expect((await interrupted('SIGKILL', partial)).code).toBeNull();
    expect(await isThere(blob)).toBe(false);
    const left = (await readFile(partial)).length;
    expect(left).toBeLessThan(SIZE);
    current.hub.requests.length = 0;
    const { code, stderr } = await emoq(['pull', 'Org/Tiny']);
    expect(code).toBe(0);
    expect(stderr).toContain('Org/Tiny: resuming with model.safetensors, ');
    expect(current.hub.requests.filter(({ server }) => server === 'store').map(({ range }) => range)).toEqual(
      [`bytes=${left}-`],
    );
    expect((await readFile(blob)).equals(weights)).toBe(true);
    expect(await isThere(partial)).toBe(false);
  });

  it('stops at once on Ctrl-C, keeps what has arrived and says how to resume', async () => {
    const { partial } = addModel();
    const { code, output } = await interrupted('SIGINT', partial);
    expect(code).toBe(130);
    expect(output).toContain('stopped; downloaded data is kept, and the same command resumes');
    const arrived = (await readFile(partial)).length;
    expect(arrived).toBeGreaterThanOrEqual(50_000);
    expect(arrived).toBeLessThan(SIZE);
    expect((await emoqHere(['pull', 'Org/Tiny'])).code).toBe(0);
  });

  it('--dry-run lists files and sizes, and writes nothing', async () => {
    const { model } = addModel();
    const { code, stdout, stderr } = await emoqHere(['pull', 'Org/Tiny', '--dry-run']);
    expect([code, stdout]).toEqual([
      0,
      `Org/Tiny at commit ${model.commit}\n  config.json          2 bytes\n  model.safetensors     600 kB\n`,
    ]);
    expect(stderr).toBe('600 kB to fetch\n');
    expect(await isThere(join(current.home, 'hub'))).toBe(false);
  });

  it('--json prints one object', async () => {
    const { model, snapshot } = addModel();
    const { stdout } = await emoqHere(['pull', 'Org/Tiny', '--json', '--revision', 'v1.0']);
    expect(JSON.parse(stdout)).toEqual({
      models: [
        {
          ...{ id: 'Org/Tiny', revision: 'v1.0', commit: model.commit, folder: snapshot, checked: true },
          files: [
            { path: 'config.json', bytes: 2, bytes_present_before: 0 },
            { path: 'model.safetensors', bytes: SIZE, bytes_present_before: 0 },
          ],
        },
      ],
    });
  });

  it('without network gives what is here, with a warning', async () => {
    const { snapshot } = addModel();
    await emoqHere(['pull', 'Org/Tiny']);
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    const { code, stdout, stderr } = await emoqHere(['pull', 'Org/Tiny']);
    expect([code, stdout]).toEqual([0, `${snapshot}\n`]);
    expect(stderr).toMatch(
      /^warning: Org\/Tiny is present at commit \w+, not verified against the hub: HF_HUB_OFFLINE is set$/m,
    );
  });

  it('warns where the name alone means another snapshot', async () => {
    addModel();
    await emoqHere(['pull', 'Org/Tiny']);
    const moved = { ...addModel().model, commit: '5'.repeat(40) };
    current.hub.models.set('Org/Tiny', moved);
    const { stderr } = await emoqHere(['pull', `Org/Tiny@${moved.commit}`]);
    expect(stderr).toMatch(
      /warning: Org\/Tiny without a revision still means commit .* give .*5{40} to use this one/,
    );
  });

  it.each([
    [
      ['hubert-larg'],
      2,
      'there is no model "hubert-larg" among hubert-base, hubert-large,',
      'did you mean hubert-large?',
    ],
    [['bert'], 2, 'there is no model "bert" among', 'use owner/name for any other'],
    [['Org/Absent'], 2, 'has no model Org/Absent', 'check the name'],
    [['Org/Tiny', 'a/b', '--revision', 'x'], 2, '--revision is for one model', 'name@revision'],
    [['Org/Tiny@v9'], 2, 'Org/Tiny has no revision "v9"', 'http://127.0.0.1:'],
    [[], 2, "missing required argument 'names'", ''],
  ])('%j is one line that says what to do', async (args, code, ...parts) => {
    addModel();
    const outcome = await emoqHere(['pull', ...args]);
    expect(outcome).toMatchObject({ code, stdout: '' });
    expect(outcome.stderr.trim().split('\n')).toHaveLength(1);
    for (const part of parts) expect(outcome.stderr).toContain(part);
  });

  it('a network that fails is exit code 1, in one line', async () => {
    vi.stubEnv('HF_ENDPOINT', 'http://127.0.0.1:1');
    const { code, stderr } = await emoqHere(['pull', 'roberta-base']);
    expect(code).toBe(1);
    expect(stderr).toBe(
      'error: FacebookAI/roberta-base: cannot reach http://127.0.0.1:1: connection refused; run the same command again later\n',
    );
  });
});

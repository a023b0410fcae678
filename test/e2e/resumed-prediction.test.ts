/**
 * @file Predictions that are stopped: killed, interrupted, or refused because something else has changed. The same
 * command goes on after the last whole rows, to the bytes of an undisturbed prediction.
 */

import { chmodSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { encodeWav } from '../../src/data/audio/index.js';
import { emoqBin, run } from '../cli/command-line.js';
import { writeTone } from '../data/audio/ffmpeg-clips.js';
import { listing, makeWorkspace } from './workspace.js';

const work = makeWorkspace('resumed', { processes: true });
afterAll(() => work.remove());

/** Rows that are computed together. */
const CHUNK = 32;
const GATES = [2, 3, 5, 6];
const ROWS = 7 * CHUNK + 5;

/**
 * An ffmpeg that waits at the recordings gate-K.mp3 until there is a file open-K, so that a prediction stops at known
 * rows for as long as a test needs.
 */
const GATE = `#!/bin/bash
if [[ "$*" =~ gate-([0-9]+)\\.mp3 ]]; then
  while [[ ! -e "$GATE_FOLDER/open-\${BASH_REMATCH[1]}" && -d "$GATE_FOLDER" ]]; do sleep 0.02; done
fi
exec ffmpeg "$@"
`;

beforeAll(async () => {
  await work.smallRun('good');
  work.file('gate/ffmpeg', GATE);
  chmodSync(work.path('gate/ffmpeg'), 0o755);
  const clips = Array.from({ length: 20 }, (_, i) => `toy/audio/toy_${String(i + 1).padStart(5, '0')}.wav`);
  const rows = Array.from({ length: ROWS }, (_, i) => {
    const gate = GATES.find((chunk) => i === chunk * CHUNK + 1);
    if (i % 50 === 7) return `missing-${i}.wav,"said, in ${i}"`;
    return `${gate === undefined ? clips[i % 20] : `gate-${gate}.mp3`},"said, in ${i}"`;
  });
  const tone = { channelHz: [300], layout: 'mono' as const, durationSec: 1 };
  for (const gate of GATES) writeTone(work.path(`gate-${gate}.mp3`), tone);
  work.file('rows.csv', `path,text\n${rows.join('\n')}\n`);
  process.env.FFMPEG_PATH = work.path('gate/ffmpeg');
  process.env.GATE_FOLDER = work.path('gate');
  open(...GATES);
  await work.done('predict', 'rows.csv', '-o', 'whole.csv', '--run', 'good');
  await work.done('predict', 'rows.csv', '-o', 'whole.jsonl', '--run', 'good');
}, 120_000);
afterAll(() => {
  delete process.env.FFMPEG_PATH;
  delete process.env.GATE_FOLDER;
});
beforeEach(() => {
  for (const gate of GATES) rmSync(work.path(`gate/open-${gate}`), { force: true });
});

function open(...gates: number[]): void {
  for (const gate of gates) writeFileSync(work.path(`gate/open-${gate}`), '');
}

const predict = (output: string, ...more: string[]): string[] => {
  return ['predict', 'rows.csv', '-o', output, '--run', 'good', ...more];
};

interface ProgressFile {
  readonly identity: { readonly options: Record<string, unknown> };
  readonly done: { readonly next_row: number; readonly bytes: number };
}

const progressOf = (output: string): ProgressFile =>
  JSON.parse(work.read(`${output}.progress.json`).toString()) as ProgressFile;

/** Waits until the rows before a closed gate are done; nothing can be done after them. */
async function reaches(output: string, row: number): Promise<void> {
  while (!existsSync(work.path(`${output}.progress.json`)) || progressOf(output).done.next_row < row) {
    await sleep(5);
  }
  expect(progressOf(output).done.next_row).toBe(row);
}

/** Kills a prediction at each gate in turn. */
async function killed(output: string, partial: string): Promise<void> {
  for (const [index, gate] of GATES.entries()) {
    const command = work.start(...predict(output));
    await reaches(output, gate * CHUNK);
    command.signal('SIGKILL');
    expect((await command.ended).signal).toBe('SIGKILL');
    const text = work.read(partial).toString();
    expect(text.endsWith('\n')).toBe(true);
    expect(text.split('\n').length - 1).toBe(gate * CHUNK + (output.endsWith('.csv') ? 1 : 0));
    expect(work.read(output.replace('killed', 'whole')).toString().startsWith(text)).toBe(true);
    expect(existsSync(work.path(output))).toBe(false);
    open(...GATES.slice(0, index + 1));
  }
}

describe('a prediction', () => {
  it.each([
    ['killed.csv', 'killed.partial.csv'],
    ['killed.jsonl', 'killed.partial.jsonl'],
  ])('that is killed four times ends in the same bytes: %s', async (output, partial) => {
    await killed(output, partial);
    // What a process was writing when it was killed is not a whole row.
    writeFileSync(work.path(partial), `${work.read(partial).toString()}toy/audio/toy_0`);
    open(...GATES);
    const { stderr, stdout } = await work.done(...predict(output));
    expect(stderr).toContain(`going on after ${6 * CHUNK} of ${ROWS} rows\n`);
    expect(stdout).toBe(`${output}\n`);
    const whole = output.replace('killed', 'whole');
    expect(work.read(output).equals(work.read(whole))).toBe(true);
    expect(Object.keys(listing(work.dir)).filter((name) => name.startsWith('killed.'))).toContain(output);
    expect(existsSync(work.path(partial))).toBe(false);
    expect(existsSync(work.path(`${output}.progress.json`))).toBe(false);
    // The counts are those of all rows.
    expect(stderr).toContain(`5 of ${ROWS} rows could not be predicted`);
  });

  it('that is interrupted finishes its rows, says where they are, and goes on', async () => {
    const command = work.start(...predict('stopped.csv'));
    await reaches('stopped.csv', GATES[0]! * CHUNK);
    command.signal('SIGINT');
    await command.says(/press Ctrl-C again/);
    open(GATES[0]!);
    const { code, stderr } = await command.ended;
    expect(code).toBe(130);
    const { next_row } = progressOf('stopped.csv').done;
    expect(stderr).toContain(
      `interrupted after ${next_row} of ${ROWS} rows; they are in ${work.path('stopped.partial.csv')}; run the same command again to go on\n`,
    );
    expect([64, 96]).toContain(next_row);
    open(...GATES);
    await work.done(...predict('stopped.csv'));
    expect(work.read('stopped.csv').equals(work.read('whole.csv'))).toBe(true);
    expect(existsSync(work.path('stopped.csv.lock'))).toBe(false);
  });

  it('that is unfinished goes on with nothing else, and a finished output stays until it is replaced', async () => {
    const output = 'other.csv';
    work.file(output, 'finished,before\n');
    const command = work.start(...predict(output));
    await reaches(output, GATES[0]! * CHUNK);
    expect(await work.refused(...predict(output))).toMatch(
      /^error: process \d+ on \S+ is writing other\.csv; wait for it, or name another file with -o$/,
    );
    command.signal('SIGKILL');
    await command.ended;
    expect(work.read(output).toString()).toBe('finished,before\n');

    const begun = 'error: other.csv is unfinished, and was begun with';
    const advice = 'finish it with the same command as before, or start over with --restart';
    const refused = (...args: string[]) => work.refused(...args);
    expect(await refused(...predict(output, '--channel', '1'))).toBe(
      `${begun} no --channel (now 1); ${advice}`,
    );
    expect(await refused(...predict(output, '--format', 'jsonl'))).toBe(
      `${begun} --format csv (now jsonl); ${advice}`,
    );
    expect(await refused(...predict(output, '--threads', '2'))).toBe(
      `${begun} --threads 1 (now 2); ${advice}`,
    );
    const rows = work.read('rows.csv');
    work.file('rows.csv', Buffer.concat([rows, Buffer.from('more.wav,x\n')]));
    expect(await refused(...predict(output))).toBe(`${begun} another input, or it has changed; ${advice}`);
    work.file('rows.csv', rows);
    await work.done('stage1', '--recipe', 'small.yaml', '--run', 'second', '--set', 'seed=7');
    expect(await refused('predict', 'rows.csv', '-o', output, '--run', 'second')).toBe(
      `${begun} another model; ${advice}`,
    );

    const partial = work.read('other.partial.csv');
    work.file('other.partial.csv', partial.toString().replace('said, in 3', 'said, in E'));
    expect(await refused(...predict(output))).toMatch(
      /other\.partial\.csv has been changed since it was written/,
    );
    const progress = work.read(`${output}.progress.json`);
    work.file(`${output}.progress.json`, progress.subarray(0, 100));
    expect(await refused(...predict(output))).toMatch(/other\.csv\.progress\.json is damaged/);
    rmSync(work.path(`${output}.progress.json`));
    expect(await refused(...predict(output))).toMatch(/other\.partial\.csv is in the way/);
    open(...GATES);
    await work.done(...predict(output, '--restart'));
    expect(work.read(output).equals(work.read('whole.csv'))).toBe(true);
    await work.done(...predict(output));
    expect(work.read(output).equals(work.read('whole.csv'))).toBe(true);
  });

  it('of long recordings in windows has the same bytes, wherever the disk was full', async () => {
    const long = Float32Array.from({ length: 6 * 16_000 }, (_, i) => 0.3 * Math.sin(i / 20));
    work.file('long.wav', encodeWav(long, 16_000));
    const rows = Array.from({ length: 80 }, (_, i) =>
      i % 17 === 5 ? 'long.wav' : 'toy/audio/toy_00001.wav',
    );
    work.file('many.csv', `path\n${rows.join('\n')}\n`);
    const args = ['predict', 'many.csv', '--run', 'good', '--windows', '0.5', '--threads', '1'];
    await work.done(...args, '-o', 'many-whole.csv');
    const limited = ['-c', 'ulimit -f "$1"; shift; exec "$0" "$@"', process.execPath];
    const kept: number[] = [];
    for (const kib of [8, 16, 24]) {
      const line = [...limited, String(kib), emoqBin, ...args, '-o', 'full.csv'];
      const { code, stderr } = await run('bash', line, work.dir, { EMOQ_CACHE: work.path('../features') });
      expect([code, stderr]).toEqual([1, expect.stringContaining('EFBIG')]);
      kept.push(work.read('full.partial.csv').length);
    }
    expect(new Set(kept).size).toBe(3);
    await work.done(...args, '-o', 'full.csv');
    expect(work.read('full.csv').equals(work.read('many-whole.csv'))).toBe(true);
  });
});

/**
 * @file Training killed at thirty moments, including during writes: every file of the run ends as the same bytes as
 * those of an undisturbed run.
 */

import { rmSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/engine/tensor/index.js';
import { fileDigests, makeWorkspace, shortPrompt, toyRecipe } from './workspace.js';

const work = makeWorkspace('killed');
afterAll(() => work.remove());

/** A process saves at most this many states before it is killed. */
const MOST_SAVES = 3;
/** Delay after the last save: about the time until the next. */
const MOST_DELAY_MS = 120;
const POLL_MS = 3;

// Dropout, early stopping and several kept checkpoints must all be restored.
const recipe = toyRecipe('toy', {
  former: { queries: 4, pooling_heads: 4, head_hidden: 64 },
  prompt: shortPrompt,
  keep_checkpoints: 2,
  stage1: { epochs: 4, batch_size: 2, learning_rate: 1e-3, select: 'loss', patience: 2 },
  stage2: { epochs: 10, batch_size: 4, learning_rate: 1e-3, select: 'ua' },
});
const probeRecipe = JSON.stringify({
  system: 'linear-probe',
  manifest: 'toy/manifest.csv',
  labels: ['neutral', 'happy', 'angry', 'sad'],
  keep_checkpoints: 2,
  backbones: { encoder: 'toy/backbones/hubert' },
  probe: { epochs: 40, batch_size: 2, learning_rate: 1e-3, select: 'ua' },
});
const stage1 = ['stage1', '--recipe', 'small.yaml', '--threads', '1'];
const stage2 = ['stage2', '--recipe', 'small.yaml', '--threads', '1', '--set', 'inputs=text'];
const probe = ['train', '--recipe', 'probe.yaml', '--threads', '1'];

const digests = (run: string): Record<string, string> => fileDigests(work, run);

beforeAll(async () => {
  process.env.EMOQ_SAVE_INTERVAL = '0'; // a state after each run of the graph, inside epochs too
  work.file('small.yaml', recipe);
  work.file('probe.yaml', probeRecipe);
  await work.toyCorpus(5, 8);
});
afterAll(() => {
  delete process.env.EMOQ_SAVE_INTERVAL;
});

/** When a file was last renamed into place; 0 before it exists. */
function changedAt(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/** The outcome of a process to be killed after a number of saved states and a delay. */
interface Attempt {
  readonly wasKilled: boolean;
  /** The step that it resumed from, if any. */
  readonly from: number | undefined;
}

async function attempt(
  command: readonly string[],
  folder: string,
  saves: number,
  delayMs: number,
): Promise<Attempt> {
  const state = work.path(folder, 'training_state.safetensors');
  // Before the first state, the lock shows that the folder is being written.
  const watched = saves === 0 ? work.path(folder, 'training.lock') : state;
  let last = changedAt(watched);
  const running = work.start(...command);
  let hasEnded = false;
  const ended = running.ended.finally(() => {
    hasEnded = true;
  });
  for (let seen = 0; seen < Math.max(saves, 1) && !hasEnded; await sleep(POLL_MS)) {
    const now = changedAt(watched);
    if (now !== last) seen += 1;
    last = now;
  }
  await Promise.race([sleep(delayMs), ended]);
  running.signal('SIGKILL');
  const { code, signal, stderr } = await ended;
  if (signal !== 'SIGKILL') expect(code, stderr).toBe(0);
  const from = /resuming after step (\d+) of/.exec(stderr)?.[1];
  return { wasKilled: signal === 'SIGKILL', from: from === undefined ? undefined : Number(from) };
}

describe.each([
  ['stage 1', stage1, 'stage1', 12, 10],
  ['stage 2', stage2, 'stage2', 6, 10],
  ['a probe', probe, 'probe', 12, 10],
] as const)('%s, killed again and again', (name, command, folder, stepsPerEpoch, kills) => {
  it('ends with the bytes of an undisturbed run', async () => {
    await work.done(...command, '--run', `${name} whole`);
    const expected = digests(`${name} whole/${folder}`);
    const killedRun = `${name} killed`;
    const random = seededRandom(5, 'kill', name);
    const places: (number | undefined)[] = [];
    for (let killed = 0; killed < kills; ) {
      const { wasKilled, from } = await attempt(
        [...command, '--run', killedRun],
        `${killedRun}/${folder}`,
        random.integer(MOST_SAVES + 1),
        MOST_DELAY_MS * random.uniform(),
      );
      places.push(from);
      if (wasKilled) {
        killed += 1;
        continue;
      }
      // It finished before it could be killed: compare it too, and start over.
      expect(digests(`${killedRun}/${folder}`)).toEqual(expected);
      rmSync(work.path(killedRun), { recursive: true });
    }
    await work.done(...command, '--run', killedRun);
    expect(digests(`${killedRun}/${folder}`)).toEqual(expected);
    console.log(`${name} went on after steps ${places.map((place) => place ?? 0).join(', ')}`);
    const steps = new Set(places.filter((place) => place !== undefined));
    expect(steps.size).toBeGreaterThan(4);
    expect([...steps].some((step) => step % stepsPerEpoch !== 0)).toBe(true);
  });
});

/** @file Repeated runs in one process: private memory left behind by closed sessions. */

import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const RUNS = 16;
/** 1024 x 1024 x 4 = 4,194,304, held once between runs. */
const STATE_BYTES = 1024 * 1024 * 4;

/**
 * Growth of anonymous memory (not backed by a file), in bytes, over a number of runs in one process, each with its own
 * thread and session, after some warm-up runs.
 */
async function growth(atTheEnd: 'closed' | 'left open'): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'emoq-runs-'));
  const engine = new URL('../../dist/engine/', import.meta.url).href;
  const path = join(folder, 'runs.mjs');
  await writeFile(
    path,
    `
    import { readFileSync } from 'node:fs';
    import { add, addInput, addOutput, createGraph, serializeModel } from '${engine}onnx/index.js';
    import { startSessionWorker } from '${engine}runtime/index.js';
    import { float32, tensor } from '${engine}tensor/index.js';
    const graph = createGraph('steps');
    const shape = [1024, 1024];
    addOutput(graph, add(addInput(graph, 'w', 'float32', shape), addInput(graph, 'x', 'float32', [])), 'w_next');
    const model = serializeModel(graph);
    const state = [{ input: 'w', output: 'w_next', dtype: 'float32', shape }];
    const workers = [];
    async function run() {
      const worker = startSessionWorker();
      workers.push(worker);
      const session = await worker.open(model, { device: { kind: 'cpu' }, threads: 1, withoutArena: true }, state);
      await session.setState({ w: tensor('float32', shape) });
      for (let k = 0; k < 3; k++) await session.run({ x: float32([], [1]) });
      if (${atTheEnd === 'closed'}) await workers.pop().close();
    }
    const anonymous = () => 1024 * Number(/RssAnon:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]);
    for (let i = 0; i < 4; i++) await run();
    const before = anonymous();
    for (let i = 0; i < ${RUNS}; i++) await run();
    console.log(anonymous() - before);
    for (const worker of workers) await worker.close();
  `,
  );
  const { stdout } = await promisify(execFile)(process.execPath, [path]);
  await rm(folder, { recursive: true });
  return Number(stdout);
}

const onLinux = process.platform === 'linux';
if (!onLinux) console.log('skipped: memory of its own is read from /proc, which only Linux has');

describe.skipIf(!onLinux)('runs one after another in a process', () => {
  it('do not add up: a closed one gives its thread, its session and its state back', async () => {
    expect(await growth('closed')).toBeLessThan(0.5 * RUNS * STATE_BYTES);
  });

  it('would show if they did: those left open hold all of that', async () => {
    expect(await growth('left open')).toBeGreaterThan(RUNS * STATE_BYTES);
  });
});

/** @file Sessions, the worker thread that owns them, and their resident state. */

import { execFile, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { InputError } from '../../src/base/index.js';
import {
  add,
  addInitializer,
  addInput,
  addOutput,
  cast,
  createGraph,
  layerNorm,
  loop,
  matmul,
  mul,
  reduceSum,
  serializeModel,
  slice,
  type Value,
} from '../../src/engine/onnx/index.js';
import {
  createSession,
  type SessionWorker,
  type StateSlot,
  startSessionWorker,
  type WorkerSession,
} from '../../src/engine/runtime/index.js';
import {
  encodeHalf,
  float32,
  int64,
  readSafetensors,
  type Tensor,
  tensor,
  writeSafetensors,
} from '../../src/engine/tensor/index.js';

const cpu = { device: { kind: 'cpu' }, threads: 1 } as const;
const slots: readonly StateSlot[] = [
  { input: 'x', output: 'x_next', dtype: 'float32', shape: [2, 2] },
  { input: 'count', output: 'count_next', dtype: 'int64', shape: [] },
];

/** x_next = 0.9 x + u, count_next = count + 1, y = sum(x): state carried from run to run. */
function decay(): Uint8Array {
  const graph = createGraph('decay');
  const [x, u] = ['x', 'u'].map((name) => addInput(graph, name, 'float32', [2, 2]));
  const count = addInput(graph, 'count', 'int64', []);
  addOutput(graph, add(mul(x!, 0.9), u!), 'x_next');
  addOutput(graph, add(count, 1), 'count_next');
  addOutput(graph, reduceSum(x!), 'y');
  return serializeModel(graph);
}

/** `trips` products of 256 x 256 matrices: a run of any length. */
function products(): Uint8Array {
  const graph = createGraph('products');
  const x = addInput(graph, 'x', 'float32', [256, 256]);
  const trips = addInput(graph, 'trips', 'int64', []);
  const { states } = loop(trips, 'K', [x], (_, __, [state]) => ({
    states: [mul(matmul(state!, x), 1e-3)],
    collected: [],
  }));
  addOutput(graph, states[0]!, 'y');
  return serializeModel(graph);
}

const productFeeds = (trips: number): Record<string, Tensor> => ({
  x: tensor('float32', [256, 256]),
  trips: int64([], [trips]),
});

/** Number of products that take about `durationMs` here. */
async function tripsFor(session: WorkerSession, durationMs: number): Promise<number> {
  await session.run(productFeeds(10));
  const begin = performance.now();
  await session.run(productFeeds(100));
  return Math.ceil((100 * durationMs) / (performance.now() - begin));
}

const u = (k: number): Tensor => float32([2, 2], [k, -k, 0.5, 1 / k]);
const start = { x: float32([2, 2], [1, 2, 3, 4]), count: int64([], [10]) };

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'emoq-runtime-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const workers: SessionWorker[] = [];
function startWorker(): SessionWorker {
  const worker = startSessionWorker();
  workers.push(worker);
  return worker;
}
afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.close()));
});

describe('a session', () => {
  it('names its inputs and outputs, and computes only what is asked for', async () => {
    const session = await createSession(decay(), cpu);
    expect(session.inputNames).toEqual(['x', 'u', 'count']);
    expect(session.outputNames).toEqual(['x_next', 'count_next', 'y']);
    expect(await session.run({ ...start, u: u(1) }, ['y'])).toEqual({ y: float32([], [10]) });
    await session.dispose();
  });
  it('writes a profile, which shows a residual and its layer norm unfused on the CPU', async () => {
    const graph = createGraph('residual');
    const [x, y] = ['x', 'y'].map((name) => addInput(graph, name, 'float32', ['N', 'L', 4])) as [
      Value,
      Value,
    ];
    const scale = addInitializer(graph, 'scale', float32([4], [1, 1, 1, 1]));
    addOutput(graph, layerNorm(add(x, y), scale, scale, 1e-5), 'z');
    const profilePrefix = join(folder, 'profile');
    const session = await createSession(serializeModel(graph), { ...cpu, profilePrefix });
    await session.run({ x: tensor('float32', [1, 2, 4]), y: tensor('float32', [1, 2, 4]) });
    await session.dispose();
    const [name] = (await readdir(folder)).filter((each) => each.startsWith('profile'));
    const events = JSON.parse(await readFile(join(folder, name!), 'utf8')) as {
      args?: { op_name?: string };
    }[];
    const operators = new Set(events.map(({ args }) => args?.op_name));
    expect(operators).toContain('LayerNormalization');
    expect(operators).not.toContain('SkipLayerNormalization');
  });
  it('takes a view into a larger array', async () => {
    const session = await createSession(decay(), cpu);
    const large = Float32Array.from([9, 9, 9, 1, 2, 3, 4, 9]);
    const feeds = { ...start, x: tensor('float32', [2, 2], large.subarray(3, 7)), u: u(1) };
    expect((await session.run(feeds, ['y'])).y).toEqual(float32([], [10]));
    await session.dispose();
    const opened = await startWorker().open(decay(), cpu);
    expect((await opened.run(feeds)).y).toEqual(float32([], [10]));
  });
  it('takes and gives 16-bit floats as words, booleans, and tensors without elements', async () => {
    const graph = createGraph('types');
    const half = addInput(graph, 'half', 'float16', ['N']);
    const flag = addInput(graph, 'flag', 'bool', ['N']);
    const count = cast(flag, 'int64');
    addOutput(graph, add(half, half), 'double');
    addOutput(graph, cast(count, 'bool'), 'flag_out');
    addOutput(graph, slice(half, 0, 1), 'tail');
    const session = await createSession(serializeModel(graph), cpu);
    const outputs = await session.run({
      half: tensor('float16', [1], encodeHalf(Float32Array.of(1.5))),
      flag: tensor('bool', [1], Uint8Array.of(1)),
    });
    expect(outputs.double).toEqual(tensor('float16', [1], encodeHalf(Float32Array.of(3))));
    expect(outputs.double!.data).toBeInstanceOf(Uint16Array);
    expect(outputs.flag_out).toEqual(tensor('bool', [1], Uint8Array.of(1)));
    expect(outputs.tail).toEqual(tensor('float16', [0]));
    await session.dispose();
  });
});

describe('a session in the worker', () => {
  it('leaves the event loop alive through a long run', async () => {
    const session = await startWorker().open(products(), cpu);
    // No timer ticks in the thread that computes; in another thread they do, if the run is long enough.
    let ticks = 0;
    for (let trips = 1000; ticks < 10 && trips <= 1_024_000; trips *= 4) {
      ticks = 0;
      const timer = setInterval(() => {
        ticks += 1;
      }, 5);
      await session.run(productFeeds(trips));
      clearInterval(timer);
    }
    expect(ticks).toBeGreaterThanOrEqual(10);
  });

  it('carries its state as feeding it by hand does', async () => {
    const byHand = await createSession(decay(), cpu);
    const opened = await startWorker().open(decay(), cpu, slots);
    await opened.setState(start);
    let state: Record<string, Tensor> = start;
    for (let k = 1; k <= 5; k++) {
      const { x_next, count_next, y } = await byHand.run({ ...state, u: u(k) });
      expect(await opened.run({ u: u(k) })).toEqual({ y });
      state = { x: x_next!, count: count_next! };
      expect(await opened.readState(['count', 'x'])).toEqual(state);
    }
    expect(state.count).toEqual(int64([], [15]));
    await byHand.dispose();
  });
  it('starts from zeros, and gives copies of its state', async () => {
    const opened = await startWorker().open(decay(), cpu, slots);
    const { x } = await opened.readState(['x']);
    expect(x).toEqual(tensor('float32', [2, 2]));
    (x!.data as Float32Array).fill(7);
    expect((await opened.run({ u: u(1) })).y).toEqual(float32([], [0]));
  });
  it('keeps its state when a run fails', async () => {
    const opened = await startWorker().open(decay(), cpu, slots);
    await opened.setState(start);
    await expect(opened.run({ u: float32([3, 3], Array(9).fill(1)) })).rejects.toThrow(/u\b/);
    await expect(opened.run({})).rejects.toThrow(/u\b/);
    expect(await opened.readState(['x', 'count'])).toEqual(start);
    expect((await opened.run({ u: u(1) })).y).toEqual(float32([], [10]));
  });
  it('refuses a graph whose new state is not like the old', async () => {
    const graph = createGraph('shrinking');
    addOutput(graph, reduceSum(addInput(graph, 'x', 'float32', [2, 2]), [0]), 'x_next');
    const opened = await startWorker().open(serializeModel(graph), cpu, [slots[0]!]);
    await opened.setState({ x: start.x });
    await expect(opened.run({})).rejects.toThrow('state x is float32 [2, 2], got float32 [2]');
    expect(await opened.readState(['x'])).toEqual({ x: start.x });
  });
  it('takes of a larger array only the part that is its own', async () => {
    const opened = await startWorker().open(decay(), cpu, slots);
    const large = Float32Array.from([9, 9, 9, 1, 2, 3, 4, 9]);
    await opened.setState({ x: tensor('float32', [2, 2], large.subarray(3, 7)) });
    const { x } = await opened.readState(['x']);
    expect(x).toEqual(start.x);
    expect(x!.data.buffer.byteLength).toBe(16);
  });
  it('refuses state that it has not, or of another kind', async () => {
    const opened = await startWorker().open(decay(), cpu, slots);
    await expect(opened.setState({ z: u(1) })).rejects.toThrow('no state is called z');
    await expect(opened.readState(['z'])).rejects.toThrow('no state is called z');
    await expect(opened.setState({ x: float32([4], [1, 2, 3, 4]) })).rejects.toThrow(
      'state x is float32 [2, 2], got float32 [4]',
    );
    await expect(opened.setState({ count: float32([], [1]) })).rejects.toThrow(
      'state count is int64 [], got float32 []',
    );
  });

  it('shares its thread with others without mixing states', async () => {
    const worker = startWorker();
    const [a, b] = await Promise.all([worker.open(decay(), cpu, slots), worker.open(decay(), cpu, slots)]);
    const c = await worker.open(products(), cpu);
    await Promise.all([a.setState(start), b.setState({ x: float32([2, 2], [0, 0, 0, 1]) })]);
    const results = await Promise.all([
      a.run({ u: u(1) }),
      b.run({ u: u(1) }),
      c.run(productFeeds(2)),
      b.run({ u: u(1) }),
    ]);
    expect(results.map(({ y }) => y!.data[0])).toEqual([10, 1, 0, expect.closeTo(0.9 + 1.5, 5)]);
    await a.dispose();
    await expect(a.run({ u: u(1) })).rejects.toThrow('session 1 is not open');
    await expect(b.run({ u: u(2) })).resolves.toBeDefined();
  });
  it('rejects with what onnxruntime says, and its thread goes on', async () => {
    const worker = startWorker();
    await expect(worker.open(new Uint8Array([1, 2, 3]), cpu)).rejects.toThrow(/protobuf|model/i);
    const opened = await worker.open(decay(), cpu);
    await expect(opened.run({ x: start.x, u: u(1) })).rejects.toThrow(/count/);
    await expect(opened.run({ x: start.count, u: u(1), count: start.count })).rejects.toThrow(/x\b.*|type/i);
    expect((await opened.run({ ...start, u: u(1) })).y).toEqual(float32([], [10]));
  });
});

describe('state on disk', () => {
  const save = async (): Promise<string> => {
    const opened = await startWorker().open(decay(), cpu, slots);
    await opened.setState(start);
    await opened.run({ u: u(1) });
    const path = join(folder, 'deep', 'checkpoint.safetensors');
    await opened.saveState(path, ['x', 'count'], { step: '11' });
    return path;
  };
  it('is the state, with its metadata', async () => {
    const { tensors, metadata } = await readSafetensors(await save());
    expect(metadata).toEqual({ step: '11' });
    expect(tensors.get('count')).toEqual(int64([], [11]));
    expect(tensors.get('x')!.data[0]).toBeCloseTo(1.9, 6);
  });
  it('goes on in another process as if nothing had happened', async () => {
    const straight = await startWorker().open(decay(), cpu, slots);
    await straight.setState(start);
    await straight.run({ u: u(1) });
    const resumed = await startWorker().open(decay(), cpu, slots);
    await resumed.loadState(await save());
    for (let k = 2; k <= 4; k++)
      expect(await resumed.run({ u: u(k) })).toEqual(await straight.run({ u: u(k) }));
    expect(await resumed.readState(['x', 'count'])).toEqual(await straight.readState(['x', 'count']));
  });
  it('that does not fit is refused whole, in one line', async () => {
    const opened = await startWorker().open(decay(), cpu, slots);
    await opened.setState(start);
    const path = join(folder, 'other.safetensors');
    const refused = async (tensors: [string, Tensor][], message: string): Promise<void> => {
      await writeSafetensors(path, tensors);
      const error = await opened.loadState(path).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(InputError);
      expect((error as Error).message).toBe(message);
      expect(await opened.readState(['x', 'count'])).toEqual(start);
    };
    await refused([['x', u(1)]], `${path} holds no tensor count; it belongs to another run`);
    await refused(
      [
        ['x', u(1)],
        ['count', float32([], [1])],
      ],
      `${path} belongs to another run: its count is float32 [], here it is int64 []`,
    );
    await writeFile(path, 'nothing of the kind');
    await expect(opened.loadState(path)).rejects.toBeInstanceOf(InputError);
    const absent = join(folder, 'absent.safetensors');
    await expect(opened.loadState(absent)).rejects.toThrow(
      new InputError(`safetensors file ${absent} does not exist`),
    );
  });
  it('of an unknown name is not written', async () => {
    const opened = await startWorker().open(decay(), cpu, slots);
    const path = join(folder, 'unknown.safetensors');
    await expect(opened.saveState(path, ['x', 'z'], {})).rejects.toThrow('no state is called z');
    await expect(stat(path)).rejects.toThrow('ENOENT');
  });
});

describe('closing a worker', () => {
  it('while it is idle refuses what comes after', async () => {
    const worker = startWorker();
    const opened = await worker.open(decay(), cpu, slots);
    await worker.close();
    await worker.close();
    await expect(opened.run({ u: u(1) })).rejects.toThrow('the compute thread was closed');
    await expect(worker.open(decay(), cpu)).rejects.toThrow('the compute thread was closed');
  });
  it('right after it was started', async () => {
    await startWorker().close();
  });
  it('while it computes rejects at once, drops what is queued, and ends with the run', async () => {
    const worker = startWorker();
    const opened = await worker.open(products(), cpu);
    const stateful = await worker.open(decay(), cpu, slots);
    const trips = await tripsFor(opened, 500);
    const run = opened.run(productFeeds(trips)).catch((error: Error) => error.message);
    // Queued after the run: a file would show that it was not dropped.
    const path = join(folder, 'dropped.safetensors');
    const saved = stateful.saveState(path, ['x'], {}).catch((error: Error) => error.message);
    await new Promise((resolve) => setTimeout(resolve, 50));
    let hasClosed = false;
    const closed = worker.close().then(() => {
      hasClosed = true;
    });
    expect(await Promise.all([run, saved])).toEqual(Array(2).fill('the compute thread was closed'));
    expect(hasClosed).toBe(false);
    await closed;
    expect(existsSync(path)).toBe(false);
  });
});

describe('a process', () => {
  const engine = new URL('../../dist/engine/', import.meta.url).href;
  /** Runs a script with the engine's functions in scope; resolves with its output if it exits with 0. */
  const script = async (body: string, open = true): Promise<{ stdout: string; stderr: string }> => {
    const head = `
      import * as onnx from '${engine}onnx/index.js';
      import { startSessionWorker } from '${engine}runtime/index.js';
      import { int64, tensor } from '${engine}tensor/index.js';
      const graph = onnx.createGraph('script');
      const x = onnx.addInput(graph, 'x', 'float32', [256, 256]);
      const trips = onnx.addInput(graph, 'trips', 'int64', []);
      const { states } = onnx.loop(trips, 'K', [x], (_, __, [s]) => ({ states: [onnx.matmul(s, x)], collected: [] }));
      onnx.addOutput(graph, states[0], 'y');
      const feeds = (count) => ({ x: tensor('float32', [256, 256]), trips: int64([], [count]) });
      const worker = startSessionWorker();
    `;
    const session = `
      const session = await worker.open(onnx.serializeModel(graph), { device: { kind: 'cpu' }, threads: 1 });
    `;
    const path = join(folder, 'script.mjs');
    await writeFile(path, head + (open ? session : '') + body);
    return promisify(execFile)(process.execPath, [path]);
  };
  it('ends by itself when nothing is waiting, without closing its worker', async () => {
    const { stdout, stderr } = await script(`
      await session.run(feeds(1));
      process.on('exit', (code) => console.log('exit', code));
    `);
    expect(stdout).toBe('exit 0\n');
    expect(stderr).toBe('');
  });
  it('ends by itself when a worker was started for nothing', async () => {
    const { stdout } = await script(`process.on('exit', (code) => console.log('exit', code));`, false);
    expect(stdout).toBe('exit 0\n');
  });
  it('stays for an answer that is still to come', async () => {
    const { stdout } = await script(`session.run(feeds(300)).then(({ y }) => console.log(y.shape.join()));`);
    expect(stdout).toBe('256,256\n');
  });
  it('that exits in the middle of a run does so cleanly', async () => {
    const { stderr } = await script(`
      for (let k = 0; k < 20; k++) session.run(feeds(1000)).catch(() => {});
      setTimeout(() => process.exit(0), 50);
    `);
    expect(stderr).toBe('');
  });
});

describe('a worker', () => {
  it('starts from a program given on the command line, whose flags are not its own', () => {
    const runtimeUrl = new URL('../../dist/engine/runtime/index.js', import.meta.url).href;
    const onnx = new URL('../../dist/engine/onnx/index.js', import.meta.url).href;
    const program = `
      import { startSessionWorker } from '${runtimeUrl}';
      import { addInput, addOutput, createGraph, mul, serializeModel } from '${onnx}';
      const graph = createGraph('double');
      addOutput(graph, mul(addInput(graph, 'x', 'float32', ['N']), 2), 'y');
      const worker = startSessionWorker();
      const session = await worker.open(serializeModel(graph), { device: { kind: 'cpu' } });
      const { y } = await session.run({ x: { dtype: 'float32', shape: [1], data: Float32Array.of(21) } });
      console.log(y.data[0]);
      await worker.close();`;
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
    });
    expect({ stdout, stderr }).toEqual({ stdout: '42\n', stderr: '' });
  });
});

/** @file Graphs: names, Loop, external weights, and onnx's own checker. */

import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { type GraphProto, ModelProtoSchema } from 'onnx-buf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gradients, rules } from '../../src/engine/autodiff/index.js';
import * as onnx from '../../src/engine/onnx/index.js';
import { createSession } from '../../src/engine/runtime/index.js';
import {
  decodeBfloat16,
  encodeBfloat16,
  float32,
  int64,
  normalArray,
  readSafetensorsHeader,
  seededRandom,
  type Tensor,
  tensor,
  writeSafetensors,
} from '../../src/engine/tensor/index.js';
import { callGraph, operatorCalls, run } from './onnx-operators.js';

const { add, addDims, addInitializer, addInput, addOutput, cast, createGraph, gelu } = onnx;
const { layerNorm, loop, matmul, mul, reduceSum, serializeModel, withScope } = onnx;
type Value = onnx.Value;
type Graph = onnx.Graph;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'emoq-onnx-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function parse(graph: Graph): GraphProto {
  return fromBinary(ModelProtoSchema, serializeModel(graph)).graph!;
}

const close = (values: readonly number[]): unknown => values.map((value) => expect.closeTo(value, 5));

/** All names of values and nodes in a model, including its subgraphs. */
function namesOf(graph: GraphProto): { values: string[]; nodes: string[] } {
  const inner = graph.node.flatMap((node) => node.attribute.flatMap(({ g }) => (g ? [namesOf(g)] : [])));
  const own = [
    ...graph.input.map(({ name }) => name),
    ...graph.initializer.map(({ name }) => name),
    ...graph.node.flatMap(({ output }) => output),
  ];
  return {
    values: [...own, ...inner.flatMap(({ values }) => values)],
    nodes: [...graph.node.map(({ name }) => name), ...inner.flatMap(({ nodes }) => nodes)],
  };
}

describe('names', () => {
  it('are paths through the scopes, numbered where they repeat', () => {
    const graph = createGraph('names');
    const x = addInput(graph, 'x', 'float32', [2, 2]);
    const layer = (): Value =>
      withScope(graph, 'encoder', () => withScope(graph, 'layer.0', () => matmul(x, x)));
    expect(layer().name).toBe('/encoder/layer.0/MatMul/output');
    expect(layer().name).toBe('/encoder/layer.0/MatMul_1/output');
    expect(matmul(x, x).producer!.name).toBe('/MatMul');
  });
  it('leave their scope when building fails', () => {
    const graph = createGraph('names');
    const x = addInput(graph, 'x', 'float32', [2]);
    expect(() => withScope(graph, 'broken', () => matmul(x, x))).toThrow();
    expect(onnx.exp(x).name).toBe('/Exp/output');
  });
  it('of inputs, weights and outputs are the given ones, once each', () => {
    const graph = createGraph('names');
    const x = addInput(graph, 'x', 'float32', [2]);
    expect(() => addInput(graph, 'x', 'float32', [2])).toThrow('the name x is taken in graph names');
    expect(() => addInitializer(graph, 'x', float32([1], [0]))).toThrow('the name x is taken');
    const y = onnx.exp(x);
    addOutput(graph, y, 'logits');
    expect(() => addOutput(graph, onnx.exp(x), 'logits')).toThrow('the name logits is taken');
    expect(y.name).toBe('logits');
    expect(parse(graph).output.map(({ name }) => name)).toEqual(['logits']);
  });
  it('let an input, a weight or one value twice be outputs', async () => {
    const graph = createGraph('copies');
    const x = addInput(graph, 'x', 'float32', [2]);
    const w = addInitializer(graph, 'w', float32([2], [5, 6]));
    const y = add(x, w);
    for (const [name, value] of Object.entries({ x_out: x, w_out: w, y_out: y, y_again: y }))
      addOutput(graph, value, name);
    const outputs = await run(graph, { x: float32([2], [1, 2]) });
    expect(Object.entries(outputs).map(([name, { data }]) => [name, ...data])).toEqual([
      ['x_out', 1, 2],
      ['w_out', 5, 6],
      ['y_out', 6, 8],
      ['y_again', 6, 8],
    ]);
  });
  it('are unique across a graph and all graphs inside it', () => {
    const { graph, inputs } = callGraph();
    for (const name of Object.keys(operatorCalls)) operatorCalls[name]!(inputs, graph);
    operatorCalls.loop!(inputs, graph);
    operatorCalls.loop!(inputs, graph);
    const { values, nodes } = namesOf(parse(graph));
    expect(nodes.filter((name) => /\/Loop/.test(name))).toHaveLength(3);
    for (const names of [values, nodes])
      expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
  });
});

describe('a model', () => {
  it('says what it is: opset 18, its producer, description and metadata', () => {
    const graph = createGraph('former');
    addOutput(graph, onnx.exp(addInput(graph, 'x', 'float32', ['N', addDims('L', 32), 4])), 'y');
    const model = fromBinary(
      ModelProtoSchema,
      serializeModel(graph, { description: 'why', metadata: { seed: '7' } }),
    );
    expect(model.opsetImport).toMatchObject([{ domain: '', version: 18n }]);
    expect(model).toMatchObject({ irVersion: 8n, producerName: 'emoq', docString: 'why' });
    expect(model.metadataProps).toMatchObject([{ key: 'seed', value: '7' }]);
    const type = model.graph!.input[0]!.type!.value;
    const dims = type.case === 'tensorType' ? type.value.shape!.dim.map(({ value }) => value.value) : [];
    expect(dims).toEqual(['N', 'L + 32', 4n]);
  });
  it('has no cast of a stored weight that nobody reads', () => {
    const graph = createGraph('embeddings');
    const words = addInitializer(graph, 'words', tensor('float16', [4, 2]));
    const wide = onnx.cast(words, 'float32');
    const row = onnx.gather(words, addInput(graph, 'row', 'int64', []), 0);
    addOutput(graph, onnx.cast(row, 'float32'), 'y');
    expect(parse(graph).node.map(({ opType }) => opType)).toEqual(['Gather', 'Cast']);
    addOutput(graph, onnx.exp(wide), 'z');
    expect(parse(graph).node.map(({ opType }) => opType)).toEqual(['Cast', 'Gather', 'Cast', 'Exp']);
  });

  it('has the statistics of a layer norm only if they are read', () => {
    const build = (train: boolean): Graph => {
      const graph = createGraph('norm');
      const [x, scale] = [
        addInput(graph, 'x', 'float32', ['N', 4]),
        addInput(graph, 'scale', 'float32', [4]),
      ];
      const y = layerNorm(x, scale, scale, 1e-5);
      addOutput(graph, train ? gradients(reduceSum(mul(y, y)), [x])[0]! : y, 'y');
      return graph;
    };
    const outputsOf = (graph: Graph): number =>
      parse(graph).node.find(({ opType }) => opType === 'LayerNormalization')!.output.length;
    expect(outputsOf(build(false))).toBe(1);
    expect(outputsOf(build(true))).toBe(3);
    const readInside = build(false);
    const mean = readInside.nodes[0]!.outputs[1]!;
    loop(onnx.scalar(readInside, 1, 'int64'), 1, [onnx.scalar(readInside, 0)], (_, __, [state]) => ({
      states: [state!],
      collected: [{ name: 'mean', value: add(mean, state!) }],
    }));
    expect(outputsOf(readInside)).toBe(3);
  });
  it('shares small constants of equal content', () => {
    const graph = createGraph('shared');
    const x = addInput(graph, 'x', 'float32', [2]);
    addOutput(graph, add(mul(add(x, 0.5), 0.5), 1), 'y');
    expect(parse(graph).initializer).toHaveLength(2);
  });
});

describe('a loop', () => {
  /** x_k+1 = x_k / 2 + k; collects x_k and k. */
  function halving(x: Value, trips: Value): onnx.LoopResult {
    return loop(trips, 'K', [x], (_, iteration, [state]) => ({
      states: [add(mul(state!, 0.5), cast(iteration, 'float32'))],
      collected: [
        { name: 'state', value: state! },
        { name: 'iteration', value: iteration },
      ],
    }));
  }
  const inputs = (graph: Graph): [Value, Value] => [
    addInput(graph, 'x', 'float32', ['N']),
    addInput(graph, 'trips', 'int64', []),
  ];
  const trips = (count: number): Tensor => int64([], [count]);

  it('carries its state and collects values over iterations', async () => {
    const graph = createGraph('loop');
    const { states, collected } = halving(...inputs(graph));
    [...states, ...collected].forEach((value, i) => {
      addOutput(graph, value, `out_${i}`);
    });
    const outputs = await run(graph, { x: float32([2], [8, 16]), trips: trips(3) });
    expect(outputs.out_0).toEqual(float32([2], [3.5, 4.5]));
    expect(outputs.out_1).toEqual(float32([3, 2], [8, 16, 4, 8, 3, 5]));
    expect(outputs.out_2).toEqual(int64([3], [0, 1, 2]));
  });
  it('of no iteration gives its state back', async () => {
    const graph = createGraph('loop');
    const { states, collected } = halving(...inputs(graph));
    addOutput(graph, states[0]!, 'state');
    addOutput(graph, collected[0]!, 'collected');
    const outputs = await run(graph, { x: float32([2], [8, 16]), trips: trips(0) });
    expect(outputs.state).toEqual(float32([2], [8, 16]));
    expect(outputs.collected!.shape[0]).toBe(0);
  });
  it('may follow another, hold another, and carry one value twice', async () => {
    const graph = createGraph('loops');
    const [x, count] = inputs(graph);
    const first = halving(x, count);
    const second = loop(count, 'K', [first.states[0]!, first.states[0]!], (_, __, [a, b]) => {
      const inner = loop(count, 'K', [a!], (___, ____, [s]) => ({ states: [add(s!, 1)], collected: [] }));
      return { states: [inner.states[0]!, mul(b!, 2)], collected: [] };
    });
    second.states.forEach((value, i) => {
      addOutput(graph, value, `out_${i}`);
    });
    const outputs = await run(graph, { x: float32([1], [4]), trips: trips(2) });
    // halving: 4 -> 2 -> 1 + 1 = 2; then 2 + 2 * 2 and 2 * 4
    expect(outputs.out_0!.data[0]).toBe(6);
    expect(outputs.out_1!.data[0]).toBe(8);
  });
  it('may let a state grow, and end before its last iteration', async () => {
    const graph = createGraph('loop');
    const [x, count] = inputs(graph);
    // The powers of two times x, until one is 20 or more.
    const { states, collected } = loop(
      count,
      'K',
      [x],
      (_, __, [powers]) => {
        const last = onnx.slice(onnx.neg(onnx.reduceMax(powers!, [0], true)), 0, 0, 1);
        const next = mul(last, -2);
        return {
          states: [onnx.concat([powers!, next], 0)],
          collected: [{ name: 'next', value: next }],
          goOn: onnx.less(reduceSum(next), 20),
        };
      },
      new Map([[0, { axis: 0, length: 'past' }]]),
    );
    addOutput(graph, states[0]!, 'powers');
    addOutput(graph, collected[0]!, 'collected');
    const early = await run(graph, { x: float32([1], [3]), trips: trips(100) });
    expect(early.powers).toEqual(float32([4], [3, 6, 12, 24]));
    expect(early.collected).toEqual(float32([3, 1], [6, 12, 24]));
    const counted = await run(graph, { x: float32([1], [3]), trips: trips(1) });
    expect(counted.powers).toEqual(float32([2], [3, 6]));
  });
  it('refuses an update that is not like its state', () => {
    const graph = createGraph('loop');
    const [x, count] = inputs(graph);
    const update = (build: (state: Value) => Value[]) => () =>
      loop(count, 'K', [x], (_, __, [state]) => ({ states: build(state!), collected: [] }));
    expect(update((state) => [reduceSum(state)])).toThrow(
      'loop state x is float32 [N], its update float32 []',
    );
    expect(update((state) => [cast(state, 'float64')])).toThrow(
      'loop state x is float32 [N], its update float64 [N]',
    );
    expect(update(() => [])).toThrow('a loop over 1 states gave 0 back');
  });
});

describe('weights in place', () => {
  const random = seededRandom('weights');
  const matrix = tensor('float32', [3, 4], normalArray(random, 12, 1));
  const words = tensor('bfloat16', [4], encodeBfloat16(normalArray(random, 4, 1)));
  const weightsPath = (): string => join(folder, 'hub', 'blobs', 'weights');

  /** y = x matrix + bfloat16 bias, both read from the file. */
  async function build(path: string): Promise<Graph> {
    const header = await readSafetensorsHeader(path);
    const graph = createGraph('external');
    const x = addInput(graph, 'x', 'float32', ['N', 3]);
    const weight = (key: string): Value => {
      const { dtype, shape, offset, byteLength } = header.entries.get(key)!;
      return addInitializer(graph, key, { path, offset, byteLength }, dtype, shape);
    };
    addOutput(graph, add(matmul(x, weight('matrix')), cast(weight('words'), 'float32')), 'y');
    return graph;
  }
  const x = float32([1, 3], [1, -2, 0.5]);
  const expected = [0, 1, 2, 3].map(
    (j) =>
      [0, 1, 2].reduce((sum, i) => sum + x.data[i]! * matrix.data[i * 4 + j]!, 0) +
      decodeBfloat16(words.data)[j]!,
  );

  beforeAll(async () => {
    const filler = tensor('float64', [3], new Float64Array([1, 2, 3]));
    await writeSafetensors(weightsPath(), [
      ['filler', filler],
      ['matrix', matrix],
      ['words', words],
    ]);
  });

  it('are read at their offset in a safetensors file, bfloat16 too', async () => {
    const graph = await build(weightsPath());
    const outputs = await run(graph, { x }, join(folder, 'hub', 'blobs'));
    expect(Array.from(outputs.y!.data, Number)).toEqual(close(expected));
    expect(serializeModel(graph, { weightsFolder: folder }).length).toBeLessThan(1500);
  });
  it('may lie in a folder inside the weights folder', async () => {
    const graph = await build(weightsPath());
    const model = fromBinary(ModelProtoSchema, serializeModel(graph, { weightsFolder: folder }));
    const entries = model.graph!.initializer[0]!.externalData.map(({ key, value }) => [key, value]);
    const { offset } = (await readSafetensorsHeader(weightsPath())).entries.get('matrix')!;
    expect(entries).toEqual([
      ['location', 'hub/blobs/weights'],
      ['offset', String(offset)],
      ['length', '48'],
    ]);
    expect(Array.from((await run(graph, { x }, folder)).y!.data, Number)).toEqual(close(expected));
  });
  it('are looked for in the deepest folder that holds them all, those of a loop body too', () => {
    const graph = createGraph('folders');
    const at = (where: Graph, path: string): Value =>
      addInitializer(where, path, { path, offset: 0, byteLength: 4 }, 'float32', []);
    expect(onnx.externalDataFolder(graph)).toBeUndefined();
    at(graph, '/hub/a/blobs/1');
    expect(onnx.externalDataFolder(graph)).toBe('/hub/a/blobs');
    at(graph, '/hub/a/2');
    expect(onnx.externalDataFolder(graph)).toBe('/hub/a');
    const [trips, state] = [onnx.scalar(graph, 1, 'int64'), onnx.scalar(graph, 1)];
    loop(trips, 1, [state], (body, _, [x]) => ({ states: [add(x!, at(body, '/hub/ab/3'))], collected: [] }));
    expect(onnx.externalDataFolder(graph)).toBe('/hub');
    at(graph, '/other');
    expect(onnx.externalDataFolder(graph)).toBe('/');
  });
  it('are refused outside the weights folder, or without one', async () => {
    const graph = await build(weightsPath());
    const elsewhere = join(folder, 'elsewhere');
    await mkdir(elsewhere, { recursive: true });
    expect(() => serializeModel(graph, { weightsFolder: elsewhere })).toThrow(
      `external data ${weightsPath()} lies outside the weights folder ${elsewhere}`,
    );
    expect(() => serializeModel(graph)).toThrow(`external data in ${weightsPath()} needs a weights folder`);
  });
  it('behind a link that leaves the folder are refused by onnxruntime, in words', async () => {
    const links = join(folder, 'links');
    await mkdir(links, { recursive: true });
    await symlink(weightsPath(), join(links, 'model.safetensors'));
    const graph = await build(join(links, 'model.safetensors'));
    await expect(run(graph, { x }, links)).rejects.toThrow(/model\.safetensors|external/i);
  });
  it('whose bytes are not what type and shape take are refused', () => {
    const graph = createGraph('external');
    const place = { path: '/weights', offset: 0, byteLength: 8 };
    expect(() => addInitializer(graph, 'w', place, 'float32', [3])).toThrow(
      'w is float32 [3], but has 8 bytes in /weights',
    );
  });
});

const python = process.env.EMOQ_PYTHON;
if (python === undefined)
  console.log('onnx.checker skipped: EMOQ_PYTHON names no Python with the onnx package');

describe.skipIf(python === undefined)('the checker of the onnx package', () => {
  const check = async (name: string, graph: Graph): Promise<void> => {
    const path = join(folder, `${name}.onnx`);
    await writeFile(path, serializeModel(graph));
    const script = 'import onnx, sys; onnx.checker.check_model(sys.argv[1], full_check=True)';
    execFileSync(python!, ['-c', script, path], { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });
  };
  it('accepts a model of every operator', async () => {
    const { graph, inputs } = callGraph();
    for (const [name, call] of Object.entries(operatorCalls)) {
      withScope(graph, name, () => {
        const built = call(inputs, graph);
        (Array.isArray(built) ? built : [built]).forEach((value, i) => {
          addOutput(graph, value, `${name}_${i}`);
        });
      });
    }
    const table = onnx.hostTable(addInput(graph, 'table', 'int64', [3, 'K']));
    addOutput(graph, onnx.hostColumn(table, onnx.scalar(graph, 0, 'int64')), 'column');
    const used = new Set(graph.nodes.map(({ operator }) => operator));
    expect([...used].sort()).toEqual(Object.keys(rules).sort());
    await check('operators', graph);
  });
  it('accepts gradients inside a Loop', async () => {
    const graph = createGraph('training');
    const x = addInput(graph, 'x', 'float32', ['K', 'N', 6]);
    const w = addInput(graph, 'w', 'float32', [6, 6]);
    const { states, collected } = loop(onnx.sizeOf(x, 0), 'K', [w], (_, iteration, [weight]) => {
      const y = layerNorm(
        gelu(onnx.linear(onnx.gather(x, iteration, 0), weight!)),
        scaleOf(graph),
        scaleOf(graph),
        1e-5,
      );
      const loss = reduceSum(mul(y, y));
      return {
        states: [onnx.sub(weight!, gradients(loss, [weight!])[0]!)],
        collected: [{ name: 'loss', value: loss }],
      };
    });
    addOutput(graph, states[0]!, 'w_next');
    addOutput(graph, collected[0]!, 'loss');
    await check('training', graph);
  });
  it('refuses a model that is wrong, so that accepting means something', async () => {
    const graph = createGraph('wrong');
    const a = addInput(graph, 'a', 'float32', [2, 3]);
    const [y] = onnx.addNode(graph, 'MatMul', [a, a], {}, [{ dtype: 'float32', shape: [2, 3] }]);
    addOutput(graph, y!, 'y');
    await expect(check('wrong', graph)).rejects.toThrow(/Incompatible dimensions/);
  });
  const scaleOf = (graph: Graph): Value => onnx.constant(graph, float32([6], Array(6).fill(1)));
});

describe('a model for WebGPU', () => {
  it('leaves 16-bit floats, sines and cosines to the CPU, in subgraphs too', () => {
    const graph = createGraph('search');
    const half = addInput(graph, 'half', 'float16', ['K', 4]);
    const weights = addInitializer(graph, 'weights', tensor('bfloat16', [4]));
    const { collected } = loop(onnx.sizeOf(half, 0), 'K', [], (_, iteration) => {
      const row = cast(onnx.gather(half, iteration, 0), 'float32');
      const value = onnx.sin(mul(row, cast(weights, 'float32')));
      return { states: [], collected: [{ name: 'value', value: add(value, 1) }] };
    });
    addOutput(graph, collected[0]!, 'y');
    const model = serializeModel(graph);
    const fitted = onnx.webGpuModel(model);
    // The length is of a float16 input; then come the cast of the weights, the row, its cast, and the sine.
    expect(fitted.cpuNodes).toEqual(['/Shape', '/Cast_1', '/Gather_1', '/Cast', '/Sin']);
    expect(fitted.model).toBe(model);
  });

  it('has slices in place of a split into more pieces than a shader has buffers, with the same values', async () => {
    const graph = createGraph('pieces');
    const x = addInput(graph, 'x', 'float32', [3, 36]);
    const inLoop = loop(onnx.scalar(graph, 2, 'int64'), 2, [x], (body, _, [state]) => {
      const sizes = [1, 2, 3, 4, 5, 6, 7, 8];
      const pieces = onnx.split(state!, 1, sizes, onnx.int64Vector(body, sizes));
      return { states: [onnx.concat(pieces.toReversed(), 1)], collected: [] };
    });
    const few = onnx.split(inLoop.states[0]!, 0, [1, 2], onnx.int64Vector(graph, [1, 2]));
    addOutput(graph, few[1]!, 'y');
    const model = serializeModel(graph);
    const { model: fitted, cpuNodes } = onnx.webGpuModel(model);
    expect(onnx.webGpuModel(Buffer.from(model)).model).toEqual(fitted); // as read from a file
    expect(cpuNodes).toEqual([]);
    const operatorsOf = (bytes: Uint8Array): string[] => {
      const { node } = fromBinary(ModelProtoSchema, bytes).graph!;
      return [...node, ...node.flatMap(({ attribute }) => attribute.flatMap(({ g }) => g?.node ?? []))]
        .map(({ opType }) => opType)
        .filter((operator) => operator === 'Split' || operator === 'Slice');
    };
    expect(operatorsOf(model)).toEqual(['Split', 'Split']);
    expect(operatorsOf(fitted)).toEqual(['Split', ...Array(8).fill('Slice')]);
    const feeds = { x: float32([3, 36], normalArray(seededRandom('pieces'), 3 * 36, 1)) };
    const results = await Promise.all(
      [model, fitted].map(async (bytes) => {
        const session = await createSession(bytes, { device: { kind: 'cpu' }, threads: 1 });
        return session.run(feeds).finally(() => session.dispose());
      }),
    );
    expect(results[1]).toEqual(results[0]);
  });
});

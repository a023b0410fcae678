/** @file Every gradient rule against finite differences, and other properties of the backward pass. */

import { describe, expect, it } from 'vitest';
import { gradients, rules } from '../../src/engine/autodiff/index.js';
import {
  add,
  addInput,
  addNode,
  addOutput,
  and,
  arange,
  cast,
  clip,
  constant,
  conv1d,
  createGraph,
  equal,
  exp,
  type Graph,
  gather,
  greaterOrEqual,
  int64Vector,
  layerNorm,
  less,
  loop,
  max,
  min,
  mod,
  mul,
  not,
  type OperatorType,
  pad,
  reduceMax,
  reduceSum,
  scalar,
  scatterAddRows,
  serializeModel,
  shapeOf,
  sizeOf,
  slice,
  sliceTo,
  sub,
  transpose,
  type Value,
  where,
  withScope,
} from '../../src/engine/onnx/index.js';
import { createSession, type Tensors } from '../../src/engine/runtime/index.js';
import { float32, tensor } from '../../src/engine/tensor/index.js';
import { bindings, cases } from './autodiff-cases.js';
import { boundOf, checkGradient, type GradientCase } from './finite-differences.js';

const operators = Object.keys(rules) as OperatorType[];
const withRule = operators.filter((operator) => typeof rules[operator] === 'function');

/** Every row of sizes for a case with symbolic shapes, otherwise one. */
function bindingsOf({ inputs, fixed = {} }: GradientCase): readonly (typeof bindings)[number][] {
  const symbolic = [...Object.values(inputs), ...Object.values(fixed)].some(({ shape }) =>
    shape.some((dim) => typeof dim === 'string'),
  );
  return symbolic ? bindings : bindings.slice(0, 1);
}

describe.each(withRule)('the gradient of %s', (operator) => {
  const own = cases[operator] ?? [];
  it('is tried', () => {
    expect(own.length).toBeGreaterThan(0);
  });
  it.each(own.map((each) => [each.name, each] as const))(
    'agrees with finite differences: %s',
    async (_, each) => {
      let elements = 0;
      for (const sizes of bindingsOf(each)) {
        const check = await checkGradient(each, sizes);
        expect(check.operators).toContain(operator);
        expect(check.error, JSON.stringify(sizes)).toBeLessThan(boundOf(each));
        elements += check.elements;
      }
      expect(elements).toBeGreaterThan(0);
    },
  );
});

describe('the comparison with finite differences', () => {
  const sample = cases.Mul![1]!;
  it('notices a gradient that is wrong by one part in a million', async () => {
    const check = await checkGradient(sample, bindings[0], (gradient) => {
      gradient[0]! += 1e-6;
    });
    expect(check.error).toBeGreaterThan(boundOf(sample));
  });
  it('notices a gradient that is not a number', async () => {
    const check = await checkGradient(sample, bindings[0], (gradient) => gradient.fill(Number.NaN));
    expect(check.error).not.toBeLessThan(boundOf(sample));
  });
});

describe('operators without a gradient', () => {
  it('are these', () => {
    const integer = operators.filter((operator) => rules[operator] === 'integer');
    const refused = operators.filter((operator) => typeof rules[operator] === 'object');
    expect(integer).toEqual([
      'And',
      'ConstantOfShape',
      'Equal',
      'GreaterOrEqual',
      'Less',
      'Mod',
      'Not',
      'Range',
      'Shape',
    ]);
    expect(refused).toEqual([
      'Conv',
      'DequantizeLinear',
      'Loop',
      'MatMulInteger',
      'MatMulNBits',
      'Pad',
      'QuantizeLinear',
      'ScatterND',
    ]);
  });

  const ones = (graph: Graph, count: number) => int64Vector(graph, Array<number>(count).fill(1));
  const refusals: [string, (x: Value) => Value, string][] = [
    [
      'Conv',
      (x) => conv1d(x, x, undefined),
      '/model/Conv (Conv) has no gradient: the convolutional encoder is frozen; train on its features',
    ],
    [
      'Pad',
      (x) => pad(x, 2, ones(x.graph, 1), ones(x.graph, 1), 4),
      '/model/Pad (Pad) has no gradient: made by the gradient of Slice only',
    ],
    [
      'ScatterND',
      (x) => scatterAddRows(x, ones(x.graph, 2), x),
      '/model/ScatterND (ScatterND) has no gradient: made by the gradient of Gather only',
    ],
    [
      'Loop',
      (x) =>
        loop(scalar(x.graph, 2, 'int64'), 2, [x], (_, __, [s]) => ({ states: [exp(s!)], collected: [] }))
          .states[0]!,
      '/model/Loop (Loop) has no gradient: differentiate inside the loop body instead',
    ],
    [
      'a Loop that reads a parameter from around it',
      (x) => {
        const start = scalar(x.graph, 0);
        const trips = scalar(x.graph, 2, 'int64');
        return loop(trips, 2, [start], (_, __, [s]) => ({ states: [add(s!, reduceSum(x))], collected: [] }))
          .states[0]!;
      },
      '/model/Loop (Loop) has no gradient: differentiate inside the loop body instead',
    ],
    [
      'a Slice whose start is known at run time only',
      (x) => {
        const bounds = [gather(shapeOf(x), ones(x.graph, 1), 0), ones(x.graph, 1), int64Vector(x.graph, [0])];
        const shape = [{ dtype: 'float32', shape: [1] }] as const;
        return addNode(x.graph, 'Slice', [reduceSum(x, [0, 1]), ...bounds], {}, shape)[0]!;
      },
      '/model/Slice: the gradient of Slice needs one axis and a start known at build time',
    ],
    [
      'a Slice of two axes',
      (x) => sliceTo(x, [0, 1], ones(x.graph, 2), [1, 1, 2]),
      '/model/Slice: the gradient of Slice needs one axis and a start known at build time',
    ],
    [
      'a batch of Gather indices into rows of symbolic width',
      (x) => gather(x, addInput(x.graph, 'i', 'int64', ['N', 3]), 0),
      '/model/Gather: the gradient of Gather needs rows of a width known at build time',
    ],
  ];
  it.each(refusals)('say why: %s', (name, build, message) => {
    const graph = createGraph('refused');
    const x = addInput(graph, 'x', 'float32', name.includes('symbolic') ? [2, 'W'] : [2, 2, 2]);
    const y = withScope(graph, 'model', () => build(x));
    expect(() => gradients(reduceSum(y), [x])).toThrow(new Error(message));
  });
  it('do no harm unless they are differentiated through', () => {
    const graph = createGraph('frozen');
    const [x, w] = [1, 2].map((i) => addInput(graph, `x_${i}`, 'float32', [2, 2, 2])) as [Value, Value];
    const features = conv1d(x, x, undefined);
    expect(() => gradients(reduceSum(mul(features, reduceSum(w))), [w])).not.toThrow();
  });
});

/** Gradients of sum(build(x)) with respect to x, at the given values. */
async function gradientAt(
  shape: readonly number[],
  values: readonly (readonly number[])[],
  build: (inputs: readonly Value[]) => Value,
): Promise<number[][]> {
  const graph = createGraph('gradient');
  const inputs = values.map((_, i) => addInput(graph, `x_${i}`, 'float32', shape));
  gradients(reduceSum(build(inputs)), inputs).forEach((gradient, i) => {
    addOutput(graph, gradient, `gradient_${i}`);
  });
  const feeds = Object.fromEntries(values.map((each, i) => [`x_${i}`, float32(shape, each)]));
  const outputs = await run(graph, feeds);
  return values.map((_, i) => Array.from(outputs[`gradient_${i}`]!.data, Number));
}

async function run(graph: Graph, feeds: Tensors): Promise<Tensors> {
  const session = await createSession(serializeModel(graph), { device: { kind: 'cpu' }, threads: 1 });
  const outputs = await session.run(feeds);
  await session.dispose();
  return outputs;
}

describe('where differences say nothing', () => {
  it('elements that tie for the maximum share its gradient', async () => {
    const x = [3, 1, 3, 0, 5, 5, 5, 2];
    const [gradient] = await gradientAt([2, 4], [x], ([a]) => reduceMax(a!, [1]));
    expect(gradient).toEqual([0.5, 0, 0.5, 0, ...[1, 1, 1].map((v) => Math.fround(v / 3)), 0]);
  });
  it('a tie of two values goes to the first', async () => {
    for (const choose of [max, min]) {
      expect(
        await gradientAt(
          [2],
          [
            [1, 2],
            [1, 2],
          ],
          ([a, b]) => choose(a!, b!),
        ),
      ).toEqual([
        [1, 1],
        [0, 0],
      ]);
    }
  });
  it('a value with itself loses nothing in Max and Min', async () => {
    for (const choose of [max, min]) {
      expect(await gradientAt([2], [[1, -2]], ([a]) => choose(a!, a!))).toEqual([[1, 1]]);
    }
  });
  it('Clip lets the gradient pass on its bounds', async () => {
    expect(await gradientAt([5], [[-2, -1, 0, 1, 2]], ([a]) => clip(a!, -1, 1))).toEqual([[0, 1, 1, 1, 0]]);
  });
  it('a layer norm of float16 has its gradient worked out in float32', async () => {
    const values = [0.5, -1.25, 2, 0.75, 3, -0.5, 1, 0.25];
    // The sum of y^3, since that of y or y^2 hardly depends on x.
    const norm = (x: Value, dtype: 'float16' | 'float32'): Value => {
      const parameter = (content: number[]): Value => cast(constant(x.graph, float32([4], content)), dtype);
      const y = layerNorm(cast(x, dtype), parameter([1, 2, 0.5, 1.5]), parameter([0, 1, -1, 0.5]), 1e-5);
      return cast(mul(mul(y, y), y), 'float32');
    };
    const [half] = await gradientAt([2, 4], [values], ([x]) => norm(x!, 'float16'));
    const [full] = await gradientAt([2, 4], [values], ([x]) => norm(x!, 'float32'));
    const largest = Math.max(...full!.map(Math.abs));
    expect(largest).toBeGreaterThan(1);
    half!.forEach((gradient, i) => {
      expect(Math.abs(gradient - full![i]!)).toBeLessThan(0.01 * largest);
    });
  });
  it('nothing flows through comparisons, sizes and whole numbers', async () => {
    const x = [0.4, 1.6, 2.5];
    const cut = ([a]: readonly Value[]): Value => {
      const [value, { graph }] = [a!, a!];
      const whole = cast(value, 'int64');
      const far = and(less(value, 2), not(and(greaterOrEqual(value, 1), equal(value, 0))));
      const count = cast(mod(add(shapeOf(value), 2), 2), 'float32');
      const positions = cast(arange(sizeOf(value, 0), 3), 'float32');
      const constants = [cast(whole, 'float32'), cast(far, 'float32'), count, positions];
      const constantSum = constants.reduce((sum, each) => add(sum, each), scalar(graph, 0));
      return mul(value, constantSum);
    };
    // d (x c(x)) = c(x): trunc(x) + [x < 2] + (3 + 2) mod 2 + position
    expect(await gradientAt([3], [x], cut)).toEqual([[0 + 1 + 1 + 0, 1 + 1 + 1 + 1, 2 + 0 + 1 + 2]]);
  });
});

describe('gradients', () => {
  it('are zeros, in shape, for a parameter that the loss does not depend on', async () => {
    const graph = createGraph('unused');
    const used = addInput(graph, 'used', 'float32', ['N', 2]);
    const unused = addInput(graph, 'unused', 'float32', ['N', 3]);
    const single = addInput(graph, 'single', 'float32', []);
    gradients(reduceSum(mul(used, used)), [unused, single, used]).forEach((gradient, i) => {
      addOutput(graph, gradient, `gradient_${i}`);
    });
    const outputs = await run(graph, {
      used: float32([2, 2], [1, 2, 3, 4]),
      unused: float32([2, 3], Array(6).fill(9)),
      single: float32([], [7]),
    });
    expect(outputs.gradient_0).toEqual(tensor('float32', [2, 3]));
    expect(outputs.gradient_1).toEqual(tensor('float32', []));
    expect(outputs.gradient_2).toEqual(float32([2, 2], [2, 4, 6, 8]));
  });

  it('by a value in the middle of the graph, and of the loss by itself', async () => {
    const graph = createGraph('middle');
    const x = addInput(graph, 'x', 'float32', [2]);
    const y = mul(x, 3);
    const loss = reduceSum(mul(y, y));
    const [dx, dy, dloss] = gradients(loss, [x, y, loss]);
    addOutput(graph, dx!, 'dx');
    addOutput(graph, dy!, 'dy');
    addOutput(graph, dloss!, 'dloss');
    const outputs = await run(graph, { x: float32([2], [1, 2]) });
    expect(outputs.dy).toEqual(float32([2], [6, 12]));
    expect(outputs.dx).toEqual(float32([2], [18, 36]));
    expect(outputs.dloss).toEqual(float32([], [1]));
  });

  it('of gradients: the second derivative of x^3', async () => {
    const graph = createGraph('second');
    const x = addInput(graph, 'x', 'float32', [3]);
    const [first] = gradients(reduceSum(mul(mul(x, x), x)), [x]);
    const [second] = gradients(reduceSum(first!), [x]);
    addOutput(graph, second!, 'second');
    const outputs = await run(graph, { x: float32([3], [-1, 0.5, 2]) });
    expect(outputs.second).toEqual(float32([3], [-6, 3, 12]));
  });

  it('bear the path of what they are the gradient of', () => {
    const graph = createGraph('paths');
    const x = addInput(graph, 'x', 'float32', [2]);
    const loss = withScope(graph, 'encoder', () =>
      withScope(graph, 'layer.0', () => {
        const y = exp(x);
        return reduceSum(mul(y, y));
      }),
    );
    const known = graph.nodes.length;
    gradients(loss, [x]);
    const added = graph.nodes.slice(known).map(({ name }) => name);
    expect(added.length).toBeGreaterThan(3);
    for (const name of added) expect(name).toMatch(/^\/gradient\/encoder\/layer\.0\/[A-Z]\w+$/);
  });

  it('build nothing that is not asked for', () => {
    const graph = createGraph('lazy');
    const [w, frozen] = ['w', 'frozen'].map((name) => addInput(graph, name, 'float32', [2, 2])) as [
      Value,
      Value,
    ];
    const loss = reduceSum(mul(w, exp(transpose(frozen, [1, 0]))));
    const known = graph.nodes.length;
    gradients(loss, [w]);
    // The sum's gradient is spread by three, dw is a product; nothing for exp and transpose of the frozen value.
    const added = graph.nodes.slice(known).map(({ operator }) => operator);
    expect(added).toEqual(['Unsqueeze', 'Shape', 'Expand', 'Mul']);
  });

  it('refuse a loss that is no scalar, and parameters that are no floats', () => {
    const graph = createGraph('wrong');
    const x = addInput(graph, 'x', 'float32', [2]);
    const ids = addInput(graph, 'ids', 'int64', [2]);
    expect(() => gradients(exp(x), [x])).toThrow('the loss must be a scalar, /Exp/output is not');
    expect(() => gradients(reduceSum(x), [ids])).toThrow('ids is int64; only floats have gradients');
  });
});

describe('gradients inside a Loop body', () => {
  /** Three steps x -= 0.1 d/dx sum((w x)^2), with w made by `weight` from the outer input. */
  function descend(weight: (outer: Value, body: Graph) => Value, by: 'state' | 'outer'): Graph {
    const graph = createGraph('descent');
    const start = addInput(graph, 'x', 'float32', [2]);
    const outer = addInput(graph, 'w', 'float32', [2]);
    const trips = addInput(graph, 'steps', 'int64', []);
    const { states, collected } = loop(trips, 'K', [start], (body, _, [x]) => {
      const product = mul(x!, weight(outer, body));
      const loss = reduceSum(mul(product, product));
      const [dx] = gradients(loss, [by === 'state' ? x! : outer]);
      return { states: [sub(x!, mul(dx!, 0.1))], collected: [{ name: 'loss', value: loss }] };
    });
    addOutput(graph, states[0]!, 'x_end');
    addOutput(graph, collected[0]!, 'losses');
    return graph;
  }
  const feeds = {
    x: float32([2], [1, -2]),
    w: float32([2], [1, 2]),
    steps: tensor('int64', [], BigInt64Array.from([3n])),
  };

  it('are those of each iteration, with frozen values read from around it', async () => {
    const outputs = await run(
      descend((outer) => outer, 'state'),
      feeds,
    );
    // x <- x (1 - 0.2 w^2): factors 0.8 and 0.2
    expect(outputs.x_end!.data[0]).toBeCloseTo(0.8 ** 3, 6);
    expect(outputs.x_end!.data[1]).toBeCloseTo(-2 * 0.2 ** 3, 6);
    expect(outputs.losses!.shape).toEqual([3]);
    expect(outputs.losses!.data[0]).toBeCloseTo(1 + 16, 5);
    expect(outputs.losses!.data[2]).toBeCloseTo(0.64 ** 2 + 16 * 0.04 ** 2, 5);
  });
  it('may be taken by a value of the graph around, if the body reads it as it is', async () => {
    const outputs = await run(
      descend((outer) => outer, 'outer'),
      feeds,
    );
    // One step: dw = 2 w x^2 = [2, 16]; x <- x - 0.1 dw = [0.8, -3.6]
    expect(outputs.losses!.data[1]).toBeCloseTo(0.8 ** 2 + (2 * 3.6) ** 2, 4);
  });
  it('refuse a parameter that comes in through nodes of the graph around', () => {
    const scaledOutside = (outer: Value, body: Graph): Value => {
      const scaled = body.parent!.nodes.find(({ operator }) => operator === 'Exp')?.outputs[0];
      return scaled ?? exp(outer);
    };
    expect(() => descend(scaledOutside, 'outer')).toThrow(
      '/Mul reads /Exp/output, which depends on a parameter outside graph body',
    );
    expect(() => descend(scaledOutside, 'state')).not.toThrow();
  });
});

describe('where and slice in one chain', () => {
  it('add up what arrives on several ways', async () => {
    // y = x[0:2] + where(x[1:3] > 0, x[1:3], 0), all paths with weight 1
    const [gradient] = await gradientAt([3], [[1, 2, -3]], ([x]) => {
      const tail = slice(x!, 0, 1, 3);
      return add(slice(x!, 0, 0, 2), where(less(0, tail), tail, 0));
    });
    expect(gradient).toEqual([1, 2, 0]);
  });
});

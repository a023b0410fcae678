/**
 * @file Every gradient rule on the device against the CPU: the cases of the tests (test/engine/autodiff-cases.ts), results
 * and gradients, in float32 and, where CUDA has kernels, in bfloat16. Read from where `make gpu-check-cases` compiles
 * them, with a copy of the engine beside them.
 */

import { attempt, relativeError } from '../attempt.mjs';
import { compiled } from '../compiled.mjs';
import { roundedToBfloat16 } from '../random-weights.mjs';

const CPU = { kind: 'cpu' };
/** The sizes of the numbers that go in are around 1. What comes out may be a small difference of such. */
const LEAST = 1;
/**
 * Largest error of a result, relative to its norm, or to that of ones if that is larger. float32: other sums and other
 * approximations of exp, erf and the like, some hundred times the spacing of 6e-8. bfloat16: each operation rounds to
 * eight bits, by up to 2^-9, and a rule is a few operations; emulated on the CPU, errors reach 0.02.
 */
const BOUNDS = { float32: 2e-5, bfloat16: 0.03 };

/** One graph for all cases of an operator: sessions take longer than these runs. */
export async function ruleParity(options, report) {
  const { cases, bindings } = await compiled('test/engine/autodiff-cases.js');
  const parts = ['onnx', 'autodiff', 'runtime', 'tensor'].map((part) =>
    compiled(`src/engine/${part}/index.js`),
  );
  const tests = ['finite-differences', 'emulated-precision'].map((name) =>
    compiled(`test/engine/${name}.js`),
  );
  const tools = Object.assign({}, ...(await Promise.all([...parts, ...tests])));
  for (const [operator, all] of Object.entries(cases)) {
    const own = options.quick ? all.slice(0, 1) : all;
    const sizes = options.quick ? bindings.slice(0, 1) : bindings;
    for (const precision of ['float32', 'bfloat16']) {
      await attempt(report, `gradient of ${operator}, ${precision}`, () =>
        operatorParity({ operator, cases: own, bindings: sizes, precision }, tools, options, report),
      );
    }
  }
}

async function operatorParity({ operator, cases, bindings, precision }, tools, options, report) {
  const row = { kind: 'parity', group: 'rules', what: `gradient of ${operator}`, precision };
  const compare = (some) => compareCases({ cases: some, bindings, precision }, tools, options);
  let found = await compare(cases);
  let without = 0;
  if (found === undefined) {
    // An operator in one of the cases has no kernel: the others one by one.
    const each = [];
    for (const one of cases) each.push(await compare([one]));
    without = each.filter((one) => one === undefined).length;
    found = each.filter((one) => one !== undefined).reduce(worseOf, undefined);
  }
  if (found === undefined)
    report({ ...row, cases: 0, withoutKernel: without, ok: true, note: 'no bfloat16 kernel' });
  else {
    const bound = BOUNDS[precision];
    report({
      ...row,
      cases: cases.length - without,
      withoutKernel: without,
      ...found,
      bound,
      ok: found.error <= bound,
    });
  }
}

const worseOf = (one, other) => (one === undefined || !(other.error <= one.error) ? other : one);

/** What onnxruntime says where CUDA has no kernel of bfloat16, at load, or for ScatterND in the run. */
const NO_KERNEL =
  /Provider type for \S+ node .* is not set|Type 'tensor\(bfloat16\)'|not implement|find an implementation/;

/**
 * Largest error of the cases and where it is; undefined if an operator has no bfloat16 kernel. Which have none is known
 * beforehand, and emoq uses no others in it.
 */
async function compareCases({ cases, bindings, precision }, tools, { device, threads }) {
  const open = (graph, on) => {
    if (on.kind === 'cpu') tools.emulatePrecision(graph); // it has no products of 16 bits
    return tools.createSession(tools.serializeModel(graph), { device: on, threads });
  };
  const reference = await open(caseGraph(cases, 'float32', tools), CPU);
  let session;
  try {
    session = await open(caseGraph(cases, precision, tools), device);
    let worst;
    for (const sizes of bindings) {
      const feeds = feedsOf(cases, sizes, precision, tools);
      const expected = await reference.run(feeds);
      const actual = await session.run(feeds);
      for (const [name, { data }] of Object.entries(expected)) {
        const error = relativeError(actual[name].data, data, LEAST);
        worst = worseOf(worst, { error, worstCase: cases[Number(name.split('/')[0])].name });
      }
    }
    return worst;
  } catch (error) {
    if (precision === 'bfloat16' && NO_KERNEL.test(error.message)) return undefined;
    throw error;
  } finally {
    await session?.dispose();
    await reference.dispose();
  }
}

/** All cases in one graph, their values called by the number of the case. */
function caseGraph(cases, precision, tools) {
  const { addInput, addOutput, cast, createGraph, gradients, mul, reduceSum, sum } = tools;
  const graph = createGraph('rules');
  cases.forEach(({ inputs, fixed = {}, build }, number) => {
    const name = (of) => `${number}/${of}`;
    const given = Object.entries(inputs).map(([key, { shape }]) => [
      key,
      addInput(graph, name(key), 'float32', shape),
    ]);
    const computed = given.map(([key, value]) => [key, cast(value, precision)]);
    const others = Object.entries(fixed).map(([key, each]) => [
      key,
      addInput(graph, name(key), each.dtype, each.shape),
    ]);
    const built = [build(Object.fromEntries([...computed, ...others]), graph)].flat();
    // Random weights, or the loss of a softmax would be constant.
    const loss = sum(
      built.map((y, i) =>
        reduceSum(mul(cast(y, 'float32'), addInput(graph, name(`weight_${i}`), 'float32', y.shape))),
      ),
    );
    const values = given.map(([, value]) => value);
    gradients(loss, values).forEach((gradient, i) => {
      addOutput(graph, gradient, name(`gradient_${i}`));
    });
    built.forEach((y, i) => {
      addOutput(graph, cast(y, 'float32'), name(`result_${i}`));
    });
  });
  return graph;
}

/** In bfloat16 both sides get numbers that it can hold. */
function feedsOf(cases, bindings, precision, tools) {
  const { createGraph, addInput, evaluateDim, fillArray, seededRandom, sizes, tensor, wholeNumbers } = tools;
  const feeds = {};
  const rounded = (values) =>
    precision === 'bfloat16' ? roundedToBfloat16(values) : Float32Array.from(values);
  cases.forEach(({ name: title, inputs, fixed = {}, build }, number) => {
    const random = seededRandom('gpu check rules', title, JSON.stringify(bindings));
    const floats = (shape, fill, position) => {
      const own = sizes(shape, bindings);
      const count = own.reduce((product, size) => product * size, 1);
      return tensor('float32', own, rounded(fillArray(fill, count, random, position)));
    };
    Object.entries(inputs).forEach(([key, { shape, fill = 'normal' }], position) => {
      feeds[`${number}/${key}`] = floats(shape, fill, position);
    });
    for (const [key, { dtype, shape, below }] of Object.entries(fixed)) {
      feeds[`${number}/${key}`] = wholeNumbers(dtype, sizes(shape, bindings), below, random);
    }
    // Built once more for the shapes of its results.
    const graph = createGraph('shapes');
    const values = [...Object.entries(inputs), ...Object.entries(fixed)].map(
      ([key, { shape, dtype = 'float32' }]) => [key, addInput(graph, key, dtype, shape)],
    );
    [build(Object.fromEntries(values), graph)].flat().forEach((y, i) => {
      const shape = y.shape.map((dim) => evaluateDim(dim, bindings));
      feeds[`${number}/weight_${i}`] = floats(shape, 'normal', i);
    });
  });
  return feeds;
}

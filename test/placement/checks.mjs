/**
 * @file What a graph on CUDA must not do, each with the nodes and tensors at fault: copy between host and device inside
 * a loop, compute with floats on the CPU, or hold a frozen 16-bit weight in float32.
 */

import { initializersOf, nodesOf } from './onnx-graph.mjs';
import { copiesIn, describe, describeCopy, floatsOnCpu, placedNodes } from './placement.mjs';

/** The rules by name. */
export const RULES = {
  copiesInLoops: 'copies between host and device inside a loop',
  floatsOnCpuInLoops: 'float nodes on the CPU inside a loop',
  floatsOnCpu: 'float nodes on the CPU outside of loops',
  wideWeights: 'frozen 16-bit weights in float32',
};

/**
 * @param original the model as emoq made it
 * @param optimized the model as onnxruntime runs it
 * @param log what onnxruntime printed while it loaded the model
 * @param mayWiden whether 16-bit weights may be held in float32, because that is what the user asked for
 * @returns descriptions of violations by rule
 */
export function violationsOf(original, optimized, log, { mayWiden = false } = {}) {
  const nodes = placedNodes(optimized, log);
  const inLoop = (list) => list.filter((node) => node.inLoop);
  const outside = (list) => list.filter((node) => !node.inLoop);
  const floats = floatsOnCpu(nodes);
  return {
    copiesInLoops: inLoop(copiesIn(nodes)).map((copy) => describeCopy(copy, nodes)),
    floatsOnCpuInLoops: inLoop(floats).map(describe),
    floatsOnCpu: outside(floats).map(describe),
    wideWeights: mayWiden ? [] : wideWeights(original, optimized),
  };
}

const HALVES = new Set(['float16', 'bfloat16']);

/**
 * Matrices that are stored in 16 bits and held in float32: folded while loading, or cast in each run. Vectors, such as
 * biases and scales of norms, are small and may be.
 */
export function wideWeights(original, optimized) {
  const stored = initializersOf(original).filter(({ type, shape }) => HALVES.has(type) && shape.length >= 2);
  const origins = originsOf(original, stored);
  const folded = initializersOf(optimized)
    .filter(({ name, type }) => type === 'float32' && origins.has(name))
    .map(({ name, shape }) => `${origins.get(name)} as ${name} [${shape.join(', ')}], made while loading`);
  const cast = nodesOf(optimized)
    .filter(
      ({ operator, inputs, outputs }) =>
        operator === 'Cast' && origins.has(inputs[0].name) && outputs[0].type === 'float32',
    )
    .map(({ name, inputs }) => `${origins.get(inputs[0].name)}, cast by ${name} in every run`);
  return [...folded, ...cast];
}

/** The stored weight that a constant is computed from, by the constant's name. */
function originsOf(model, stored) {
  const origins = new Map(stored.map(({ name }) => [name, name]));
  const constants = new Set(initializersOf(model).map(({ name }) => name));
  for (const { inputs, outputs } of nodesOf(model)) {
    const names = inputs.map(({ name }) => name).filter((name) => name !== '');
    if (names.length === 0 || !names.every((name) => constants.has(name))) continue;
    const origin = names.map((name) => origins.get(name)).find((name) => name !== undefined);
    for (const { name } of outputs) {
      constants.add(name);
      if (origin !== undefined) origins.set(name, origin);
    }
  }
  return origins;
}

/** The most violations of a rule that a message lists. */
const LISTED = 6;

/** One message for each rule that a graph breaks. */
export function describeViolations(violations) {
  return Object.entries(RULES).flatMap(([rule, what]) => {
    const found = violations[rule];
    if (found.length === 0) return [];
    const listed = found.slice(0, LISTED).map((text) => `\n      ${text}`);
    const more = found.length > LISTED ? `\n      and ${found.length - LISTED} more` : '';
    return [`${found.length} ${what}:${listed.join('')}${more}`];
  });
}

/** Figures that a graph has a budget for, besides its memory. A copy to the host makes the host wait for the device. */
const BUDGETED = {
  launches: 'launches per step or run',
  copiesToHost: 'copies to the host per step or run',
  loadedBytes: 'bytes copied to the device while loading',
};

/** The figures of a graph that its budget limits; `session` are those of loading it. */
export function budgetedFigures({ launches, copies }, session) {
  return {
    launches,
    copiesToHost: copies.deviceToHost.count,
    loadedBytes: session.copies.hostToDevice.bytes,
  };
}

/** Compares figures with the budget of a graph. Whether it fits the memory is found out by running it in as much. */
export function compareBudget(figures, budget) {
  if (budget === undefined) return ['it has no budget yet: run make test-placement UPDATE=figures'];
  return Object.entries(BUDGETED)
    .filter(([key]) => !(figures[key] <= budget[key]))
    .map(([key, what]) => `${figures[key]} ${what}, where the budget is ${budget[key]}`);
}

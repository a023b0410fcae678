/**
 * @file What a model costs on CUDA, as onnxruntime's provider asks it of the device: `node test/placement/measure.mjs
 * MODEL.onnx`. It opens the model as emoq does, runs K steps and one, and prints where the nodes are and, per step,
 * launches, matrix products, copies, waits and memory. `--help` lists the options.
 */

import { existsSync, readFileSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildStub } from '../cuda-stub/build.mjs';
import { leastMemory } from './device-memory.mjs';
import { apartFromSteps, figuresOf, kernelNames, perStep } from './figures.mjs';
import { runOnStub } from './on-stub.mjs';
import { metadataOf, parseModel } from './onnx-graph.mjs';
import { copiesIn, countBy, describe, describeCopy, floatsOnCpu, placedNodes } from './placement.mjs';
import { OPTIMIZED } from './session-child.mjs';
import { DEFAULT_SIZES } from './zero-feeds.mjs';

const here = dirname(fileURLToPath(import.meta.url));

const USAGE = `node test/placement/measure.mjs MODEL.onnx [options]

  --steps K          steps of the longer run (4)
  --size NAME=N      length of an axis that the model leaves open, such as batch=8; repeat it for others
                     (${Object.entries(DEFAULT_SIZES)
                       .map((pair) => pair.join('='))
                       .join(' ')})
  --weights FOLDER   where the model's weights are, if not where it says itself
  --memory MIB       memory of the device (143771)
  --least            also find the least memory on which it runs (about eight more runs)
  --checkout FOLDER  the checkout whose compiled emoq opens the model (this one)
  --fast             without placement: no log and no optimised graph
  --top N            lines of each list (15)
  --json             everything, as JSON`;

async function main() {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      steps: { type: 'string', default: '4' },
      size: { type: 'string', multiple: true, default: [] },
      weights: { type: 'string' },
      memory: { type: 'string' },
      least: { type: 'boolean', default: false },
      checkout: { type: 'string', default: resolve(here, '..', '..') },
      fast: { type: 'boolean', default: false },
      top: { type: 'string', default: '15' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help || positionals.length !== 1) {
    console.log(USAGE);
    process.exitCode = values.help ? 0 : 2;
    return;
  }
  const problem = buildStub();
  if (problem !== undefined) throw new Error(`there is no CUDA stub here: ${problem}`);
  const measured = await measure(resolve(positionals[0]), {
    steps: Number(values.steps),
    sizes: { ...DEFAULT_SIZES, ...Object.fromEntries(values.size.map(sizeOf)) },
    weights: values.weights,
    memoryMib: values.memory,
    checkout: resolve(values.checkout),
    placement: !values.fast,
    least: values.least,
  });
  console.log(values.json ? JSON.stringify(measured, null, 2) : report(measured, Number(values.top)));
}

function sizeOf(text) {
  const [, name, size] = /^(.+)=(\d+)$/.exec(text) ?? [];
  if (name === undefined) throw new Error(`--size ${text}: write NAME=N`);
  return [name.replace(/_padded$/, ''), Number(size)];
}

async function measure(path, { steps, sizes, weights, memoryMib, checkout, placement, least }) {
  const model = parseModel(readFileSync(path));
  const { weights_folder: named } = metadataOf(model);
  const beside = named === undefined || isAbsolute(named) ? named : join(dirname(path), named);
  const isTraining = model.graph.input.some(({ name }) => name === 'learning_rate');
  const task = { model: path, weights: weights ?? beside, steps, sizes, checkout, isTraining, placement };
  const collect = (folder) =>
    existsSync(join(folder, OPTIMIZED)) ? parseModel(readFileSync(join(folder, OPTIMIZED))) : undefined;
  const child = join(here, 'measure-child.mjs');
  const { printed, sections, collected } = await runOnStub(child, task, { memoryMib, collect });
  const [session, first, run, one] = ['session', 'first', 'run', 'one'].map((name) =>
    figuresOf(sections.get(name)),
  );
  const step = isTraining ? perStep(run, one, steps) : run;
  const nodes = collected && placedNodes(collected, printed);
  return {
    model: path,
    steps: isTraining ? steps : undefined,
    sizes,
    ...(nodes && {
      nodes: countBy(nodes, ({ provider, inLoop }) => `${provider} ${inLoop ? 'in a loop' : 'outside'}`),
      operators: countBy(
        nodes.filter(({ inLoop }) => inLoop),
        ({ operator }) => operator,
      ),
      copyNodes: copiesIn(nodes).map((copy) => ({ inLoop: copy.inLoop, text: describeCopy(copy, nodes) })),
      floatsOnCpu: floatsOnCpu(nodes).map((node) => ({ inLoop: node.inLoop, text: describe(node) })),
    }),
    [isTraining ? 'perStep' : 'perRun']: step,
    ...(isTraining && { perRunApartFromSteps: apartFromSteps(run, step, steps) }),
    loading: session,
    ...(least && {
      leastMib: await leastMemory(
        (mib) => runOnStub(child, { ...task, placement: false }, { memoryMib: mib }),
        run.peakBytes,
      ),
    }),
    memory: Object.fromEntries(
      Object.entries({ session, first, run }).map(([name, { usedBytes, peakBytes }]) => [
        name,
        { usedBytes, peakBytes },
      ]),
    ),
  };
}

const mib = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
const short = (number) => String(Math.round(number * 100) / 100);

function report(
  { model, steps, nodes, operators, copyNodes, floatsOnCpu: floats, loading, memory, ...rest },
  top,
) {
  const step = rest.perStep ?? rest.perRun;
  const unit = steps === undefined ? 'run' : 'step';
  const copies = (figures) =>
    Object.entries(figures.copies)
      .map(([way, { count, bytes }]) => `${way} ${short(count)} (${mib(bytes)})`)
      .join(', ');
  const list = (title, lines) =>
    lines.length === 0 ? [] : [`${title}:`, ...lines.map((line) => `  ${line}`)];
  const most = (entries, value, text) =>
    entries
      .filter((entry) => value(entry) !== 0)
      .sort((a, b) => value(b) - value(a))
      .slice(0, top)
      .map(text);
  const kernels = Object.entries(step.byKernel);
  const names = kernelNames(kernels.map(([label]) => label));
  const placement =
    nodes === undefined
      ? []
      : [
          ...list(
            'nodes',
            Object.entries(nodes).map(([where, count]) => `${String(count).padStart(6)} ${where}`),
          ),
          ...list(
            `copies in a loop: ${copyNodes.filter(({ inLoop }) => inLoop).length}`,
            copyNodes
              .filter(({ inLoop }) => inLoop)
              .slice(0, top)
              .map(({ text }) => text),
          ),
          ...list(
            `copies outside: ${copyNodes.filter(({ inLoop }) => !inLoop).length}`,
            copyNodes
              .filter(({ inLoop }) => !inLoop)
              .slice(0, top)
              .map(({ text }) => text),
          ),
          ...list(
            `float nodes on the CPU: ${floats.length}`,
            floats.slice(0, top).map(({ inLoop, text }) => `${inLoop ? 'in a loop' : 'outside'}: ${text}`),
          ),
          ...list(
            'operators in loops',
            most(
              Object.entries(operators),
              ([, count]) => count,
              ([name, count]) => `${String(count).padStart(6)} ${name}`,
            ),
          ),
        ];
  return [
    model,
    ...placement,
    `per ${unit}: ${short(step.launches)} launches, ${short(step.products)} products (${(step.flop / 1e9).toFixed(3)} GFLOP), ${short(step.fills)} fills, ${short(step.waits.stream)} waits for the stream, ${short(step.waits.event)} for an event`,
    `copies per ${unit}: ${copies(step)}`,
    ...(rest.perRunApartFromSteps === undefined
      ? []
      : [`copies per run apart from steps: ${copies(rest.perRunApartFromSteps)}`]),
    `copies while loading: ${copies(loading)}`,
    `memory: ${mib(memory.session.usedBytes)} after loading, ${mib(memory.run.peakBytes)} at most in a run${rest.leastMib === undefined ? '' : `; it runs in ${rest.leastMib} MiB`}`,
    ...list(
      `launches per ${unit} by kernel`,
      most(
        kernels.map(([, count], index) => [names[index], count]),
        ([, count]) => count,
        ([name, count]) => `${short(count).padStart(8)} ${name}`,
      ),
    ),
    ...list(
      `products per ${unit} (rows x columns x inner)`,
      most(
        Object.entries(step.byProduct),
        ([, { flop }]) => flop,
        ([label, { count, flop }]) =>
          `${short(count).padStart(8)} ${label}, ${(flop / 1e9).toFixed(3)} GFLOP`,
      ),
    ),
  ].join('\n');
}

await main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});

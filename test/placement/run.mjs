/**
 * @file The placement test, `make test-placement`: builds the CUDA stub, opens every graph that emoq makes on it, and
 * fails on a copy inside a loop, a float node on the CPU, a frozen 16-bit weight in float32, more launches, copies or
 * memory than budgets.json allows, a table of CUDA kernels that is not what the stub shows, or an estimate of memory
 * that is off by more than a tenth. With `--update figures` it writes the budgets; with `--update
 * memory` it also searches for the least memory of each. Further arguments choose graphs
 * by a part of their names.
 */

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildStub } from '../cuda-stub/build.mjs';
import { budgetedFigures, compareBudget, describeViolations, RULES, violationsOf } from './checks.mjs';
import { leastMemory, runWithin } from './device-memory.mjs';
import { figuresOf, perStep } from './figures.mjs';
import { GRAPHS } from './graph-list.mjs';
import { kernelDifferences } from './kernels.mjs';
import { estimateDifferences } from './memory-estimate.mjs';
import { runOnStub } from './on-stub.mjs';
import { parseModel } from './onnx-graph.mjs';
import { OPTIMIZED, ORIGINAL } from './session-child.mjs';
import { writeToyModels } from './toy-models.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const checkout = resolve(here, '..', '..');
const file = (name) => join(here, name);
const readJson = (name) => (existsSync(file(name)) ? JSON.parse(readFileSync(file(name), 'utf8')) : {});

/** A run of this many steps against a run of one tells what a step costs. */
const STEPS = 3;
/** Graphs at a time: a session on the stub keeps one core busy. */
const AT_ONCE = 2;

/** Loads and runs a graph on a device of so much memory. @returns its figures and violations */
async function examine(spec, models, memoryMib) {
  const collect = (folder) =>
    [ORIGINAL, OPTIMIZED].map(
      (name) => existsSync(join(folder, name)) && parseModel(readFileSync(join(folder, name))),
    );
  const started = performance.now();
  const task = { spec, models, checkout, steps: STEPS };
  const ended = await runOnStub(file('graph-child.mjs'), task, { memoryMib, collect });
  const { printed, sections, collected } = ended;
  const [session, run, one] = ['session', 'run', 'one'].map(
    (name) => sections.get(name) && figuresOf(sections.get(name)),
  );
  const figures = one === undefined ? run : perStep(run, one, STEPS);
  return {
    seconds: (performance.now() - started) / 1000,
    figures,
    budgeted: budgetedFigures(figures, session),
    violations: violationsOf(...collected, printed, { mayWiden: spec.precision === 'float32' }),
  };
}

/**
 * The budget that allows for differences between runs: onnxruntime loads weights in no fixed order, so that the gaps
 * between them, and with them the arena's last extension, differ.
 */
const withMargin = (mib) => mib + Math.ceil(mib / 10) + 4;

async function check(spec, models, budget) {
  const within = await runWithin((mib) => examine(spec, models, mib), budget?.memoryMib);
  const found = within ?? (await examine(spec, models));
  const problems = [
    ...describeViolations(found.violations),
    ...compareBudget(found.budgeted, budget),
    ...(within === undefined
      ? [`it does not run in ${budget.memoryMib} MiB of device memory, its budget`]
      : []),
  ];
  return { ...found, problems };
}

/** Small constants come and go with every change of a graph; a weight would take more. */
const CONSTANT_BYTES = 4096;

function withConstants({ loadedBytes, ...figures }) {
  return { ...figures, loadedBytes: CONSTANT_BYTES * (1 + Math.ceil(loadedBytes / CONSTANT_BYTES)) };
}

/** Takes figures as the budget. The memory is found out anew if it is asked for, or if the budget is not enough. */
async function update(spec, models, budget, searchesMemory) {
  const within = searchesMemory
    ? undefined
    : await runWithin((mib) => examine(spec, models, mib), budget?.memoryMib);
  const found = within ?? (await examine(spec, models));
  const isKept = within !== undefined && budget?.memoryMib !== undefined;
  const memoryMib = isKept
    ? budget.memoryMib
    : withMargin(await leastMemory((mib) => examine(spec, models, mib), found.figures.peakBytes));
  return {
    ...found,
    budget: { ...withConstants(found.budgeted), memoryMib },
    problems: describeViolations(found.violations),
  };
}

/** Applies `work` to every item, a few at a time, the results in order. */
async function mapAtOnce(items, count, work) {
  const results = [];
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < items.length; index = next++) results[index] = await work(items[index]);
  };
  await Promise.all(Array.from({ length: count }, worker));
  return results;
}

function row(spec, { figures, violations, seconds }) {
  if (figures === undefined) return `${spec.name.padEnd(58)} failed`;
  const { launches, products, copies, peakBytes } = figures;
  const counts = Object.keys(RULES).map((rule) => String(violations[rule].length).padStart(5));
  const cells = [launches, products, copies.hostToDevice.count, copies.deviceToHost.count].map((value) =>
    String(Math.round(value)).padStart(7),
  );
  const mib = (peakBytes / 2 ** 20).toFixed(0).padStart(6);
  return `${spec.name.padEnd(58)}${cells.join('')} ${mib} MiB ${counts.join('')}  ${seconds.toFixed(1)} s`;
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { update: { type: 'string' } },
  });
  const problem = buildStub();
  if (problem !== undefined) {
    console.log(`skipping the placement test: ${problem}`);
    return;
  }
  const chosen = GRAPHS.filter(({ name }) => positionals.every((part) => name.includes(part)));
  const budgets = readJson('budgets.json');
  const models = mkdtempSync(join(tmpdir(), 'emoq-placement-'));
  console.log(
    `${''.padEnd(58)} launch product  to dev to host    peak      loop  cpu,  cpu float32\n${'per step of training, or per run'.padEnd(58)}                                        copy  loop  root weights`,
  );
  try {
    await writeToyModels(checkout, models);
    const results = await mapAtOnce(chosen, AT_ONCE, async (spec) => {
      const examined =
        values.update !== undefined
          ? update(spec, models, budgets[spec.name], values.update === 'memory')
          : check(spec, models, budgets[spec.name]);
      const result = await examined.catch((error) => ({ problems: [error.message] }));
      console.log(row(spec, result));
      return { spec, ...result };
    });
    if (values.update !== undefined) {
      save('budgets.json', { ...budgets, ...byName(results, 'budget') });
    }
    const failed = results.filter(({ problems }) => problems.length > 0);
    for (const { spec, problems } of failed) {
      console.log(`\n${spec.name}:\n${problems.map((text) => `  - ${text}`).join('\n')}`);
    }
    const kernels = positionals.length > 0 ? [] : await kernelDifferences();
    if (kernels.length > 0) {
      const update = 'node test/placement/kernels.mjs --update';
      console.log(`\nthe table of CUDA kernels is out of date (${update}):\n${kernels.join('\n')}`);
    }
    const estimates = positionals.length > 0 ? [] : await estimateDifferences();
    if (estimates.length > 0) console.log(`\nmemory estimates are off:\n${estimates.join('\n')}`);
    if (failed.length + kernels.length + estimates.length > 0) process.exitCode = 1;
    console.log(
      `\n${results.length - failed.length} of ${results.length} graphs are placed as they should be`,
    );
  } finally {
    rmSync(models, { recursive: true, force: true });
  }
}

const byName = (results, key) =>
  Object.fromEntries(
    results.filter(({ figures }) => figures !== undefined).map((result) => [result.spec.name, result[key]]),
  );

/** In the order of the list, without graphs that are no longer in it. */
function save(name, values) {
  const entries = GRAPHS.map((spec) => [spec.name, values[spec.name]]).filter(
    ([, value]) => value !== undefined,
  );
  writeFileSync(file(name), `${JSON.stringify(Object.fromEntries(entries), null, 2)}\n`);
}

await main();

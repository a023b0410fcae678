/**
 * @file Tries every probe on the stub: a type has a kernel if the node is on CUDA under its own name and runs. The
 * results go to kernels.json.
 */

import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { stubFolder } from '../cuda-stub/build.mjs';
import { OPSETS, PROBES, probeModel, TYPES } from './kernel-probes.mjs';
import { taskOfThisProcess } from './on-stub.mjs';
import { nodesOf, parseModel } from './onnx-graph.mjs';
import { zeroFeeds } from './zero-feeds.mjs';

const { folder } = taskOfThisProcess();
const require = createRequire(import.meta.url);
const { InferenceSession, Tensor } = require(join(stubFolder, 'node_modules', 'onnxruntime-node'));
const optimized = join(folder, 'optimized.onnx');

/** Why there is no kernel, or undefined if there is one. */
async function problemOf(name, type, opset) {
  rmSync(optimized, { force: true });
  let session;
  try {
    session = await InferenceSession.create(probeModel(name, type, opset), {
      executionProviders: [{ name: 'cuda', deviceId: 0 }, 'cpu'],
      graphOptimizationLevel: 'disabled',
      optimizedModelFilePath: optimized,
      logSeverityLevel: 4,
      intraOpNumThreads: 1,
      extra: { session: { 'session.disable_cpu_ep_fallback': '1' } },
    });
    await session.run(zeroFeeds(Tensor, session.inputMetadata, {}));
  } catch (error) {
    return error.message;
  } finally {
    await session?.release();
  }
  const { operator = name } = PROBES[name];
  const isThere =
    existsSync(optimized) &&
    nodesOf(parseModel(readFileSync(optimized))).some((node) => node.operator === operator);
  return isThere ? undefined : 'it is replaced by other operators';
}

const table = {};
const problems = {};
for (const [name, { opset: since = 0 }] of Object.entries(PROBES)) {
  table[name] = {};
  for (const opset of OPSETS) {
    table[name][opset] = [];
    for (const type of TYPES) {
      const problem = opset < since ? `it is of opset ${since}` : await problemOf(name, type, opset);
      if (problem === undefined) table[name][opset].push(type);
      else problems[`${name} ${opset} ${type}`] = problem;
    }
  }
}
writeFileSync(join(folder, 'kernels.json'), JSON.stringify({ table, problems }));
process.exit(0);

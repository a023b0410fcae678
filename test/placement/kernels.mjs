/**
 * @file Which operators have CUDA kernels in which types, as the stub shows it. `node test/placement/kernels.mjs`
 * compares it with src/engine/onnx/cuda-kernel-table.ts; with --update it writes that file.
 */

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { buildStub } from '../cuda-stub/build.mjs';
import { OPSETS } from './kernel-probes.mjs';
import { runOnStub } from './on-stub.mjs';
import { emoqModule } from './session-child.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const checkout = resolve(here, '..', '..');
const source = join(checkout, 'src', 'engine', 'onnx', 'cuda-kernel-table.ts');

/** Types with a kernel by operator and opset, separated by spaces. */
async function probedKernels() {
  const collect = (folder) => JSON.parse(readFileSync(join(folder, 'kernels.json'), 'utf8'));
  const { collected } = await runOnStub(join(here, 'kernels-child.mjs'), {}, { collect });
  const joined = (types) => Object.fromEntries(OPSETS.map((opset) => [opset, types[opset].join(' ')]));
  return Object.fromEntries(Object.entries(collected.table).map(([name, types]) => [name, joined(types)]));
}

/** Differences between the committed table and what the stub shows, one line each. */
export async function kernelDifferences() {
  const { CUDA_KERNELS } = await emoqModule(checkout, 'engine/onnx/cuda-kernel-table.js');
  const probed = await probedKernels();
  const both = (row) =>
    typeof row === 'string' ? Object.fromEntries(OPSETS.map((opset) => [opset, row])) : row;
  const names = [...new Set([...Object.keys(probed), ...Object.keys(CUDA_KERNELS)])];
  return names.flatMap((name) =>
    OPSETS.flatMap((opset) => {
      const found = probed[name]?.[opset];
      const listed = CUDA_KERNELS[name] === undefined ? undefined : both(CUDA_KERNELS[name])[opset];
      if (found === listed) return [];
      return [
        `${name}, opset ${opset}: the stub shows "${found ?? 'no such probe'}", the table "${listed ?? 'nothing'}"`,
      ];
    }),
  );
}

async function writeTable() {
  const { dependencies } = JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8'));
  const entries = Object.entries(await probedKernels()).sort(([a], [b]) => (a < b ? -1 : 1));
  const rows = entries.map(([name, types]) => {
    const key = /^\w+$/.test(name) ? name : `'${name}'`;
    const [first, ...others] = OPSETS.map((opset) => types[opset]);
    if (others.every((other) => other === first)) return `  ${key}: '${first}',`;
    return `  ${key}: { ${OPSETS.map((opset) => `${opset}: '${types[opset]}'`).join(', ')} },`;
  });
  writeFileSync(
    source,
    `/** @file CUDA kernels of onnxruntime ${dependencies['onnxruntime-node']}; written by test/placement/kernels.mjs. */

import type { OperatorType } from './operator-types.js';

/** Element types with a kernel, separated by spaces: in every opset from ${OPSETS[0]}, or by the opset from which they have one. */
export type KernelTypes = string | { ${OPSETS.map((opset) => `readonly ${opset}: string`).join('; ')} };

/** By operator; of DequantizeLinear by the type of its integers, and by the type of its scales within. */
export const CUDA_KERNELS = {
${rows.join('\n')}
} as const satisfies Readonly<Record<Exclude<OperatorType, 'DequantizeLinear'>, KernelTypes>> &
  Readonly<Record<string, KernelTypes>>;
`,
  );
  const biome = join(checkout, 'node_modules', '.bin', 'biome');
  spawnSync(biome, ['check', '--write', source], { stdio: 'inherit', cwd: checkout });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const problem = buildStub();
  if (problem !== undefined) console.log(`there is no CUDA stub here: ${problem}`);
  else if (process.argv.includes('--update')) await writeTable();
  else
    console.log(
      (await kernelDifferences()).join('\n') || 'the table of CUDA kernels is as the stub shows it',
    );
}

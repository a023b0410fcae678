/** @file The machine: what `emoq doctor` says of CUDA, the card, and versions. */

import { execFile } from 'node:child_process';
import { cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { onnxruntimeVersion } from '../../../dist/engine/runtime/index.js';
import { describeCard } from '../nvidia-card.mjs';

const emoq = fileURLToPath(new URL('../../../bin/emoq.js', import.meta.url));

export async function machine({ device, quick }, report) {
  const card = device.kind === 'cuda' ? describeCard(device.index) : undefined;
  report({
    kind: 'machine',
    card,
    processor: cpus()[0]?.model.trim(),
    cores: cpus().length,
    memoryBytes: totalmem(),
    node: process.version,
    onnxruntime: onnxruntimeVersion(),
    ok: true,
  });
  if (quick) return;
  // It also exits with 1 where something is missing that has nothing to do with GPUs.
  const { stdout } = await promisify(execFile)(process.execPath, [emoq, 'doctor', '--json']).catch(
    (error) => error,
  );
  for (const { name, status, found } of JSON.parse(stdout).checks) {
    if (!/CUDA|NVIDIA|^lib|^onnxruntime/.test(name)) continue;
    const mustWork = device.kind === 'cuda' && name === 'session on CUDA';
    report({ kind: 'doctor', what: `doctor: ${name}`, status, found, ok: !mustWork || status === 'ok' });
  }
}

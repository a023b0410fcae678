/** @file The same steps in PyTorch on the same card, if a Python with PyTorch (and CUDA) is there: peer.py. */

import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('../peer.py', import.meta.url));

export async function peers({ models, device, python }, report) {
  const cuda = device.kind === 'cuda';
  const test = `import torch${cuda ? '; assert torch.cuda.is_available()' : ''}`;
  if (spawnSync(python, ['-c', test], { stdio: 'ignore' }).status !== 0) {
    report({
      kind: 'skipped',
      what: 'PyTorch',
      ok: true,
      note: `${python} has no PyTorch${cuda ? ' with CUDA' : ''}`,
    });
    return;
  }
  const options = JSON.stringify({ device: cuda ? `cuda:${device.index}` : 'cpu', models });
  const child = spawn(python, [script, options], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stderr.on('data', (text) => {
    said += text;
  });
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => {
    const { what, note, ...found } = JSON.parse(line);
    report({
      kind: 'peer',
      what: `PyTorch: ${what}`,
      ...found,
      ok: note === undefined,
      ...(note && { note }),
    });
  });
  const code = await new Promise((resolve) => child.on('close', resolve));
  if (code !== 0) throw new Error(`peer.py: ${said.trim().split('\n').at(-1)}`);
}

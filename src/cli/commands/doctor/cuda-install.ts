/** @file `--install-cuda`: onnxruntime's own install script, as `make cuda` runs it. */

import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { InputError, pathExists, UnavailableError } from '../../../base/index.js';
import { note } from '../../terminal-output.js';

const ARGUMENT = '--onnxruntime-node-install';

/**
 * Fetches the CUDA provider libraries into onnxruntime-node's folder.
 * @throws InputError where there are none for this platform, UnavailableError where they cannot be fetched
 */
export async function installCuda(): Promise<void> {
  const here = `${process.platform} ${process.arch}`;
  if (here !== 'linux x64') {
    throw new InputError(
      `onnxruntime's CUDA libraries for Node exist for Linux x64 alone, and this is ${here}; leave out --install-cuda`,
    );
  }
  const script = join(
    dirname(createRequire(import.meta.url).resolve('onnxruntime-node')),
    '..',
    'script',
    'install.js',
  );
  note(`fetching onnxruntime's CUDA libraries, some hundred megabytes: node ${script} ${ARGUMENT}`);
  const { code, output } = await runScript(script);
  const { CUDA_PROVIDER_LIBRARIES, providerFolder } = await import('../../../engine/runtime/index.js');
  const folder = providerFolder();
  const present = await Promise.all(CUDA_PROVIDER_LIBRARIES.map((name) => pathExists(join(folder, name))));
  if (code !== 0 || present.includes(false)) {
    throw new UnavailableError(
      `onnxruntime's CUDA libraries could not be fetched (${reasonIn(output) ?? `exit code ${code}`}); they come from NuGet: run it where there is a way to it, and copy the three libraries into ${folder}`,
    );
  }
  note(`fetched ${CUDA_PROVIDER_LIBRARIES.join(', ')} into ${folder}`);
}

/** Captures the script's output instead of showing it: where it fails it prints a stack. */
function runScript(script: string): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, [script, ARGUMENT], {
    env: withProxy(process.env),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += String(chunk);
    });
  }
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, output }));
  });
}

/** The script reads the proxy from variables with other names. */
function withProxy(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const proxy = env.HTTPS_PROXY || env.https_proxy;
  const bypass = env.NO_PROXY || env.no_proxy;
  return {
    ...(proxy && { GLOBAL_AGENT_HTTPS_PROXY: proxy, GLOBAL_AGENT_HTTP_PROXY: proxy }),
    ...(bypass && { GLOBAL_AGENT_NO_PROXY: bypass }),
    ...env,
  };
}

function reasonIn(output: string): string | undefined {
  return /^\w*Error: (.+)$/m.exec(output)?.[1] ?? output.trim().split('\n').at(-1);
}

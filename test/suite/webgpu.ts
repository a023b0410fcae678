/** @file Where WebGPU computes on this machine: a GPU, or SwiftShader, the Vulkan driver for processors of Chromium. */

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { run } from '../cli/command-line.js';

const RUNTIME = fileURLToPath(new URL('../../dist/engine/runtime/index.js', import.meta.url));
const TRIAL = `const { trySession } = await import(${JSON.stringify(RUNTIME)}); await trySession({ kind: 'webgpu' });`;
/** Of Debian's chromium. */
const SWIFTSHADER = '/usr/lib/chromium/vk_swiftshader_icd.json';

/** Variables with which processes compute on WebGPU, or why they cannot. */
export type WebGpu =
  | { readonly kind: 'found'; readonly env: NodeJS.ProcessEnv; readonly what: string }
  | { readonly kind: 'none'; readonly why: string };

/** Tries SwiftShader, which is the same everywhere, then what the machine has. */
export async function findWebGpu(): Promise<WebGpu> {
  const candidates = [
    ...(existsSync(SWIFTSHADER) ? [{ env: { VK_DRIVER_FILES: SWIFTSHADER }, what: 'SwiftShader' }] : []),
    { env: {}, what: "this machine's own device" },
  ];
  let why = '';
  for (const { env, what } of candidates) {
    const { code, stderr } = await run(
      process.execPath,
      ['--input-type=module', '-e', TRIAL],
      undefined,
      env,
    );
    if (code === 0) return { kind: 'found', env, what };
    why = /^(?:\w*Error|\w+ \[.*\]): (.*)$/m.exec(stderr)?.[1] ?? `exit code ${code}`;
  }
  return { kind: 'none', why };
}

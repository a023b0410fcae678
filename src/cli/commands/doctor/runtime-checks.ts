/**
 * @file Checks onnxruntime, and sessions on the CPU and on WebGPU. The checks run in processes of their own, because an
 * incompatible native library may crash or hang the process that loads it.
 */

import { type CheckResult, checked, nativeMessage, REINSTALL } from './check-result.js';

/** onnxruntime, its providers, and a session on the CPU. */
export async function runtimeChecks(): Promise<CheckResult[]> {
  const rest = { needed: true, fix: REINSTALL };
  const runtime = await import('../../../engine/runtime/index.js');
  let providers: ReturnType<typeof runtime.listProviders>;
  try {
    providers = runtime.listProviders();
  } catch (error) {
    return [checked('onnxruntime', 'missing', `cannot be loaded: ${nativeMessage(error)}`, rest)];
  }
  const version = runtime.onnxruntimeVersion();
  const names = providers.map(({ name, bundled }) => (bundled ? name : `${name} (installed separately)`));
  const details = { version, providers, folder: runtime.providerFolder() };
  return [
    checked('onnxruntime', 'ok', `${version}, providers ${names.join(', ')}`, { needed: true, details }),
    await runtime.trySession({ kind: 'cpu' }).then(
      (ms) =>
        checked('session on the CPU', 'ok', `computed a matrix product correctly, ${ms.toFixed(0)} ms`, {
          needed: true,
          details: { ms: Math.round(ms) },
        }),
      (error: unknown) => checked('session on the CPU', 'missing', nativeMessage(error), rest),
    ),
  ];
}

/** A session on WebGPU, which only `--device webgpu` uses. */
export async function webGpuChecks(): Promise<CheckResult[]> {
  const { requireDevices, trySession } = await import('../../../engine/runtime/index.js');
  const name = 'session on WebGPU';
  try {
    await requireDevices([{ kind: 'webgpu' }]);
    const ms = await trySession({ kind: 'webgpu' });
    const found = `computed a matrix product correctly, ${ms.toFixed(0)} ms; used with --device webgpu`;
    return [checked(name, 'ok', found, { details: { ms: Math.round(ms) } })];
  } catch (error) {
    return [checked(name, 'missing', nativeMessage(error))];
  }
}

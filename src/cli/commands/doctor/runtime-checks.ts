/**
 * @file Checks onnxruntime and CUDA, and implements `--install-cuda`. The checks run in a process of their own, because
 * an incompatible native library may crash or hang the process that loads it.
 */

import { execFile, spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { errorMessage, formatMemory, InputError, pathExists, UnavailableError } from '../../../base/index.js';
import { note } from '../../terminal-output.js';
import { type CheckResult, checked, inOneLine, installCommand, REINSTALL } from './check-result.js';

/** Libraries that onnxruntime's CUDA 12 provider links to. */
const CUDA_LIBRARIES = [
  'libcudart.so.12',
  'libcublas.so.12',
  'libcublasLt.so.12',
  'libcufft.so.11',
  'libcurand.so.10',
  'libcudnn.so.9',
];
/** From NVIDIA's package repository. */
const INSTALL_LIBRARIES = installCommand('cuda-libraries-12-9 libcudnn9-cuda-12');
const CUDA_FOLDER = '/usr/local/cuda/lib64';
const SEARCH_LIBRARIES = `export LD_LIBRARY_PATH=${CUDA_FOLDER}:$LD_LIBRARY_PATH`;
const NVIDIA_VENDOR = '0x10de';
const SMI_TIME_LIMIT_MS = 20_000;
const LDCONFIG_TIME_LIMIT_MS = 20_000;
/** Its folder is often not on the PATH. */
const LDCONFIG = ['/sbin/ldconfig', '/usr/sbin/ldconfig'];

/** onnxruntime, its providers, and a session on the CPU. */
export async function runtimeChecks(): Promise<CheckResult[]> {
  const rest = { needed: true, fix: REINSTALL };
  const runtime = await import('../../../engine/runtime/index.js');
  let providers: ReturnType<typeof runtime.listProviders>;
  try {
    providers = runtime.listProviders();
  } catch (error) {
    return [checked('onnxruntime', 'missing', `cannot be loaded: ${oneLine(error)}`, rest)];
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
      (error: unknown) => checked('session on the CPU', 'missing', oneLine(error), rest),
    ),
  ];
}

/** A session on WebGPU, which only `--device webgpu` uses. */
export async function webGpuChecks(): Promise<CheckResult[]> {
  const { trySession } = await import('../../../engine/runtime/index.js');
  const name = 'session on WebGPU';
  try {
    const ms = await trySession({ kind: 'webgpu' });
    const found = `computed a matrix product correctly, ${ms.toFixed(0)} ms; used with --device webgpu`;
    return [checked(name, 'ok', found, { details: { ms: Math.round(ms) } })];
  } catch (error) {
    return [checked(name, 'missing', oneLine(error))];
  }
}

/** The GPU, its driver and libraries, and a session on it. If any is missing, emoq computes on the CPU. */
export async function cudaChecks(): Promise<CheckResult[]> {
  const { CUDA_PROVIDER_LIBRARIES, cudaProviderInstalled, nvidiaDriverPresent, providerFolder, trySession } =
    await import('../../../engine/runtime/index.js');
  const hasDriver = nvidiaDriverPresent();
  const hasCard = hasDriver || (await hasNvidiaCard());
  const folder = providerFolder();
  const present = await Promise.all(CUDA_PROVIDER_LIBRARIES.map((name) => pathExists(join(folder, name))));
  const absent = CUDA_PROVIDER_LIBRARIES.filter((_, index) => !present[index]);
  const canInstall = process.platform === 'linux' && process.arch === 'x64';
  const providers = checked(
    'CUDA providers',
    absent.length === 0 ? 'ok' : 'missing',
    absent.length === 0
      ? `${CUDA_PROVIDER_LIBRARIES.length} libraries in ${folder}`
      : `${namesOf(absent, CUDA_PROVIDER_LIBRARIES.length)} in ${folder}${canInstall ? '' : '; they are only available for Linux x64'}`,
    {
      fix: absent.length > 0 && canInstall && hasCard ? 'emoq doctor --install-cuda' : null,
      details: { folder, missing: absent },
    },
  );
  return [
    await gpuCheck(hasDriver, hasCard),
    providers,
    await librariesCheck(hasCard),
    await cudaSessionCheck(hasDriver && cudaProviderInstalled(), trySession),
  ];
}

async function gpuCheck(hasDriver: boolean, hasCard: boolean): Promise<CheckResult> {
  if (!hasDriver) {
    const what = hasCard ? 'a card without a driver' : 'none found';
    return checked('NVIDIA GPU', 'missing', `${what}; emoq computes on the CPU`, {
      fix: hasCard ? installCommand('nvidia-driver') : null,
      details: { driver: null, gpus: [] },
    });
  }
  const fields = 'name,driver_version,memory.total,memory.free';
  try {
    const { stdout } = await promisify(execFile)(
      'nvidia-smi',
      [`--query-gpu=${fields}`, '--format=csv,noheader,nounits'],
      { timeout: SMI_TIME_LIMIT_MS, killSignal: 'SIGKILL' },
    );
    const gpus = parseGpus(stdout);
    if (gpus.length === 0) throw new Error('it lists none');
    const { driver } = gpus[0]!;
    const found = gpus.map(
      ({ name, total_bytes, free_bytes }) =>
        `${name}, ${formatMemory(total_bytes)}, ${formatMemory(free_bytes)} free`,
    );
    return checked('NVIDIA GPU', 'ok', `${found.join('; ')}; driver ${driver}`, {
      details: { driver, gpus },
    });
  } catch (error) {
    const found = `there is a driver, but nvidia-smi lists no GPU (${oneLine(error)})`;
    return checked('NVIDIA GPU', 'warning', found, {
      fix: 'nvidia-smi',
      details: { driver: null, gpus: [] },
    });
  }
}

export interface Gpu {
  readonly name: string;
  readonly driver: string;
  readonly total_bytes: number;
  readonly free_bytes: number;
}

/** Lines of nvidia-smi: `NVIDIA H200, 570.86.15, 143771, 143051`, memory in MiB. */
export function parseGpus(listing: string): Gpu[] {
  return [...listing.matchAll(/^(.+), ([\d.]+), (\d+), (\d+)$/gm)].map(([, name, driver, total, free]) => ({
    name: name!,
    driver: driver!,
    total_bytes: Number(total) * 2 ** 20,
    free_bytes: Number(free) * 2 ** 20,
  }));
}

/** Without a GPU there is no need to install them. */
async function librariesCheck(hasCard: boolean): Promise<CheckResult> {
  const missing = await missingLibraries(CUDA_LIBRARIES);
  if (missing.length === 0) {
    return checked('CUDA libraries', 'ok', CUDA_LIBRARIES.join(', '), { details: { missing } });
  }
  const unpacked = await Promise.all(missing.map((name) => pathExists(join(CUDA_FOLDER, name))));
  const isElsewhere = unpacked.every(Boolean);
  const which = missing.length === CUDA_LIBRARIES.length ? 'CUDA 12 and cuDNN 9' : missing.join(', ');
  return checked('CUDA libraries', 'missing', `${which}: not found by the loader`, {
    fix: hasCard ? (isElsewhere ? SEARCH_LIBRARIES : INSTALL_LIBRARIES) : null,
    details: { missing },
  });
}

/** Those of `names` that are neither in LD_LIBRARY_PATH nor in the loader's cache. */
export async function missingLibraries(names: readonly string[]): Promise<string[]> {
  const folders = (process.env.LD_LIBRARY_PATH ?? '').split(':').filter((folder) => folder !== '');
  const cached = await loaderCache();
  const found = await Promise.all(
    names.map(async (name) => {
      if (cached.has(name)) return true;
      const inFolders = await Promise.all(folders.map((folder) => pathExists(join(folder, name))));
      return inFolders.some(Boolean);
    }),
  );
  return names.filter((_, index) => !found[index]);
}

/** Names in `ldconfig -p`: `	libz.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libz.so.1`. */
async function loaderCache(): Promise<Set<string>> {
  for (const program of LDCONFIG) {
    const { stdout } = await promisify(execFile)(program, ['-p'], {
      timeout: LDCONFIG_TIME_LIMIT_MS,
      killSignal: 'SIGKILL',
      maxBuffer: 16 << 20,
    }).catch(() => ({ stdout: '' }));
    if (stdout !== '') return new Set([...stdout.matchAll(/^\s+(\S+) \(/gm)].map((match) => match[1]!));
  }
  return new Set();
}

/** `none of the 3 libraries`, or the missing ones. */
function namesOf(missing: readonly string[], all: number): string {
  return missing.length === all ? `none of the ${all} libraries` : `without ${missing.join(', ')}`;
}

type TrySession = (device: { readonly kind: 'cuda'; readonly index: number }) => Promise<number>;

async function cudaSessionCheck(canTry: boolean, trySession: TrySession): Promise<CheckResult> {
  const name = 'session on CUDA';
  if (!canTry) return checked(name, 'missing', 'not tried without GPU, driver and CUDA providers');
  try {
    const ms = await trySession({ kind: 'cuda', index: 0 });
    const found = `computed a matrix product correctly, ${ms.toFixed(0)} ms`;
    return checked(name, 'ok', found, { details: { ms: Math.round(ms) } });
  } catch (error) {
    const found = `${oneLine(error)}; --device auto selects the GPU and fails, --device cpu works`;
    return checked(name, 'missing', found, { needed: true, fix: INSTALL_LIBRARIES });
  }
}

/** Whether there is an NVIDIA PCI device, with or without a driver. */
async function hasNvidiaCard(folder = '/sys/bus/pci/devices'): Promise<boolean> {
  const devices = await readdir(folder).catch(() => []);
  const vendors = await Promise.all(
    devices.map((device) => readFile(join(folder, device, 'vendor'), 'utf8').catch(() => '')),
  );
  return vendors.some((vendor) => vendor.trim() === NVIDIA_VENDOR);
}

function oneLine(error: unknown): string {
  const text = errorMessage(error);
  return inOneLine(/with error: ([\s\S]*)$/.exec(text)?.[1] ?? text);
}

const ARGUMENT = '--onnxruntime-node-install';

/**
 * Downloads the CUDA provider libraries to onnxruntime-node's folder.
 * @throws InputError if there are none for this platform, UnavailableError if they cannot be downloaded
 */
export async function installCuda(): Promise<void> {
  const here = `${process.platform} ${process.arch}`;
  if (here !== 'linux x64') {
    throw new InputError(
      `onnxruntime's CUDA libraries for Node are only available for Linux x64, and this is ${here}; leave out --install-cuda`,
    );
  }
  const script = join(
    dirname(createRequire(import.meta.url).resolve('onnxruntime-node')),
    '..',
    'script',
    'install.js',
  );
  note(`downloading onnxruntime's CUDA libraries, several hundred megabytes: node ${script} ${ARGUMENT}`);
  const { code, output } = await runScript(script);
  const { CUDA_PROVIDER_LIBRARIES, providerFolder } = await import('../../../engine/runtime/index.js');
  const folder = providerFolder();
  const present = await Promise.all(CUDA_PROVIDER_LIBRARIES.map((name) => pathExists(join(folder, name))));
  if (code !== 0 || present.includes(false)) {
    throw new UnavailableError(
      `onnxruntime's CUDA libraries could not be downloaded (${reasonIn(output) ?? `exit code ${code}`}); they come from NuGet: run it where NuGet is reachable, and copy the three libraries to ${folder}`,
    );
  }
  note(`fetched ${CUDA_PROVIDER_LIBRARIES.join(', ')} into ${folder}`);
}

/** Captures the script's output instead of showing it, because it prints a stack trace on failure. */
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

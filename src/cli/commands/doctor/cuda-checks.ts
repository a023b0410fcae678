/**
 * @file Checks the GPU, onnxruntime's CUDA provider, the libraries that it needs, and a session on CUDA. In a process of
 * its own, because an incompatible native library may crash or hang the process that loads it.
 */

import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { errorMessage, formatMemory, pathExists } from '../../../base/index.js';
import {
  CUDA_PROVIDER_LIBRARIES,
  type CudaNeeds,
  cudaNeeds,
  DRIVER_LIBRARY,
  type FoundLibrary,
  findCudaLibraries,
  listGpus,
  nvidiaDriverPresent,
  providerFolder,
  trySession,
} from '../../../engine/runtime/index.js';
import { type CheckResult, checked, installCommand, nativeMessage } from './check-result.js';

const NVIDIA_VENDOR = '0x10de';
/** The oldest driver for each major version of CUDA (CUDA release notes, minor version compatibility). */
const OLDEST_DRIVER: Readonly<Record<number, number>> = { 12: 525, 13: 580 };
/** NVIDIA's packages of CUDA's libraries by its major version. */
const LIBRARY_PACKAGES: Readonly<Record<number, string>> = {
  12: 'cuda-libraries-12-9',
  13: 'cuda-libraries-13-0',
};
const PYTHON_TIME_LIMIT_MS = 20_000;
/** Prints the folders of the libraries in NVIDIA's Python packages, which PyTorch brings. */
const PYTHON_FOLDERS = `
import glob, nvidia, os
found = [path for root in nvidia.__path__ for path in glob.glob(root + '/**/lib*.so*', recursive=True)]
print('\\n'.join(sorted({os.path.dirname(path) for path in found})))`;

/** The provider as it is installed: what it needs, or why it cannot be used. */
interface InstalledProvider {
  readonly check: CheckResult;
  readonly needs: CudaNeeds | undefined;
}

/** The GPU, its driver and libraries, and a session on it. If any is missing, emoq computes on the CPU. */
export async function cudaChecks(): Promise<CheckResult[]> {
  const hasDriver = nvidiaDriverPresent();
  const hasCard = hasDriver || (await hasNvidiaCard());
  const { check, needs } = await providerCheck(hasCard);
  const libraries = needs === undefined ? [] : await findCudaLibraries(needs);
  const canTry = needs !== undefined && libraries.every(({ path }) => path !== undefined);
  return [
    await gpuCheck(hasDriver, hasCard, needs),
    check,
    ...(await libraryChecks(needs, libraries, hasCard)),
    await sessionCheck(canTry, hasDriver),
  ];
}

async function gpuCheck(
  hasDriver: boolean,
  hasCard: boolean,
  needs: CudaNeeds | undefined,
): Promise<CheckResult> {
  const name = 'NVIDIA GPU';
  if (!hasDriver) {
    const what = hasCard ? 'a card without a driver' : 'none found';
    return checked(name, 'missing', `${what}; emoq computes on the CPU`, {
      fix: hasCard ? installCommand('nvidia-driver') : null,
      details: { driver: null, gpus: [] },
    });
  }
  try {
    const gpus = await listGpus();
    if (gpus.length === 0) throw new Error('it lists none');
    const { driver } = gpus[0]!;
    const found = gpus.map(({ name, total_bytes: total, free_bytes: free }) =>
      [
        name,
        ...(total === null ? [] : [formatMemory(total)]),
        ...(free === null ? [] : [`${formatMemory(free)} free`]),
      ].join(', '),
    );
    const text = `${found.join('; ')}; driver ${driver}`;
    const oldest = OLDEST_DRIVER[needs?.cuda ?? 0];
    if (oldest !== undefined && Number.parseInt(driver, 10) < oldest) {
      return checked(name, 'warning', `${text}, too old for CUDA ${needs?.cuda}, which needs ${oldest}`, {
        fix: installCommand('nvidia-driver'),
        details: { driver, gpus },
      });
    }
    return checked(name, 'ok', text, { details: { driver, gpus } });
  } catch (error) {
    const found = `there is a driver, but nvidia-smi lists no GPU (${nativeMessage(error)})`;
    return checked(name, 'warning', found, { fix: 'nvidia-smi', details: { driver: null, gpus: [] } });
  }
}

async function providerCheck(hasCard: boolean): Promise<InstalledProvider> {
  const name = 'CUDA providers';
  const folder = providerFolder();
  const present = await Promise.all(CUDA_PROVIDER_LIBRARIES.map((each) => pathExists(join(folder, each))));
  const missing = CUDA_PROVIDER_LIBRARIES.filter((_, index) => !present[index]);
  const details = { folder, missing };
  const canInstall = process.platform === 'linux' && process.arch === 'x64';
  const fix = canInstall && hasCard ? 'emoq doctor --install-cuda' : null;
  if (missing.length > 0) {
    const all = CUDA_PROVIDER_LIBRARIES.length;
    const what = missing.length === all ? `none of the ${all} libraries` : `without ${missing.join(', ')}`;
    const where = canInstall ? '' : '; they are only available for Linux x64';
    return {
      check: checked(name, 'missing', `${what} in ${folder}${where}`, { fix, details }),
      needs: undefined,
    };
  }
  try {
    const needs = await cudaNeeds(folder);
    const found = `${CUDA_PROVIDER_LIBRARIES.length} libraries in ${folder}, for ${versionsOf(needs)}`;
    return {
      check: checked(name, 'ok', found, {
        details: { ...details, cuda: needs.cuda ?? null, cudnn: needs.cudnn ?? null },
      }),
      needs,
    };
  } catch (error) {
    return { check: checked(name, 'missing', errorMessage(error), { fix, details }), needs: undefined };
  }
}

/** "CUDA 13 and cuDNN 9" */
export function versionsOf({ cuda, cudnn }: CudaNeeds): string {
  const versions = [
    ...(cuda === undefined ? [] : [`CUDA ${cuda}`]),
    ...(cudnn === undefined ? [] : [`cuDNN ${cudnn}`]),
  ];
  return versions.length === 0 ? 'an unknown version of CUDA' : versions.join(' and ');
}

/** A line for all libraries, with the fix, and one for each of them. */
async function libraryChecks(
  needs: CudaNeeds | undefined,
  libraries: readonly FoundLibrary[],
  hasCard: boolean,
): Promise<CheckResult[]> {
  const name = 'CUDA libraries';
  if (needs === undefined) {
    return [
      checked(name, 'missing', 'which ones are needed is read from the CUDA providers, once installed', {
        details: { missing: [], libraries: [] },
      }),
    ];
  }
  const missing = libraries.filter(({ path }) => path === undefined).map((library) => library.name);
  const details = {
    missing,
    libraries: libraries.map(({ path, ...library }) => ({ ...library, path: path ?? null })),
  };
  const summary =
    missing.length === 0
      ? checked(name, 'ok', `all ${libraries.length} that the CUDA providers need`, { details })
      : checked(name, 'missing', `not where the loader looks: ${missing.join(', ')}`, {
          fix: await libraryFix(missing, needs, hasCard),
          details,
        });
  return [
    summary,
    ...libraries.map((library) =>
      checked(library.name, library.path === undefined ? 'missing' : 'ok', library.path ?? 'not found'),
    ),
  ];
}

/** A command that makes the loader find what is missing: where it already is, or else how it is installed. */
async function libraryFix(
  missing: readonly string[],
  { cuda }: CudaNeeds,
  hasCard: boolean,
): Promise<string | null> {
  const ofCuda = missing.filter((name) => name !== DRIVER_LIBRARY);
  if (ofCuda.length === 0) return hasCard ? installCommand('nvidia-driver') : null;
  const folders = await foldersWith(ofCuda);
  if (folders !== undefined) return `export LD_LIBRARY_PATH=${folders.join(':')}:$LD_LIBRARY_PATH`;
  const packages = LIBRARY_PACKAGES[cuda ?? 0];
  return packages === undefined ? null : installCommand(`${packages} libcudnn9-cuda-${cuda}`);
}

/** Folders outside the loader's that together have all the libraries; undefined if one is nowhere. */
async function foldersWith(names: readonly string[]): Promise<string[] | undefined> {
  const candidates = [...(await toolkitFolders()), ...(await pythonFolders())];
  const folders = new Set<string>();
  for (const name of names) {
    const present = await Promise.all(candidates.map((folder) => pathExists(join(folder, name))));
    const folder = candidates[present.indexOf(true)];
    if (folder === undefined) return undefined;
    folders.add(folder);
  }
  return [...folders];
}

/** Where NVIDIA's installers put CUDA, the link to the current version first. */
async function toolkitFolders(root = '/usr/local'): Promise<string[]> {
  const names = (await readdir(root).catch(() => [])).filter((name) => /^cuda(?:-[\d.]+)?$/.test(name));
  return names.sort().map((name) => join(root, name, 'lib64'));
}

async function pythonFolders(): Promise<string[]> {
  const { stdout } = await promisify(execFile)('python3', ['-c', PYTHON_FOLDERS], {
    timeout: PYTHON_TIME_LIMIT_MS,
    killSignal: 'SIGKILL',
  }).catch(() => ({ stdout: '' }));
  return stdout.split('\n').filter((folder) => folder !== '');
}

async function sessionCheck(canTry: boolean, hasDriver: boolean): Promise<CheckResult> {
  const name = 'session on CUDA';
  if (!canTry) return checked(name, 'missing', 'not tried without GPU, driver and CUDA providers');
  try {
    const ms = await trySession({ kind: 'cuda', index: 0 });
    const found = `computed a matrix product correctly, ${ms.toFixed(0)} ms`;
    return checked(name, 'ok', found, { details: { ms: Math.round(ms) } });
  } catch (error) {
    const advice = hasDriver ? '; --device auto selects the GPU and fails, --device cpu works' : '';
    return checked(name, 'missing', `${nativeMessage(error)}${advice}`, { needed: hasDriver });
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

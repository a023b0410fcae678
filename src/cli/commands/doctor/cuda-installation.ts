/** @file `emoq doctor --install-cuda`: puts onnxruntime's CUDA provider where onnxruntime-node looks for it. */

import { spawn } from 'node:child_process';
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { deleteAtExit, InputError, UnavailableError } from '../../../base/index.js';
import {
  CUDA_PROVIDER_LIBRARIES,
  cudaNeeds,
  findCudaLibraries,
  installFromArchive,
  installFromFolder,
  onnxruntimeVersion,
  providerFolder,
} from '../../../engine/runtime/index.js';
import { note, warn } from '../../terminal-output.js';
import { versionsOf } from './cuda-checks.js';

/** Where the provider comes from: NuGet, as onnxruntime-node has it, or PyPI, or a folder or package by its path. */
export type ProviderOrigin = 'nuget' | 'pypi' | (string & {});

const ARGUMENT = '--onnxruntime-node-install';
const ARCHIVE = /\.(?:whl|nupkg|zip)$/;
const WHEEL = 'onnxruntime-gpu';
/** Any Python for which the wheel exists will do: only its libraries are used. */
const PIP_DOWNLOAD = [
  ...['-m', 'pip', 'download', '--quiet', '--disable-pip-version-check', '--no-deps', '--only-binary=:all:'],
  ...[
    '--python-version',
    '3.12',
    '--platform',
    'manylinux_2_28_x86_64',
    '--platform',
    'manylinux_2_27_x86_64',
  ],
];

/**
 * Installs the provider of onnxruntime-node's version, and says which CUDA it wants and what of that is missing.
 * @throws InputError if there is none for this platform, or it is damaged or of another version; UnavailableError if it
 *   cannot be downloaded. What was installed before is then still there
 */
export async function installCuda(origin: ProviderOrigin): Promise<void> {
  const here = `${process.platform} ${process.arch}`;
  if (here !== 'linux x64') {
    throw new InputError(
      `onnxruntime's CUDA libraries for Node are only available for Linux x64, and this is ${here}; leave out --install-cuda`,
    );
  }
  if (origin === 'nuget') await withTemporaryFolder(installFromNuget);
  else if (origin === 'pypi') await withTemporaryFolder(installFromPypi);
  else if (ARCHIVE.test(origin)) await installFromArchive(origin);
  else await installFromFolder(origin);
  const folder = providerFolder();
  const needs = await cudaNeeds(folder);
  note(`installed ${CUDA_PROVIDER_LIBRARIES.join(' and ')} in ${folder}: for ${versionsOf(needs)}`);
  const missing = (await findCudaLibraries(needs)).filter(({ path }) => path === undefined);
  if (missing.length > 0) {
    warn(`missing on this machine: ${missing.map(({ name }) => name).join(', ')}`);
  }
}

async function withTemporaryFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'emoq-cuda-'));
  const exit = deleteAtExit(folder);
  try {
    await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
    exit.forget();
  }
}

/**
 * Runs onnxruntime-node's install script on a copy of its folder of scripts: it writes straight into the folder of
 * libraries beside it, and an interrupted download would leave half a provider there.
 */
async function installFromNuget(folder: string): Promise<void> {
  const root = join(dirname(createRequire(import.meta.url).resolve('onnxruntime-node')), '..');
  await cp(join(root, 'script'), join(folder, 'script'), { recursive: true });
  await cp(join(root, 'package.json'), join(folder, 'package.json'));
  const script = join(folder, 'script', 'install.js');
  note(`downloading onnxruntime's CUDA libraries, several hundred megabytes: install.js ${ARGUMENT}`);
  const { code, output } = await runProgram(process.execPath, [script, ARGUMENT], {
    ...withProxy(process.env),
    NODE_PATH: [join(root, 'node_modules'), join(root, '..')].join(':'),
  });
  if (code !== 0) {
    throw new UnavailableError(
      `onnxruntime's CUDA libraries could not be downloaded (${reasonIn(output) ?? `exit code ${code}`}); they come from NuGet: run it where NuGet is reachable, take those of PyPI's ${WHEEL} (--install-cuda pypi), or name a folder or wheel that has them (--install-cuda FOLDER)`,
    );
  }
  await installFromFolder(join(folder, 'bin', 'napi-v6', process.platform, process.arch));
}

async function installFromPypi(folder: string): Promise<void> {
  const requirement = `${WHEEL}==${onnxruntimeVersion()}`;
  const python = process.env.PYTHON || 'python3';
  note(`downloading ${requirement} with pip, several hundred megabytes`);
  const { code, output } = await runProgram(python, [...PIP_DOWNLOAD, '--dest', folder, requirement]);
  const wheel = (await readdir(folder)).find((name) => name.endsWith('.whl'));
  if (code !== 0 || wheel === undefined) {
    throw new UnavailableError(
      `${requirement} could not be downloaded by ${python} -m pip (${reasonIn(output) ?? `exit code ${code}`}); download the wheel elsewhere, and name it (--install-cuda FILE.whl)`,
    );
  }
  await installFromArchive(join(folder, wheel));
}

/** Captures a program's output instead of showing it: on failure, one line of it is shown. */
function runProgram(
  program: string,
  args: readonly string[],
  env = process.env,
): Promise<{ code: number | null; output: string }> {
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += String(chunk);
    });
  }
  return new Promise((resolve) => {
    child.on('error', (error) => resolve({ code: null, output: `Error: ${error.message}` }));
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
  return /^\w*error: (.+)$/im.exec(output)?.[1] ?? output.trim().split('\n').at(-1);
}

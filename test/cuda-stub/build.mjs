/**
 * @file Builds the CUDA stub: onnxruntime's real CUDA provider, from PyPI's wheel, over small libraries in place of
 * CUDA's. `node test/cuda-stub/build.mjs` puts it into .cache/cuda-stub, downloads what it needs once, and says in one
 * line why it cannot be built where that is so.
 */

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, '..', '..');

/** Where the stub is; EMOQ_STUB names another folder, for instance one that several checkouts share. */
export const stubFolder = resolve(process.env.EMOQ_STUB ?? join(root, '.cache', 'cuda-stub'));

/** Its headers have the structures as the provider of onnxruntime 1.30 knows them. */
const CUDA_RUNTIME = 'nvidia-cuda-runtime==13.0.96';

const PROVIDERS = ['libonnxruntime_providers_cuda.so', 'libonnxruntime_providers_shared.so'];
const NATIVE = join('bin', 'napi-v6', 'linux', 'x64');

/** Libraries by the name the provider asks for, with their sources. The ledger of all is in libcudart. */
const LIBRARIES = [
  {
    name: 'libcudart.so.13',
    sources: ['runtime.c', 'kernels.c', 'shapes.c', 'memory.c', 'ledger.c'],
    versions: 'cuda* __cuda*',
  },
  { name: 'libcublas.so.13', sources: ['blas.c', 'products.c'], versions: 'cublas*' },
  { name: 'libcublasLt.so.13', sources: ['blaslt.c', 'products.c'], versions: 'cublasLt*' },
  { name: 'libcudnn.so.9', sources: ['dnn.c'] },
  { name: 'libcuda.so.1', sources: ['driver.c'] },
  { name: 'libcurand.so.10', sources: [] }, // the provider names it and takes nothing from it
];

/** Why the stub cannot be built on this machine, in one line. */
class Unavailable extends Error {}

/** Builds what is missing or out of date. Returns why it cannot be had, or undefined once it is there. */
export function buildStub() {
  try {
    requireMachine();
    const version = onnxruntimeVersion();
    const lib = join(stubFolder, 'lib');
    unpackOnce(`onnxruntime-gpu==${version}`, 'onnxruntime/capi/', PROVIDERS, lib);
    unpackOnce(CUDA_RUNTIME, 'nvidia/cu13/include/', ['driver_types.h'], join(stubFolder, 'include'));
    compileOnce(lib);
    installOnnxruntime(version, lib);
    return undefined;
  } catch (error) {
    if (error instanceof Unavailable) return error.message;
    throw error;
  }
}

function requireMachine() {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new Unavailable('onnxruntime has a CUDA provider for Linux on x86-64 only');
  if (run('gcc', ['--version']).status !== 0)
    throw new Unavailable('gcc is missing (Debian: apt-get install gcc)');
}

function onnxruntimeVersion() {
  const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return dependencies['onnxruntime-node'];
}

/** Unpacks the files below a folder of a wheel, unless they have been before. */
function unpackOnce(requirement, folder, wanted, target) {
  const mark = join(target, `${requirement}.unpacked`);
  if (existsSync(mark)) return;
  const downloads = join(stubFolder, 'downloads');
  const python = pythonWithPip();
  const [name, version] = requirement.split('==');
  const wheel = () =>
    readdirIfThere(downloads).find((file) => file.startsWith(`${name.replaceAll('-', '_')}-${version}-`));
  if (wheel() === undefined) {
    console.error(`downloading ${requirement}`);
    const platforms = ['manylinux_2_28_x86_64', 'manylinux_2_17_x86_64', 'manylinux2014_x86_64'];
    const { status, stderr } = run(python, [
      ...[
        '-m',
        'pip',
        'download',
        '--quiet',
        '--disable-pip-version-check',
        '--no-deps',
        '--only-binary=:all:',
      ],
      ...['--python-version', '3.12', ...platforms.flatMap((platform) => ['--platform', platform])],
      ...['--dest', downloads, requirement],
    ]);
    if (status !== 0 || wheel() === undefined)
      throw new Unavailable(`pip cannot download ${requirement}: ${stderr.trim().split('\n').at(-1)}`);
  }
  mkdirSync(target, { recursive: true });
  const archive = join(downloads, wheel());
  const { status, stderr } = run(python, ['-c', UNPACK, archive, folder, target]);
  const absent = wanted.filter((file) => !existsSync(join(target, file)));
  if (status !== 0 || absent.length > 0)
    throw new Error(`${archive} cannot be unpacked: ${absent.join(', ')} ${stderr}`);
  writeFileSync(mark, '');
  rmSync(archive);
}

const UNPACK = `
import os, shutil, sys, zipfile
archive, folder, target = sys.argv[1:]
wanted = ${JSON.stringify(PROVIDERS)}
with zipfile.ZipFile(archive) as files:
    for name in files.namelist():
        base = name[len(folder):]
        if not name.startswith(folder) or '/' in base or not (base.endswith('.h') or base in wanted): continue
        with files.open(name) as source, open(os.path.join(target, base), 'wb') as file:
            shutil.copyfileobj(source, file, 1 << 20)
`;

/** A Python that can download wheels: the system's, or where that has no pip, a virtual environment. */
function pythonWithPip() {
  if (run('python3', ['-m', 'pip', '--version']).status === 0) return 'python3';
  const environment = join(stubFolder, 'python');
  const python = join(environment, 'bin', 'python');
  const isReady = existsSync(python) || run('python3', ['-m', 'venv', environment]).status === 0;
  if (!isReady || run(python, ['-m', 'pip', '--version']).status !== 0)
    throw new Unavailable('python3 with pip or venv is missing (Debian: apt-get install python3-pip)');
  return python;
}

/** Compiles the libraries if their sources have changed, and checks that the provider finds everything it needs. */
function compileOnce(lib) {
  const sources = readdirSync(join(here, 'src')).map((file) => readFileSync(join(here, 'src', file)));
  const digest = createHash('sha256');
  for (const source of [...sources, readFileSync(fileURLToPath(import.meta.url))]) digest.update(source);
  const state = digest.digest('hex');
  const mark = join(stubFolder, 'compiled');
  if (existsSync(mark) && readFileSync(mark, 'utf8') === state) return;
  const headers = join(stubFolder, 'include');
  mkdirSync(join(headers, 'crt'), { recursive: true });
  writeFileSync(join(headers, 'crt', 'host_defines.h'), HOST_DEFINES);
  for (const library of LIBRARIES) compile(library, lib, headers);
  checkProvider(lib);
  writeFileSync(mark, state);
}

/** The header of another package of NVIDIA's, as far as C needs it. */
const HOST_DEFINES = `#pragma once
#define CUDARTAPI
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __builtin_align__(bytes) __align__(bytes)
#define __CUDA_INTERNAL_DEPRECATED(message)
${[
  'host__',
  'device__',
  'device_builtin__',
  'device_builtin_texture_type__',
  'device_builtin_surface_type__',
  'cudart_builtin__',
]
  .map((name) => `#define __${name}`)
  .join('\n')}
`;

function compile({ name, sources, versions }, lib, headers) {
  const target = join(lib, name);
  const unfinished = `${target}.new`;
  const script = join(stubFolder, `${name}.map`);
  if (versions !== undefined) writeFileSync(script, versionScript(name, versions));
  const { status, stderr } = run('gcc', [
    ...['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Wno-unused-parameter', '-Werror', '-shared', '-fPIC'],
    ...[
      '-fvisibility=hidden',
      '-isystem',
      headers,
      `-Wl,-soname,${name}`,
      '-Wl,--no-undefined',
      '-o',
      unfinished,
    ],
    ...(versions === undefined ? [] : [`-Wl,--version-script=${script}`]),
    ...(sources.length === 0 ? ['-x', 'c', '/dev/null'] : sources.map((source) => join(here, 'src', source))),
    ...(sources.length === 0 || sources.includes('ledger.c') ? [] : [join(lib, 'libcudart.so.13')]),
    '-lpthread',
  ]);
  if (status !== 0) throw new Error(`${name} cannot be compiled:\n${stderr}`);
  renameSync(unfinished, target);
}

/** The provider asks for symbols of the version that has the library's name. The stub's own have no version. */
function versionScript(name, patterns) {
  const exported = patterns.split(' ').map((pattern) => `${pattern};`);
  return `${name} { global: ${exported.join(' ')} local: *; };\n${name.includes('cudart') ? 'EMOQ { global: stub_*; };\n' : ''}`;
}

function checkProvider(lib) {
  const provider = join(lib, PROVIDERS[0]);
  const { stdout, stderr } = run('ldd', ['-r', provider], { LD_LIBRARY_PATH: lib });
  const problems = `${stdout}\n${stderr}`
    .split('\n')
    .filter((line) => /not found|symbol:? _*(cu|nv)/.test(line))
    .map((line) => line.trim());
  if (problems.length > 0)
    throw new Error(`the CUDA stub lacks what the provider needs:\n${problems.join('\n')}`);
}

/**
 * A copy of onnxruntime-node with the providers beside its library, which is where it looks for them. The package of
 * the checkout stays as it is.
 */
function installOnnxruntime(version, lib) {
  const copy = join(stubFolder, 'node_modules', 'onnxruntime-node');
  const own = join(root, 'node_modules', 'onnxruntime-node');
  const mark = join(copy, `complete-${version}`);
  if (existsSync(mark)) return;
  rmSync(copy, { recursive: true, force: true });
  mkdirSync(join(copy, NATIVE), { recursive: true });
  cpSync(join(own, 'package.json'), join(copy, 'package.json'));
  cpSync(join(own, 'dist'), join(copy, 'dist'), { recursive: true });
  for (const file of readdirSync(join(own, NATIVE)).filter((file) => !PROVIDERS.includes(file))) {
    linkOrCopy(join(own, NATIVE, file), join(copy, NATIVE, file));
  }
  for (const file of PROVIDERS) symlinkSync(join(lib, file), join(copy, NATIVE, file));
  writeFileSync(mark, '');
}

/** A hard link, because Node and the loader follow symbolic ones to the folder without the providers. */
function linkOrCopy(from, to) {
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to);
  }
}

function readdirIfThere(folder) {
  return existsSync(folder) ? readdirSync(folder) : [];
}

function run(command, args, env = {}) {
  const { status, stdout, stderr } = spawnSync(command, args, {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  return { status, stdout: stdout ?? '', stderr: stderr ?? '' };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const problem = buildStub();
  console.log(
    problem === undefined ? `the CUDA stub is in ${stubFolder}` : `there is no CUDA stub here: ${problem}`,
  );
}

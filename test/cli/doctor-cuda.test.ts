/** @file `emoq doctor` and `--device cuda` with a made-up CUDA provider, in a copy of emoq with its own onnxruntime. */

import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CUDA_PROVIDER_LIBRARIES, onnxruntimeVersion } from '../../src/engine/runtime/index.js';
import { writeZip } from '../checkpoints/zip-file.js';
import { elfLibrary } from '../engine/elf-library.js';
import { type Outcome, run } from './command-line.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'emoq-doctor-cuda-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const installation = join(scratch, 'emoq');
const runtime = join(installation, 'node_modules/onnxruntime-node');
const natives = join(runtime, 'bin/napi-v6', process.platform, process.arch);
const [SHARED, CUDA] = CUDA_PROVIDER_LIBRARIES as [string, string];
const version = onnxruntimeVersion();
const isLinuxX64 = `${process.platform} ${process.arch}` === 'linux x64';

/** A provider of no code for CUDA 99, which no machine has. */
const provider = (itsVersion = version): Record<string, Buffer> => ({
  [SHARED]: elfLibrary({ needed: ['libc.so.6'] }),
  [CUDA]: elfLibrary({
    needed: ['libcublas.so.99', 'libcudart.so.99', 'libc.so.6'],
    text: `libcudnn.so.97\0${itsVersion}`,
  }),
});

beforeAll(() => {
  for (const part of ['bin', 'dist', 'recipes', 'package.json']) {
    cpSync(join(root, part), join(installation, part), { recursive: true });
  }
  const packages = join(root, 'node_modules');
  mkdirSync(join(installation, 'node_modules'));
  for (const name of readdirSync(packages).filter((each) => each !== 'onnxruntime-node')) {
    symlinkSync(join(packages, name), join(installation, 'node_modules', name));
  }
  for (const part of ['package.json', 'dist', 'script']) {
    cpSync(join(packages, 'onnxruntime-node', part), join(runtime, part), { recursive: true });
  }
});

/** Native libraries without a provider, or with one. */
beforeEach(() => {
  rmSync(natives, { recursive: true, force: true });
  mkdirSync(natives, { recursive: true });
  const there = join(root, 'node_modules/onnxruntime-node/bin/napi-v6', process.platform, process.arch);
  for (const name of readdirSync(there).filter((each) => !each.includes('_providers_'))) {
    symlinkSync(join(there, name), join(natives, name));
  }
});
function put(files: Readonly<Record<string, Uint8Array | string>>, folder = natives): string {
  mkdirSync(folder, { recursive: true });
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  return folder;
}

const emoq = (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> =>
  run(process.execPath, [join(installation, 'bin/emoq.js'), ...args], scratch, env);

const cudaLines = ({ stdout }: Outcome): string[] =>
  stdout
    .split('\n')
    .filter((line) => /^\w+ +(?:CUDA|lib|session on CUDA)/.test(line))
    .map((line) => line.replace(/ {2,}/g, ' ').replaceAll(scratch, ''));

describe.runIf(isLinuxX64)('the doctor', () => {
  it('without a provider names no libraries', async () => {
    const outcome = await emoq(['doctor']);
    expect(cudaLines(outcome)).toEqual([
      `absent CUDA providers none of the 2 libraries in ${natives.replace(scratch, '')}`,
      'absent CUDA libraries which ones are needed is read from the CUDA providers, once installed',
      'absent session on CUDA not tried without GPU, driver and CUDA providers',
    ]);
    expect(outcome.code).toBe(0);
  });

  it('lists each library that the provider needs, where it is, and a fix', async () => {
    put(provider());
    const folder = put({ 'libcudart.so.99': '' }, join(scratch, 'cuda-99'));
    const env = { LD_LIBRARY_PATH: folder };
    const outcome = await emoq(['doctor'], env);
    expect(cudaLines(outcome)).toEqual([
      `ok CUDA providers 2 libraries in ${natives.replace(scratch, '')}, for CUDA 99 and cuDNN 97`,
      'absent CUDA libraries not where the loader looks: libcublas.so.99, libcudnn.so.97',
      'absent libcublas.so.99 not found',
      'ok libcudart.so.99 /cuda-99/libcudart.so.99',
      'absent libcudnn.so.97 not found',
      'absent session on CUDA not tried without GPU, driver and CUDA providers',
    ]);
    expect(outcome.code).toBe(0);
    const { stdout } = await emoq(['doctor', '--json'], env);
    const { checks } = JSON.parse(stdout) as { checks: { name: string; details: unknown }[] };
    expect(checks.find(({ name }) => name === 'CUDA providers')!.details).toEqual({
      folder: natives,
      missing: [],
      cuda: 99,
      cudnn: 97,
    });
    expect(checks.find(({ name }) => name === 'CUDA libraries')!.details).toEqual({
      missing: ['libcublas.so.99', 'libcudnn.so.97'],
      libraries: [
        { name: 'libcublas.so.99', path: null },
        { name: 'libcudart.so.99', path: join(folder, 'libcudart.so.99') },
        { name: 'libcudnn.so.97', path: null },
      ],
    });
  });

  it('finds missing libraries in Python packages, and says how to use them', async () => {
    put(provider());
    const packages = join(scratch, 'python');
    put({ '__init__.py': '' }, join(packages, 'nvidia'));
    const folder = put({ 'libcublas.so.99': '', 'libcudart.so.99': '' }, join(packages, 'nvidia/cu99/lib'));
    const other = put({ 'libcudnn.so.97': '' }, join(packages, 'nvidia/cudnn/lib'));
    const { stdout } = await emoq(['doctor'], { PYTHONPATH: packages, LD_LIBRARY_PATH: '' });
    expect(stdout).toContain(`fix: export LD_LIBRARY_PATH=${folder}:${other}:$LD_LIBRARY_PATH\n`);
  });

  it('tries a session where everything is there, and reports its failure', async () => {
    put(provider());
    const folder = put(
      { 'libcudart.so.99': '', 'libcublas.so.99': '', 'libcudnn.so.97': '' },
      join(scratch, 'broken-99'),
    );
    const outcome = await emoq(['doctor'], { LD_LIBRARY_PATH: folder });
    const lines = cudaLines(outcome);
    expect(lines[1]).toBe('ok CUDA libraries all 3 that the CUDA providers need');
    expect(lines.at(-1)).toMatch(/^absent session on CUDA (?!not tried)./);
    expect(outcome.code).toBe(0); // there is no driver, so that auto is the CPU
  });

  it('says which provider is damaged', async () => {
    put({ ...provider(), [CUDA]: 'no library' });
    const lines = cudaLines(await emoq(['doctor']));
    expect(lines[0]).toBe(
      `absent CUDA providers library ${join(natives, CUDA).replace(scratch, '')} is not an ELF file`,
    );
  });
});

describe.runIf(isLinuxX64)('--device cuda', () => {
  /** The device is looked at once the input has passed its checks, so a corpus is needed. */
  beforeAll(async () => {
    expect((await emoq(['prepare-toy', '--speakers', '5', '--utterances', '4'])).code).toBe(0);
  });
  const train = (device: string, env: NodeJS.ProcessEnv = {}) =>
    emoq(['stage1', '--dataset', 'toy4', '--run', 'never', '--device', device], env);

  it('without its libraries says which are missing', async () => {
    put(provider());
    const { code, stdout, stderr } = await train('cuda');
    expect({ code, stdout, stderr }).toEqual({
      code: 2,
      stdout: '',
      stderr:
        'error: device "cuda:0" needs libcublas.so.99, libcudart.so.99, libcudnn.so.97, which are not where the loader looks; "emoq doctor" says what to do, or use --device cpu\n',
    });
  });

  it('beyond the GPUs that there are says how many', async () => {
    put(provider());
    const folder = put(
      { 'libcudart.so.99': '', 'libcublas.so.99': '', 'libcudnn.so.97': '' },
      join(scratch, 'all-99'),
    );
    const bin = put(
      {
        'nvidia-smi':
          '#!/bin/sh\necho "NVIDIA H200, 580.65.06, 143771, 143051"\necho "NVIDIA H200, 580.65.06, 143771, 143051"\n',
      },
      join(scratch, 'bin'),
    );
    chmodSync(join(bin, 'nvidia-smi'), 0o755);
    const env = { LD_LIBRARY_PATH: folder, PATH: [bin, process.env.PATH].join(delimiter) };
    const { code, stderr } = await train('cuda:2', env);
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: 'error: device "cuda:2" does not exist; CUDA shows cuda:0, cuda:1\n',
    });
    const hidden = await train('cuda:0', { ...env, CUDA_VISIBLE_DEVICES: '' });
    expect(hidden.stderr).toBe(
      'error: device "cuda:0" does not exist; CUDA shows no GPU (CUDA_VISIBLE_DEVICES hides them)\n',
    );
  });
});

describe.runIf(isLinuxX64)('--install-cuda', () => {
  const installed = (): string[] => readdirSync(natives).filter((name) => name.includes('_providers_'));

  it('takes a folder or a wheel, and says what it wants and what is missing', async () => {
    const folder = put(provider(), join(scratch, 'source'));
    const wheel = join(scratch, 'onnxruntime_gpu.whl');
    await writeZip(wheel, [
      {
        name: `onnxruntime_gpu-${version}.dist-info/METADATA`,
        content: Buffer.from(`Metadata-Version: 2.4\nName: onnxruntime-gpu\nVersion: ${version}\n`),
      },
      ...Object.entries(provider()).map(([name, content]) => ({ name: `onnxruntime/capi/${name}`, content })),
    ]);
    for (const source of [folder, wheel]) {
      for (const name of installed()) rmSync(join(natives, name));
      const outcome = await emoq(['doctor', '--install-cuda', source]);
      expect(outcome.stderr).toBe(
        `installed ${SHARED} and ${CUDA} in ${natives}: for CUDA 99 and cuDNN 97\nwarning: missing on this machine: libcublas.so.99, libcudart.so.99, libcudnn.so.97\n`,
      );
      expect(outcome.code).toBe(0);
      expect(cudaLines(outcome)[0]).toContain('for CUDA 99 and cuDNN 97');
      expect(installed()).toEqual([CUDA, SHARED]);
    }
  });

  it('of another version changes nothing', async () => {
    put({ [SHARED]: 'old', [CUDA]: 'old' });
    const folder = put(provider('1.2.3'), join(scratch, 'older'));
    const { code, stdout, stderr } = await emoq(['doctor', '--install-cuda', folder]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toBe(
      `error: ${join(folder, CUDA)} is of version 1.2.3, and onnxruntime-node of ${version}; take the provider of ${version}\n`,
    );
    expect(readFileSync(join(natives, CUDA), 'utf8')).toBe('old');
    expect(installed()).toEqual([CUDA, SHARED]);
  });

  it('from PyPI without pip, or from NuGet without a network, changes nothing', async () => {
    put({ [SHARED]: 'old', [CUDA]: 'old' });
    const pypi = await emoq(['doctor', '--install-cuda', 'pypi'], { PYTHON: '/nonexistent/python' });
    expect(pypi.code).toBe(1);
    expect(pypi.stderr).toMatch(
      /^downloading onnxruntime-gpu==[\d.]+ with pip, several hundred megabytes\nerror: onnxruntime-gpu==[\d.]+ could not be downloaded by \/nonexistent\/python -m pip \(spawn .*ENOENT\); download the wheel elsewhere, and name it \(--install-cuda FILE\.whl\)\n$/,
    );
    const nuget = await emoq(['doctor', '--install-cuda'], { HTTPS_PROXY: 'http://127.0.0.1:9' });
    expect(nuget.code).toBe(1);
    expect(nuget.stderr).toMatch(/could not be downloaded \(connect ECONNREFUSED 127\.0\.0\.1:9\)/);
    expect(readFileSync(join(natives, CUDA), 'utf8')).toBe('old');
    expect(installed()).toEqual([CUDA, SHARED]);
  });
});

/** @file What a CUDA provider needs, where that is, and how the provider is installed: over made-up libraries. */

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { InputError } from '../../src/base/index.js';
import { requireProviderVersion } from '../../src/engine/runtime/cuda-provider.js';
import { readDynamicSection } from '../../src/engine/runtime/elf.js';
import {
  CUDA_PROVIDER_LIBRARIES,
  cudaNeeds,
  cudaProviderInstalled,
  findCudaLibraries,
  installFromArchive,
  installFromFolder,
  onnxruntimeVersion,
  providerFolder,
} from '../../src/engine/runtime/index.js';
import { cachedPaths, findLibraries } from '../../src/engine/runtime/library-search.js';
import { countVisible } from '../../src/engine/runtime/nvidia-gpus.js';
import { writeZip } from '../checkpoints/zip-file.js';
import { elfLibrary } from './elf-library.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-cuda-'));
afterAll(() => rmSync(folder, { recursive: true }));

let made = 0;
/** A fresh folder with these files. */
function folderOf(files: Readonly<Record<string, Uint8Array | string>>): string {
  const root = join(folder, String(made++));
  mkdirSync(root);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), content);
  }
  return root;
}

const [SHARED, CUDA] = CUDA_PROVIDER_LIBRARIES as [string, string];
const NEEDED = ['libcublasLt.so.13', 'libcudart.so.13', 'libcuda.so.1', 'libstdc++.so.6', 'libc.so.6'];
/** A provider that opens cuDNN by name, which the compiler has split. */
const provider = (version: string): Buffer =>
  elfLibrary({ needed: NEEDED, text: `libcudnn\x89\x84\x24dnn.so.9H\0${version}` });

const variable = process.env.LD_LIBRARY_PATH;
afterEach(() => {
  if (variable === undefined) delete process.env.LD_LIBRARY_PATH;
  else process.env.LD_LIBRARY_PATH = variable;
});

describe('a shared library', () => {
  it('tells what it needs, and where it looks', async () => {
    const content = { needed: NEEDED, rpath: '/a:$ORIGIN/b', runpath: '/c' };
    const root = folderOf({ 'full.so': elfLibrary(content), 'bare.so': elfLibrary() });
    expect(await readDynamicSection(join(root, 'full.so'))).toEqual({
      needed: NEEDED,
      rpath: ['/a', '$ORIGIN/b'],
      runpath: ['/c'],
    });
    expect(await readDynamicSection(join(root, 'bare.so'))).toEqual({ needed: [], rpath: [], runpath: [] });
  });

  it('of this system is read as the loader reads it', async (test) => {
    // Other systems have no ELF libraries to read.
    if (process.platform !== 'linux') return test.skip('only Linux has ELF libraries');
    const path = join(providerFolder(), 'libonnxruntime.so.1');
    const { needed, runpath } = await readDynamicSection(path);
    expect(needed).toContain('libc.so.6');
    expect(runpath).toEqual(['$ORIGIN']);
    const found = await findLibraries(needed, { path, dynamic: { rpath: [], runpath } });
    expect(found.filter((library) => library.path === undefined)).toEqual([]);
  });

  it('cut short anywhere is refused in one line', async () => {
    const whole = elfLibrary({ needed: NEEDED });
    const path = join(folderOf({}), 'cut.so');
    // The last three bytes are the end of the names and the empty text.
    for (let length = 0; length < whole.length - 3; length++) {
      writeFileSync(path, whole.subarray(0, length));
      const error = await readDynamicSection(path).then(
        () => `${length} bytes are accepted`,
        (reason: unknown) => reason,
      );
      expect(error).toBeInstanceOf(InputError);
      expect((error as Error).message).toMatch(/^library \S+cut\.so [^\n]+$/);
    }
  });

  it('with any byte changed is read or refused, but never anything else', async () => {
    const whole = elfLibrary({ needed: NEEDED.slice(0, 2) });
    const path = join(folderOf({}), 'changed.so');
    for (const [position, byte] of whole.entries()) {
      for (const value of [0, 0xff, byte ^ 0x80]) {
        const changed = Buffer.from(whole);
        changed[position] = value;
        writeFileSync(path, changed);
        const result = await readDynamicSection(path).catch((error: unknown) => error);
        if (result instanceof Error) expect(result).toBeInstanceOf(InputError);
      }
    }
  });

  it.each([
    ['a text', 'no library at all', /is not an ELF file$/],
    ['nothing', '', /is empty$/],
    ['32 bits', elfLibrary().fill(1, 4, 5), /is not a shared library for 64-bit Linux$/],
    ['a program', elfLibrary().fill(2, 16, 17), /is not a shared library for 64-bit Linux$/],
    ['no dynamic section', elfLibrary().fill(9, 120, 121), /has no dynamic section$/],
  ])('that is %s is refused', async (_, content, message) => {
    const path = join(folderOf({ 'x.so': content }), 'x.so');
    await expect(readDynamicSection(path)).rejects.toThrow(message);
    await expect(readDynamicSection(path)).rejects.toThrow(InputError);
  });

  it('that does not exist is refused', async () => {
    await expect(readDynamicSection('/nonexistent/x.so')).rejects.toThrow(
      /^library .* cannot be read: ENOENT/,
    );
  });
});

describe('libraries are looked for', () => {
  it('in the order of the loader: RPATH, LD_LIBRARY_PATH, RUNPATH', async () => {
    const root = folderOf({
      'r/a.so': '',
      'l/a.so': '',
      'l/b.so': '',
      'n/a.so': '',
      'n/b.so': '',
      'n/c.so': '',
    });
    process.env.LD_LIBRARY_PATH = `/nonexistent:${join(root, 'l')}`;
    const names = ['a.so', 'b.so', 'c.so', 'no-such.so'];
    const pathsWith = async (dynamic: { rpath: string[]; runpath: string[] }) =>
      (await findLibraries(names, { path: join(root, 'n/library.so'), dynamic })).map(({ path }) =>
        path?.slice(root.length + 1),
      );
    expect(await pathsWith({ rpath: ['$ORIGIN/../r', ['$', '{ORIGIN}'].join('')], runpath: [] })).toEqual([
      'r/a.so',
      'n/b.so',
      'n/c.so',
      undefined,
    ]);
    // With a RUNPATH, the RPATH has no effect.
    expect(await pathsWith({ rpath: [join(root, 'r')], runpath: ['$ORIGIN'] })).toEqual([
      'l/a.so',
      'l/b.so',
      'n/c.so',
      undefined,
    ]);
  });

  it('in the cache, among the libraries of one architecture', () => {
    const listing = [
      "3 libs found in cache `/etc/ld.so.cache'",
      '\tlibz.so.1 (libc6) => /lib/i386-linux-gnu/libz.so.1',
      '\tlibz.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libz.so.1',
      '\tlibz.so.1 (libc6,x86-64, OS ABI: Linux 3.2.0) => /opt/a folder/libz.so.1',
    ].join('\n');
    expect([...cachedPaths(listing, 'x86-64')]).toEqual([['libz.so.1', '/lib/x86_64-linux-gnu/libz.so.1']]);
    expect([...cachedPaths(listing, 'AArch64')]).toEqual([]);
  });
});

describe('a CUDA provider', () => {
  it('needs what it names, and the cuDNN that it opens later, but not the system', async () => {
    const source = folderOf({
      [SHARED]: elfLibrary(),
      [CUDA]: provider('1.30.0'),
      'lib/libcudart.so.13': '',
    });
    const needs = await cudaNeeds(source);
    expect(needs).toMatchObject({ cuda: 13, cudnn: 9 });
    expect(needs.libraries).toEqual([
      'libcublasLt.so.13',
      'libcudart.so.13',
      'libcuda.so.1',
      'libcudnn.so.9',
    ]);
    process.env.LD_LIBRARY_PATH = join(source, 'lib');
    expect((await findCudaLibraries(needs))[1]).toEqual({
      name: 'libcudart.so.13',
      path: join(source, 'lib/libcudart.so.13'),
    });
  });

  it('that is linked to cuDNN, or to another CUDA, says so too', async () => {
    const linked = elfLibrary({ needed: ['libcudart.so.12', 'libcudnn.so.8'], text: 'libcudnn.so.9' });
    expect(await cudaNeeds(folderOf({ [CUDA]: linked }))).toMatchObject({ cuda: 12, cudnn: 8 });
    const without = elfLibrary({ needed: ['libc.so.6'] });
    const none = await cudaNeeds(folderOf({ [CUDA]: without }));
    expect(none).toMatchObject({ libraries: [], cuda: undefined, cudnn: undefined });
  });

  it('of onnxruntime 1.30.0 for CUDA 13 is read as it is', async (test) => {
    const source = [process.env.EMOQ_CUDA_PROVIDER ?? '', providerFolder()].find((each) =>
      cudaProviderInstalled(each),
    );
    if (source === undefined) {
      // The provider has 272 MB, which no test downloads: where it is installed it is read.
      return test.skip('no CUDA provider is installed, and EMOQ_CUDA_PROVIDER names no folder with one');
    }
    await requireProviderVersion(join(source, CUDA), onnxruntimeVersion());
    expect(await cudaNeeds(source)).toMatchObject({
      libraries: expect.arrayContaining(['libcuda.so.1', 'libcudnn.so.9']),
      cuda: expect.any(Number),
      cudnn: 9,
    });
  });

  it('of another version is refused, with both versions', async () => {
    const path = join(folderOf({ [CUDA]: provider('1.29.1') }), CUDA);
    await requireProviderVersion(path, '1.29.1');
    await expect(requireProviderVersion(path, '1.30.0')).rejects.toThrow(
      new InputError(
        `${path} is of version 1.29.1, and onnxruntime-node of 1.30.0; take the provider of 1.30.0`,
      ),
    );
    const unnamed = join(folderOf({ [CUDA]: elfLibrary({ text: '11.30.0 and 1.30.01' }) }), CUDA);
    await expect(requireProviderVersion(unnamed, '1.30.0')).rejects.toThrow('is of another version');
  });
});

describe('installing', () => {
  const files = (version: string) => ({ [SHARED]: elfLibrary({ text: version }), [CUDA]: provider(version) });
  /** A folder of native libraries with an older provider. */
  const target = () => ({
    folder: folderOf({ [SHARED]: 'old', [CUDA]: 'old', 'other.node': '' }),
    version: '1.30.0',
  });
  const contentOf = (root: string) =>
    Object.fromEntries(readdirSync(root).map((name) => [name, readFileSync(join(root, name), 'latin1')]));

  it.each(['', 'lib', 'onnxruntime/capi', 'runtimes/linux-x64/native'])(
    'from a folder takes both libraries, in "%s"',
    async (subfolder) => {
      const source = folderOf(
        Object.fromEntries(
          Object.entries(files('1.30.0')).map(([name, bytes]) => [join(subfolder, name), bytes]),
        ),
      );
      const there = target();
      await installFromFolder(source, there);
      expect(contentOf(there.folder)).toEqual({
        [SHARED]: files('1.30.0')[SHARED]!.toString('latin1'),
        [CUDA]: provider('1.30.0').toString('latin1'),
        'other.node': '',
      });
    },
  );

  const wheelOf = async (
    version: string,
    {
      name = 'onnxruntime-gpu',
      libraries = version,
      crc,
    }: { name?: string; libraries?: string; crc?: number } = {},
  ): Promise<string> => {
    const path = join(folderOf({}), `${name}.whl`);
    const metadata = `Metadata-Version: 2.4\nName: ${name}\nVersion: ${version}\n\nVersion: 9\n`;
    await writeZip(path, [
      { name: `onnxruntime_gpu-${version}.dist-info/METADATA`, content: Buffer.from(metadata) },
      ...Object.entries(files(libraries)).map(([library, content]) => ({
        name: `onnxruntime/capi/${library}`,
        content,
        ...(library === CUDA && crc !== undefined && { local: { crc }, directory: { crc } }),
      })),
    ]);
    return path;
  };

  it('from a wheel, and from a package of NuGet', async () => {
    const there = target();
    await installFromArchive(await wheelOf('1.30.0'), there);
    expect(contentOf(there.folder)[CUDA]).toBe(provider('1.30.0').toString('latin1'));
    const package_ = join(folderOf({}), 'gpu.nupkg');
    const entries = Object.entries(files('1.30.0')).map(([name, content]) => ({
      name: `runtimes/linux-x64/native/${name}`,
      content,
    }));
    await writeZip(package_, entries);
    const other = target();
    await installFromArchive(package_, other);
    expect(contentOf(other.folder)).toEqual(contentOf(there.folder));
  });

  it.each([
    [
      'a folder without one of them',
      () => folderOf({ [CUDA]: provider('1.30.0') }),
      /is not a folder with lib/,
    ],
    [
      'a folder of another version',
      () => folderOf(files('1.31.0')),
      /of version 1\.31\.0, and onnxruntime-node of 1\.30\.0/,
    ],
    ['a folder of rubbish', () => folderOf({ [SHARED]: 'x', [CUDA]: 'x' }), /is not an ELF file/],
    [
      'a wheel of another version',
      () => wheelOf('1.29.0'),
      /is of version 1\.29\.0, and onnxruntime-node of 1\.30\.0; take onnxruntime-gpu==1\.30\.0$/,
    ],
    [
      'a wheel that says it is another',
      () => wheelOf('1.30.0', { libraries: '1.28.0' }),
      /the provider in .*\.whl is of version 1\.28\.0/,
    ],
    [
      'another wheel',
      () => wheelOf('1.30.0', { name: 'onnxruntime' }),
      /is onnxruntime, not onnxruntime-gpu$/,
    ],
    [
      'a wheel with a wrong checksum',
      () => wheelOf('1.30.0', { crc: 7 }),
      /is damaged: .*cuda\.so has another checksum$/,
    ],
    ['a file that is no zip', () => join(folderOf({ 'x.whl': 'no zip' }), 'x.whl'), /x\.whl cannot be read/],
    ['a file that does not exist', () => '/nonexistent.whl', /^package \/nonexistent\.whl does not exist$/],
  ])('from %s is refused, and leaves what there was', async (_, source, message) => {
    const there = target();
    const path = await source();
    const installing = path.endsWith('.whl')
      ? installFromArchive(path, there)
      : installFromFolder(path, there);
    const error = await installing.then(
      () => 'installed',
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(InputError);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).not.toContain('\n');
    expect(contentOf(there.folder)).toEqual({ [SHARED]: 'old', [CUDA]: 'old', 'other.node': '' });
  });

  it('from a package that is cut short is refused at every length tried', async () => {
    const whole = readFileSync(await wheelOf('1.30.0'));
    const path = join(folderOf({}), 'cut.whl');
    for (let length = 0; length < whole.length; length += 37) {
      writeFileSync(path, whole.subarray(0, length));
      const there = target();
      await expect(installFromArchive(path, there)).rejects.toThrow(InputError);
      expect(contentOf(there.folder)).toEqual({ [SHARED]: 'old', [CUDA]: 'old', 'other.node': '' });
    }
  });
});

it('CUDA shows the GPUs that CUDA_VISIBLE_DEVICES lists, up to the first that does not exist', () => {
  expect(countVisible(4, undefined)).toBe(4);
  expect(countVisible(4, '')).toBe(0);
  expect(countVisible(4, '2,0')).toBe(2);
  expect(countVisible(4, '0,7,1')).toBe(1);
  expect(countVisible(4, '-1')).toBe(0);
  expect(countVisible(2, 'GPU-8932f937, MIG-5a1')).toBe(2);
});

/**
 * @file onnxruntime's CUDA provider: the libraries that it consists of, its version, the libraries of CUDA that it
 * needs, and where they are.
 */

import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError } from '../../base/index.js';
import { CUDA_PROVIDER_LIBRARIES, providerFolder } from './device.js';
import { readDynamicSection } from './elf.js';
import { type FoundLibrary, findLibraries, type SearchContext } from './library-search.js';

/** What a build of the provider needs of CUDA. */
export interface CudaNeeds {
  /** Libraries that are loaded with the provider or, like cuDNN's, when a kernel first uses them. */
  readonly libraries: readonly string[];
  /** CUDA's major version, such as 13; undefined if no library's name tells. */
  readonly cuda: number | undefined;
  /** cuDNN's major version. */
  readonly cudnn: number | undefined;
  /** Where the provider itself has other libraries looked for. */
  readonly search: SearchContext;
}

/** Parts of the system that Node itself cannot run without. */
const OF_THE_SYSTEM = /^(?:ld-linux|lib(?:c|m|dl|rt|pthread|gcc_s|stdc\+\+)\.so)/;
/** The driver's library: it comes with the driver, and not with CUDA. */
export const DRIVER_LIBRARY = 'libcuda.so.1';

/** The file of the provider proper in a folder. */
function providerFile(folder: string): string {
  return join(folder, CUDA_PROVIDER_LIBRARIES.at(-1)!);
}

/**
 * What the provider in a folder needs: the NEEDED entries of its library, and cuDNN.
 * @throws InputError if its library is not one, or cannot be read
 */
export async function cudaNeeds(folder = providerFolder()): Promise<CudaNeeds> {
  const path = providerFile(folder);
  const dynamic = await readDynamicSection(path);
  const linked = dynamic.needed.filter((name) => !OF_THE_SYSTEM.test(name));
  const isLinkedToCudnn = linked.some((name) => name.startsWith('libcudnn.'));
  const lazily = isLinkedToCudnn ? undefined : await cudnnVersion(path);
  const libraries = lazily === undefined ? linked : [...linked, `libcudnn.so.${lazily}`];
  return {
    libraries,
    cuda: majorOf(libraries, 'libcudart'),
    cudnn: majorOf(libraries, 'libcudnn'),
    search: { path, dynamic },
  };
}

function majorOf(libraries: readonly string[], name: string): number | undefined {
  const library = libraries.find((each) => each.startsWith(`${name}.so.`));
  return library === undefined ? undefined : Number.parseInt(library.slice(name.length + 4), 10);
}

/**
 * The version of cuDNN that a provider opens by name when a kernel first uses it. The compiler keeps so short a name in
 * two overlapping words among the instructions: `libcudnn` and `dnn.so.9`.
 */
async function cudnnVersion(path: string): Promise<string | undefined> {
  return (await searchFile(path, /dnn\.so\.(\d+)/))?.[1];
}

/** Where each library is that a build of the provider needs. */
export function findCudaLibraries({ libraries, search }: CudaNeeds): Promise<FoundLibrary[]> {
  return findLibraries(libraries, search);
}

/**
 * Checks that a provider's library is of a version of onnxruntime, by the version in its bytes: one of another version
 * would load, and then fail in any way.
 * @param name what to call the file in errors
 * @throws InputError with both versions, or if it is not a library
 */
export async function requireProviderVersion(path: string, version: string, name = path): Promise<void> {
  await readDynamicSection(path, name);
  if ((await searchFile(path, new RegExp(`[^ -~]${version.replaceAll('.', '\\.')}[^ -~]`))) !== undefined)
    return;
  const other = (await searchFile(path, ANY_VERSION))?.[1];
  throw new InputError(
    `${name} is of ${other === undefined ? 'another version' : `version ${other}`}, and onnxruntime-node of ${version}; take the provider of ${version}`,
  );
}

/** A constant of its own, between bytes that are not of a text. */
const ANY_VERSION = /[^ -~](\d+\.\d+\.\d+(?:-[\w.]+)?)[^ -~]/;
const CHUNK_BYTES = 1 << 22;
const LONGEST_MATCH_BYTES = 64;

/** The first match in a file's bytes, read as Latin-1. Reads no further than that. */
async function searchFile(path: string, pattern: RegExp): Promise<RegExpExecArray | undefined> {
  const file = await open(path, 'r');
  try {
    const chunk = Buffer.alloc(CHUNK_BYTES);
    let kept = '';
    for (;;) {
      const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES);
      if (bytesRead === 0) return undefined;
      const text = kept + chunk.toString('latin1', 0, bytesRead);
      const found = pattern.exec(text);
      if (found !== null) return found;
      kept = text.slice(-LONGEST_MATCH_BYTES);
    }
  } finally {
    await file.close();
  }
}

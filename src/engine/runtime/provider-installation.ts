/**
 * @file Puts onnxruntime's CUDA provider into onnxruntime-node's folder: from a folder, or from a Python wheel or NuGet
 * package. Both libraries are complete and checked before either is replaced.
 */

import { createReadStream } from 'node:fs';
import { join, posix } from 'node:path';
import type { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import { type Entry, openPromise, type ZipFile } from 'yauzl';
import {
  createAtomicFile,
  errorMessage,
  InputError,
  type OutputFile,
  pathExists,
  UnavailableError,
} from '../../base/index.js';
import { requireProviderVersion } from './cuda-provider.js';
import { CUDA_PROVIDER_LIBRARIES, onnxruntimeVersion, providerFolder } from './device.js';

export interface ProviderTarget {
  /** The folder of onnxruntime-node's native libraries. */
  readonly folder: string;
  /** The version of onnxruntime that the provider must be of. */
  readonly version: string;
}

/** The content of the libraries in their order, opened one after the other. */
type Contents = () => AsyncIterable<Readable>;

/** Where unpacked wheels, NuGet packages and releases of onnxruntime have the libraries. */
const SUBFOLDERS = ['', 'lib', 'capi', 'onnxruntime/capi', 'runtimes/linux-x64/native'];
const LARGEST_METADATA_BYTES = 1 << 20;

function ownTarget(): ProviderTarget {
  return { folder: providerFolder(), version: onnxruntimeVersion() };
}

/**
 * Installs the provider from a folder that has its libraries, itself or in a usual subfolder.
 * @throws InputError if they are missing, damaged or of another version
 */
export async function installFromFolder(source: string, target: ProviderTarget = ownTarget()): Promise<void> {
  for (const subfolder of SUBFOLDERS) {
    const paths = CUDA_PROVIDER_LIBRARIES.map((name) => join(source, subfolder, name));
    const present = await Promise.all(paths.map(pathExists));
    if (present.includes(false)) continue;
    await requireProviderVersion(paths.at(-1)!, target.version);
    return install(
      async function* () {
        for (const path of paths) yield createReadStream(path, { highWaterMark: 1 << 20 });
      },
      source,
      target,
    );
  }
  throw new InputError(
    `${source} is not a folder with ${CUDA_PROVIDER_LIBRARIES.join(' and ')}; name one, or a wheel of onnxruntime-gpu`,
  );
}

/**
 * Installs the provider from a wheel of onnxruntime-gpu, or from a NuGet package.
 * @throws InputError if it is not one, is damaged, or is of another version
 */
export async function installFromArchive(
  archive: string,
  target: ProviderTarget = ownTarget(),
): Promise<void> {
  const fail = (why: string): InputError => new InputError(`package ${archive} ${why}`);
  if (!(await pathExists(archive))) throw fail('does not exist');
  const zip = await openPromise(archive, { autoClose: false, lazyEntries: true }).catch((error: unknown) => {
    throw fail(`cannot be read: ${errorMessage(error)}`);
  });
  try {
    const entries: Entry[] = [];
    for await (const entry of zip.eachEntry()) entries.push(entry);
    const metadata = entries.find(({ fileName }) => /^[^/]+\.dist-info\/METADATA$/.test(fileName));
    if (metadata !== undefined) await requireWheelOf(zip, metadata, target.version, fail);
    const libraries = CUDA_PROVIDER_LIBRARIES.map((name) => {
      const found = entries.find(({ fileName }) => posix.basename(fileName) === name);
      if (found === undefined) throw fail(`has no ${name}; take one of onnxruntime-gpu for Linux x64`);
      return found;
    });
    await install(
      async function* () {
        for (const entry of libraries) yield zip.openReadStreamPromise(entry);
      },
      archive,
      target,
      libraries.map((entry) => entry.crc32),
    );
  } catch (error) {
    // yauzl's own errors are about the file.
    throw error instanceof InputError || error instanceof UnavailableError
      ? error
      : fail(`is damaged: ${errorMessage(error)}`);
  } finally {
    zip.close();
  }
}

/** Checks name and version of a wheel before its libraries are unpacked. */
async function requireWheelOf(
  zip: ZipFile,
  metadata: Entry,
  version: string,
  fail: (why: string) => InputError,
): Promise<void> {
  if (metadata.uncompressedSize > LARGEST_METADATA_BYTES) throw fail('has impossible metadata');
  let text = '';
  for await (const chunk of await zip.openReadStreamPromise(metadata)) text += String(chunk);
  const [, name] = /^Name: *(.+?)\r?$/m.exec(text) ?? [];
  const [, found] = /^Version: *(.+?)\r?$/m.exec(text) ?? [];
  if (name?.replaceAll('_', '-') !== 'onnxruntime-gpu') {
    throw fail(`is ${name ?? 'a wheel without a name'}, not onnxruntime-gpu`);
  }
  if (found !== version) {
    throw fail(
      `is of version ${found}, and onnxruntime-node of ${version}; take onnxruntime-gpu==${version}`,
    );
  }
}

/** Writes both libraries under temporary names, checks them, and then puts both in place. */
async function install(
  contents: Contents,
  origin: string,
  { folder, version }: ProviderTarget,
  checksums?: readonly number[],
): Promise<void> {
  const outputs: OutputFile[] = [];
  try {
    for (const name of CUDA_PROVIDER_LIBRARIES) outputs.push(await createAtomicFile(join(folder, name)));
    let index = 0;
    for await (const stream of contents()) {
      const checksum = await copy(stream, outputs[index]!);
      if (checksums !== undefined && checksum !== checksums[index]) {
        throw new InputError(
          `package ${origin} is damaged: ${CUDA_PROVIDER_LIBRARIES[index]} has another checksum`,
        );
      }
      index++;
    }
    await requireProviderVersion(outputs.at(-1)!.path, version, `the provider in ${origin}`);
    for (const output of outputs) await output.commit();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined || error instanceof InputError) throw error;
    const rights = code === 'EACCES' ? '; run it with the rights with which emoq was installed' : '';
    throw new UnavailableError(
      `the CUDA provider cannot be written to ${folder}: ${errorMessage(error)}${rights}`,
    );
  } finally {
    for (const output of outputs) await output.discard();
  }
}

/** Copies a stream; returns its CRC-32. */
async function copy(stream: Readable, output: OutputFile): Promise<number> {
  let checksum = 0;
  for await (const chunk of stream) {
    checksum = crc32(chunk as Buffer, checksum);
    await output.write(chunk as Buffer);
  }
  return checksum;
}

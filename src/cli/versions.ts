/** @file The version of emoq, from its package.json, and those of everything a result depends on. */

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** The folder with emoq's package.json. */
export const emoqFolder = fileURLToPath(new URL('../../', import.meta.url));

/** Whether npm has installed emoq as a package. If not, it runs from a checkout, which has the Makefile. */
export const isInstalled = basename(dirname(emoqFolder)) === 'node_modules';

/** Such as `0.1.0`. */
export function emoqVersion(): string {
  const text = readFileSync(join(emoqFolder, 'package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** Versions of everything a result depends on. `revision` is emoq's git commit if it runs from a checkout. */
export async function recordedVersions(): Promise<Record<string, string>> {
  const { onnxruntimeVersion } = await import('../engine/runtime/index.js');
  const commit = await gitRevision();
  return {
    emoq: emoqVersion(),
    ...(commit && { revision: commit }),
    node: process.versions.node,
    onnxruntime: onnxruntimeVersion(),
    platform: `${process.platform}-${process.arch}`,
  };
}

let revision: Promise<string | undefined> | undefined;

/** Asked once per process: that of the code that is running. */
function gitRevision(): Promise<string | undefined> {
  // A package installed inside a repository has the commit of something else.
  if (isInstalled) return Promise.resolve(undefined);
  revision ??= promisify(execFile)('git', ['rev-parse', 'HEAD'], { cwd: emoqFolder }).then(
    ({ stdout }) => stdout.trim(),
    () => undefined,
  );
  return revision;
}

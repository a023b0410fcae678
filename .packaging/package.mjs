/**
 * @file Builds the npm package emoq-VERSION.tgz from dist/, which must be up to date: emoq bundled, and
 * onnxruntime-node with the libraries of some platforms and without its install script, so that installing it downloads
 * nothing (docs/decisions/0022-the-package.md).
 *
 *     node .packaging/package.mjs [--out FOLDER] [--platforms linux/x64,linux/arm64]
 */

import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { bundleEmoq, bundleOnnxruntime, LIBRARY } from './bundle.mjs';
import { licencesOf } from './licences.mjs';

const call = promisify(execFile);
const root = fileURLToPath(new URL('../', import.meta.url));
const installed = (name) => join(root, 'node_modules', name);
const NATIVE = 'onnxruntime-node';
/** Bundled into onnxruntime-node. */
const COMMON = 'onnxruntime-common';
const COPIED = ['bin', 'recipes', 'data-manifests', 'README.md', 'CHANGELOG.md', 'LICENSE'];
const LICENCES = 'THIRD-PARTY-LICENCES.txt';

const { values: options } = parseArgs({
  options: {
    out: { type: 'string', default: root },
    platforms: { type: 'string', default: 'linux/x64,linux/arm64' },
  },
});
const platforms = options.platforms.split(',').map((name) => name.trim());

const readJson = async (path) => JSON.parse(await readFile(path, 'utf8'));
const writeJson = (path, value) => writeFile(path, `${JSON.stringify(value, null, 2)}\n`);

/** The package and what it depends on: npm has put all of it at the top of node_modules. */
async function closureOf(name, found = new Set()) {
  if (found.has(name)) return found;
  found.add(name);
  const { dependencies = {} } = await readJson(join(installed(name), 'package.json'));
  for (const other of Object.keys(dependencies)) await closureOf(other, found);
  return found;
}

/**
 * onnxruntime-node without its install script, and with its JavaScript in one file. The script and its packages stay for
 * `emoq doctor --install-cuda`. @returns the folders of all packages that are in it
 */
async function stageOnnxruntime(stage) {
  const [from, to] = [installed(NATIVE), join(stage, 'node_modules', NATIVE)];
  const libraries = join('bin', 'napi-v6');
  // The CUDA provider, if it is installed here, takes several hundred megabytes.
  const withoutProvider = { recursive: true, filter: (path) => !path.includes('_providers_') };
  for (const platform of platforms)
    await cp(join(from, libraries, platform), join(to, libraries, platform), withoutProvider);
  for (const name of await readdir(join(from, 'script')))
    if (/^install.*\.js$/.test(name)) await cp(join(from, 'script', name), join(to, 'script', name));
  await bundleOnnxruntime(from, join(to, 'dist/index.js'));
  const {
    scripts: _,
    devDependencies: __,
    dependencies,
    ...rest
  } = await readJson(join(from, 'package.json'));
  const { [COMMON]: ___, ...kept } = dependencies;
  await writeJson(join(to, 'package.json'), { ...rest, dependencies: kept });
  const names = [...(await closureOf(NATIVE))];
  const isNeeded = (path) => !/(\.map|\.d\.[cm]?ts|\.test\.js|[\\/]test)$/.test(path);
  for (const name of names) {
    if (name === NATIVE || name === COMMON) continue;
    await cp(installed(name), join(stage, 'node_modules', name), { recursive: true, filter: isNeeded });
  }
  return names.map(installed);
}

/** The declarations of the library's entry and of what they import. */
async function stageTypes(stage) {
  const folder = await mkdtemp(join(tmpdir(), 'emoq-types-'));
  try {
    const settings = [
      '--declaration',
      '--emitDeclarationOnly',
      '--sourceMap',
      'false',
      '--incremental',
      'false',
    ];
    const tsc = [
      '--no-install',
      'tsc',
      '-p',
      'tsconfig.json',
      '--tsBuildInfoFile',
      'null',
      '--outDir',
      folder,
    ];
    await call('npx', [...tsc, ...settings], { cwd: root });
    const needed = [`${LIBRARY}.d.ts`];
    for (const name of needed) {
      const text = await readFile(join(folder, name), 'utf8');
      for (const [, other] of text.matchAll(/(?:from |import\()'(\.[^']+)\.js'/g)) {
        const declared = join(dirname(name), `${other}.d.ts`);
        if (!needed.includes(declared)) needed.push(declared);
      }
      await cp(join(folder, name), join(stage, 'dist', name));
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** emoq's own package.json as users get it. */
async function stageMetadata(stage) {
  const {
    private: _,
    scripts: __,
    devDependencies: ___,
    dependencies,
    ...rest
  } = await readJson(join(root, 'package.json'));
  await writeJson(join(stage, 'package.json'), {
    ...rest,
    files: [...rest.files, LICENCES],
    os: [...new Set(platforms.map((name) => name.split('/')[0]))],
    cpu: [...new Set(platforms.map((name) => name.split('/')[1]))],
    ...(platforms.every((name) => name.startsWith('linux/')) && { libc: ['glibc'] }),
    dependencies: { [NATIVE]: dependencies[NATIVE] },
    bundleDependencies: [NATIVE],
  });
}

const stage = await mkdtemp(join(tmpdir(), 'emoq-package-'));
try {
  for (const name of COPIED) await cp(join(root, name), join(stage, name), { recursive: true });
  const bundled = await bundleEmoq(join(stage, 'dist'));
  await stageTypes(stage);
  const native = await stageOnnxruntime(stage);
  await writeFile(join(stage, LICENCES), await licencesOf([...new Set([...bundled, ...native])].sort()));
  await stageMetadata(stage);
  const pack = [
    'pack',
    '--ignore-scripts',
    '--json',
    '--loglevel=error',
    '--pack-destination',
    resolve(options.out),
  ];
  const { stdout } = await call('npm', pack, { cwd: stage, maxBuffer: 1 << 26 });
  const [{ filename, size, unpackedSize, entryCount }] = JSON.parse(stdout);
  const mib = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  console.log(
    `${join(options.out, filename)}: ${platforms.join(' and ')}; ${entryCount} files, ${mib(unpackedSize)}, packed ${mib(size)}`,
  );
} finally {
  await rm(stage, { recursive: true, force: true });
}

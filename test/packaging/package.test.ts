/**
 * @file The npm package, installed as a user installs it: into an empty folder, with an empty HOME and cache, and
 * without a registry, because it must not download anything.
 */

import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { emoqHere } from '../cli/in-process.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'emoq-package-test-'));
const prefix = join(folder, 'prefix');
const work = join(folder, 'work');
const installed = join(prefix, 'lib/node_modules/emoq');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Nothing of this machine but its programs. The address is one that answers no request. */
const env = {
  PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
  HOME: join(folder, 'home'),
  TMPDIR: tmpdir(),
  npm_config_registry: 'http://127.0.0.1:9/',
  NO_COLOR: '1',
};

const call = (program: string, args: readonly string[]): string =>
  execFileSync(program, args, { cwd: work, env, encoding: 'utf8', maxBuffer: 1 << 26, stdio: 'pipe' });
const emoq = (...args: string[]): string => call(join(prefix, 'bin/emoq'), args);

let packed: string;
beforeAll(() => {
  for (const name of ['home', 'work']) mkdirSync(join(folder, name));
  const build = [join(root, '.packaging/package.mjs'), '--out', folder];
  packed = execFileSync(process.execPath, [...build, '--platforms', `linux/${process.arch}`], {
    encoding: 'utf8',
  });
  const archive = join(folder, readdirSync(folder).find((name) => name.endsWith('.tgz'))!);
  call('npm', ['install', '--global', '--prefix', prefix, '--no-audit', '--no-fund', archive]);
});

interface Metadata {
  readonly name: string;
  readonly exports: Readonly<Record<string, unknown>>;
  readonly [key: string]: unknown;
}
const metadataOf = (path: string) => JSON.parse(readFileSync(join(path, 'package.json'), 'utf8')) as Metadata;
const filesOf = (path: string) =>
  readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));

describe.skipIf(process.platform !== 'linux')('the npm package', () => {
  it('installs from nothing but its own file', () => {
    expect(packed).toMatch(/emoq-[\d.]+\.tgz: linux\/\w+; \d+ files/);
    expect(emoq('--version')).toBe(`${metadataOf(root).version}\n`);
  });

  it('has the libraries of the wanted platforms, and runs no script when it is installed', () => {
    const { os, cpu } = metadataOf(installed);
    expect([os, cpu]).toEqual([['linux'], [process.arch]]);
    const libraries = filesOf(installed).filter((path) => /\.(node|so[.\d]*|dll|dylib)$/.test(path));
    expect(libraries).toHaveLength(2);
    for (const path of filesOf(installed).filter((path) => path.endsWith('/package.json'))) {
      const { preinstall, install, postinstall } = (metadataOf(dirname(path)).scripts ?? {}) as Metadata;
      expect([path, preinstall, install, postinstall]).toEqual([path, undefined, undefined, undefined]);
    }
  });

  it('contains emoq in few files, without source maps, tests or what only developers need', () => {
    const metadata = metadataOf(installed);
    for (const key of ['private', 'scripts', 'devDependencies']) expect(metadata).not.toHaveProperty(key);
    const top = readdirSync(installed).sort();
    expect(top).toEqual([
      ...['CHANGELOG.md', 'LICENSE', 'README.md', 'THIRD-PARTY-LICENCES.txt', 'bin', 'data-manifests'],
      ...['dist', 'node_modules', 'package.json', 'recipes'],
    ]);
    const unwanted = filesOf(installed).filter((path) => /\.map$|\.test\.|(?<!\.d)\.ts$/.test(path));
    expect(unwanted).toEqual([]);
    const code = filesOf(join(installed, 'dist')).filter((path) => path.endsWith('.js'));
    expect(code.length).toBeLessThan(200);
    for (const path of code) expect(readFileSync(path, 'utf8')).not.toMatch(/^\/\/# sourceMappingURL=/m);
  });

  it('loads little code in the threads that own sessions, because each of them loads it anew', () => {
    const loaded = new Set([join(installed, 'dist/engine/runtime/session-worker.js')]);
    for (const path of loaded)
      for (const [, name] of readFileSync(path, 'utf8').matchAll(
        /^(?:import|\} from)[^'"]*["'](\.[^'"]+)["']/gm,
      ))
        loaded.add(join(dirname(path), name!));
    const bytes = [...loaded].reduce((sum, path) => sum + readFileSync(path).length, 0);
    expect(loaded.size).toBeGreaterThan(2);
    expect(bytes).toBeLessThan(150_000); // 75 kB; with the code that reads and writes models, 350 kB
  });

  it('names in "exports" what it has', () => {
    const { exports } = metadataOf(installed);
    const paths = Object.values(exports).flatMap((entry) =>
      typeof entry === 'string' ? [entry] : Object.values(entry as Record<string, string>),
    );
    expect(paths).toContain('./package.json');
    expect(paths).toContain('./dist/library/index.d.ts');
    for (const path of paths) expect([path, existsSync(join(installed, path))]).toEqual([path, true]);
  });

  it('gives the licences of all packages that are in it', () => {
    const licences = readFileSync(join(installed, 'THIRD-PARTY-LICENCES.txt'), 'utf8');
    const { dependencies } = metadataOf(root);
    for (const name of Object.keys(dependencies as object)) expect(licences).toContain(`\n${name} `);
  });

  it('trains, evaluates, predicts and reports as the checkout does', async () => {
    const training = ['--dataset', 'toy4', '--threads', '1', '--set', 'stage1.epochs=1'];
    emoq('prepare-toy', '--speakers', '5', '--utterances', '8');
    emoq('stage1', ...training, '--seeds', '1,2', '--jobs', '2'); // each in a process
    emoq('stage1', ...training);
    emoq('stage2', ...training, '--set', 'stage2.epochs=1');
    expect(JSON.parse(emoq('eval', '--dataset', 'toy4', '--json'))).toMatchObject({ n: 8 });
    emoq('predict', 'data/toy4/manifest.csv', '-o', 'emotions.csv', '--run', 'runs/toy4');
    emoq('report', '--dataset', 'toy4', '--out', 'report.html');
    expect(readFileSync(join(work, 'report.html'), 'utf8')).toContain('<script type="module">');
    const again = ['predict', 'data/toy4/manifest.csv', '-o', 'again.csv', '--run', 'runs/toy4'];
    expect(await emoqHere(again, work)).toMatchObject({ code: 0 });
    expect(readFileSync(join(work, 'emotions.csv'))).toEqual(readFileSync(join(work, 'again.csv')));
  });

  it('is a library with types, which the example imports by its name', () => {
    const project = join(work, 'project');
    mkdirSync(project);
    writeFileSync(join(project, 'package.json'), '{"type": "module"}');
    const archive = join(folder, readdirSync(folder).find((name) => name.endsWith('.tgz'))!);
    call('npm', ['install', '--prefix', project, '--no-audit', '--no-fund', archive]);
    emoq('export', 'bundle', '--run', 'runs/toy4', '-o', 'bundle');
    cpSync(join(root, 'examples/predict.mjs'), join(project, 'predict.mjs'));
    const [, second] = readFileSync(join(work, 'emotions.csv'), 'utf8').split('\n');
    const recording = join(work, 'data/toy4', second!.split(',')[1]!);
    const line = call(process.execPath, [join(project, 'predict.mjs'), 'bundle', recording]);
    expect(JSON.parse(line)).toMatchObject({ path: recording, label: expect.stringMatching(/^[a-z]+$/) });
    writeFileSync(
      join(project, 'use.ts'),
      `import { openBundle, type Prediction, type Recording } from 'emoq';
const bundle = await openBundle('bundle', { device: 'cpu' });
const recordings: Recording[] = [{ samples: new Float32Array(16_000), text: 'hello' }];
for await (const row of bundle.predict(recordings)) {
  const same: Prediction = row;
  const label: string | undefined = same.label;
  console.log(label, row.recording.text);
}
`,
    );
    const settings = [
      '--strict',
      '--noEmit',
      '--module',
      'nodenext',
      '--target',
      'es2023',
      '--lib',
      'es2023,dom',
    ];
    const check = [
      join(root, 'node_modules/typescript/bin/tsc'),
      ...settings,
      '--types',
      '',
      join(project, 'use.ts'),
    ];
    expect(call(process.execPath, check)).toBe('');
  });

  it('speaks in its doctor of what an installed user has', () => {
    const report = emoq('doctor');
    expect(report).toContain('ready: the toy demo can run');
    expect(report).not.toMatch(/\bmake\b|npm ci/);
  });
});

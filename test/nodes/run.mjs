/**
 * @file Tests emoq as a user installs it, on each supported version of Node and npm: `npm ci` in an empty folder, both
 * stages, eval, predict, report, doctor, its modules from a program, and the npm package, which must install without a
 * registry. The checkpoints and predictions must have the same bytes everywhere. Node and npm come from the npm registry and are kept in .cache/nodes.
 *
 *     node test/nodes/run.mjs [NODE[:NPM] ...]        such as 22.12.0 or 24:11
 */

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** The oldest supported version of the oldest line, the newest of the others; npm from 10 to 12. */
const SUPPORTED = ['20.20:10', '22:10', '24:11', '26:12'];
const INSTALLED = ['package.json', 'package-lock.json', '.npmrc', 'bin', 'dist', 'recipes', 'data-manifests'];
const COMPARED = [
  'runs/toy4/stage1/checkpoint.safetensors',
  'runs/toy4/stage2/checkpoint.safetensors',
  'runs/toy4/stage2/predictions.csv',
  'emotions.csv',
];

/** One installs and reads while the other computes, with one thread each. */
const AT_ONCE = 2;

const root = fileURLToPath(new URL('../../', import.meta.url));
const call = promisify(execFile);

/** Installs a version of Node and npm into its own folder. The package `node` downloads the binary in a script. */
async function install(name) {
  const [node, npm] = name.split(':');
  const folder = join(root, '.cache/nodes', name.replace(':', '-npm-'));
  const platform = process.platform === 'win32' ? 'win' : process.platform;
  const binary = `node-${platform}-${process.arch}`;
  const found = {
    node: join(folder, 'node_modules', binary, 'bin', 'node'),
    npm: join(folder, 'node_modules/npm/bin/npm-cli.js'),
  };
  const isThere = await Promise.all(Object.values(found).map((path) => stat(path).catch(() => undefined)));
  if (!isThere.every(Boolean)) {
    await mkdir(folder, { recursive: true });
    const packages = [`${binary}@${node}`, `npm@${npm ?? 11}`];
    const quiet = [
      '--no-audit',
      '--no-fund',
      '--ignore-scripts',
      '--engine-strict=false',
      '--loglevel=error',
    ];
    await call('npm', ['install', '--prefix', folder, ...quiet, ...packages], { cwd: tmpdir() });
  }
  return found;
}

/** Builds the npm package. */
async function buildPackage(folder) {
  const build = [join(root, '.packaging/package.mjs'), '--out', folder];
  await call(process.execPath, [...build, '--platforms', `${process.platform}/${process.arch}`]);
  const [name] = (await readdir(folder)).filter((each) => each.endsWith('.tgz'));
  return join(folder, name);
}

/** Installs emoq as described in its README and runs everything once. */
async function tryOn({ node, npm }, folder) {
  const env = { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env.PATH}`, NO_COLOR: '1' };
  delete env.EMOQ_CACHE;
  const run = async (...args) => {
    const { stdout, stderr } = await call(node, args, { cwd: folder, env, maxBuffer: 1 << 26 });
    // Deprecations become errors in the next version.
    const complaint = /^.*(Deprecation|Experimental)Warning.*$/m.exec(stderr);
    if (complaint) throw new Error(`${args.join(' ')}: ${complaint[0]}`);
    return stdout;
  };
  const emoq = (...args) => run('bin/emoq.js', ...args);
  for (const name of INSTALLED) await cp(join(root, name), join(folder, name), { recursive: true });
  await run(npm, 'ci', '--omit=dev', '--no-audit', '--no-fund', '--loglevel=error');
  await emoq('prepare-toy', '--speakers', '5', '--utterances', '8');
  const training = ['--dataset', 'toy4', '--threads', '1'];
  await emoq('stage1', ...training, '--set', 'stage1.epochs=2');
  await emoq('stage2', ...training, '--set', 'stage2.epochs=1', '--set', 'stage1.epochs=2');
  const { n } = JSON.parse(await emoq('eval', '--run', 'runs/toy4', '--json'));
  if (!(n > 0)) throw new Error(`eval scored ${n} utterances`);
  await emoq('predict', 'data/toy4/manifest.csv', '-o', 'emotions.csv', '--run', 'runs/toy4');
  await emoq('report', '--run', 'runs/toy4', '--out', 'report.html');
  const { checks } = JSON.parse(await emoq('doctor', '--json'));
  const doctor = checks.find(({ name }) => name === 'Node');
  if (doctor?.status !== 'ok') throw new Error(`doctor says of Node: ${JSON.stringify(doctor)}`);
  const library = fileURLToPath(new URL('./library.mjs', import.meta.url));
  const { predictions } = JSON.parse(await run(library, folder, 'runs/toy4'));
  if (predictions.length !== n)
    throw new Error(`the modules scored ${predictions.length} of ${n} utterances`);
  const prefix = join(folder, 'prefix');
  // The address of a registry that answers nothing: the package has all that it needs.
  const install = ['install', '--global', '--prefix', prefix, '--registry', 'http://127.0.0.1:9/'];
  await run(npm, ...install, '--cache', join(folder, 'npm'), '--no-audit', '--no-fund', await packageFile);
  const installed = join(prefix, 'bin/emoq');
  await run(installed, 'predict', 'data/toy4/manifest.csv', '-o', 'installed.csv', '--run', 'runs/toy4');
  const digest = async (name) =>
    createHash('sha256')
      .update(await readFile(join(folder, name)))
      .digest('hex');
  if ((await digest('installed.csv')) !== (await digest('emotions.csv')))
    throw new Error('the package predicts other bytes than the checkout');
  return Object.fromEntries(await Promise.all(COMPARED.map(async (name) => [name, await digest(name)])));
}

/** The outcome for one version: its digests, or why it failed. */
async function outcomeOf(name) {
  const folder = await mkdtemp(join(tmpdir(), 'emoq-node-'));
  const startMs = performance.now();
  try {
    const programs = await install(name);
    const versions = await Promise.all([
      call(programs.node, ['--version']),
      call(programs.node, [programs.npm, '--version']),
    ]);
    const digests = await tryOn(programs, folder);
    const [node, npm] = versions.map(({ stdout }) => stdout.trim());
    return { digests, node, npm, sec: ((performance.now() - startMs) / 1000).toFixed(0) };
  } catch (error) {
    return { error };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const wanted = process.argv.length > 2 ? process.argv.slice(2) : SUPPORTED;
const outcomes = new Map();
const waiting = [...wanted];
const packageFolder = await mkdtemp(join(tmpdir(), 'emoq-package-'));
const packageFile = buildPackage(packageFolder);
const worker = async () => {
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift())
    outcomes.set(name, await outcomeOf(name));
};
await Promise.all(Array.from({ length: AT_ONCE }, worker));
await rm(packageFolder, { recursive: true, force: true });

let failed = 0;
let first;
for (const name of wanted) {
  const { digests, node, npm, sec, error } = outcomes.get(name);
  first ??= digests;
  const different = error ? [] : COMPARED.filter((file) => digests[file] !== first[file]);
  if (error || different.length > 0) {
    failed += 1;
    const why = error?.message ?? `other bytes than on ${wanted[0]}: ${different.join(', ')}`;
    console.log(`Node ${name} failed: ${why}`);
  } else {
    console.log(
      `Node ${node}, npm ${npm}: both stages, eval, predict, report, modules, package; same bytes; ${sec} s`,
    );
  }
}
console.log(`nodes: ${wanted.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

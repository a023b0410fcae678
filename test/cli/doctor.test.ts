/** @file `emoq doctor` in environments where something is missing, broken or full. */

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
import { tmpdir, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readControlGroup } from '../../src/cli/commands/doctor/machine-checks.js';
import { findLibraries } from '../../src/engine/runtime/library-search.js';
import { parseGpus } from '../../src/engine/runtime/nvidia-gpus.js';
import { copyFolder, madeOnce } from '../suite/made-once.js';
import { emoq, emoqBin, type Outcome, run } from './command-line.js';
import { emoqHere } from './in-process.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'emoq-doctor-'));
afterAll(() => rmSync(scratch, { recursive: true }));

/** A fresh working directory with an empty Hugging Face cache. */
function surroundings(name: string, files: Record<string, string> = {}) {
  const cwd = join(scratch, name);
  mkdirSync(join(cwd, 'hf'), { recursive: true });
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(cwd, path)), { recursive: true });
    writeFileSync(join(cwd, path), content);
  }
  const env: NodeJS.ProcessEnv = { HF_HOME: join(cwd, 'hf'), FFMPEG_PATH: undefined, EMOQ_CACHE: undefined };
  return {
    cwd,
    doctor: (args: readonly string[] = [], more: NodeJS.ProcessEnv = {}) =>
      emoqHere(['doctor', ...args], cwd, { ...env, ...more }),
    env,
  };
}

interface Check {
  name: string;
  status: string;
  needed: boolean;
  found: string;
  fix: string | null;
  details: Record<string, unknown>;
}

/** The checks of a JSON report by name; several of one name are joined by the last. */
function checksOf(stdout: string): Record<string, Check> {
  const { checks } = JSON.parse(stdout) as { checks: Check[] };
  return Object.fromEntries(checks.map((check) => [check.name, check]));
}

/** A program in a folder of its own. */
function script(folder: string, text: string): string {
  const path = join(folder, 'ffmpeg');
  mkdirSync(folder, { recursive: true });
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** An ffmpeg that never answers: twenty seconds of waiting, while the other tests run. */
const endless = script(join(scratch, 'endless-ffmpeg'), 'exec sleep 600');
let hanging: Promise<Outcome>;
beforeAll(() => {
  const { cwd, env } = surroundings('endless');
  hanging = emoq(['doctor'], cwd, { ...env, FFMPEG_PATH: endless });
});

/** The corpus that `prepare-toy` makes by default, made once for all test files; the names in its folder. */
async function makeToyCorpus(cwd: string, speakers: number): Promise<string[]> {
  const args = ['prepare-toy', '--speakers', String(speakers), '--utterances', '4'];
  const made = await madeOnce(args, async (folder) => {
    expect((await emoqHere(args, folder)).code).toBe(0);
  });
  copyFolder(made, cwd);
  return readdirSync(join(cwd, 'data/toy4'));
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1)!;

describe('a machine with all that the demo needs', () => {
  it('is ready, exit code 0, and is not changed', async () => {
    const { cwd, env } = surroundings('whole');
    const { code, stdout, stderr } = await emoq(['doctor'], cwd, env);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(lastLine(stdout)).toBe('ready: make demo can run');
    expect(stdout).toContain(`ok       Node                ${process.versions.node}; `);
    expect(stdout).toMatch(/^ok {7}session on the CPU {2}computed a matrix product correctly/m);
    expect(stdout).toMatch(/^absent {3}corpus {14}none in data\/\n +fix: emoq prepare-toy$/m);
    expect(stdout).not.toContain('\u001b');
    expect(readdirSync(cwd)).toEqual(['hf']);
    expect(readdirSync(join(cwd, 'hf'))).toEqual([]);
  });

  it('gives programs one JSON object, even without HOME, and reveals no secret', async () => {
    const { doctor } = surroundings('json');
    const { code, stdout, stderr } = await doctor(['--json'], {
      HF_TOKEN: 'hf_verysecret',
      HOME: undefined,
      HF_HOME: undefined,
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).not.toContain('verysecret');
    const report = JSON.parse(stdout) as { ready: boolean; job: string; checks: Check[]; versions: object };
    expect(Object.keys(report)).toEqual(['ready', 'job', 'checks', 'versions']);
    expect(report).toMatchObject({
      ready: true,
      job: 'make demo',
      versions: { node: process.versions.node },
    });
    for (const check of report.checks) {
      expect(Object.keys(check)).toEqual(['name', 'status', 'needed', 'found', 'fix', 'details']);
      expect(['ok', 'warning', 'missing']).toContain(check.status);
      expect(check.found).toMatch(/^[^\n]+$/);
    }
    const checks = checksOf(stdout);
    expect(checks['hub token']!.details.set).toBe(true);
    expect(checks.memory!.details.total_bytes).toBeLessThanOrEqual(totalmem());
    expect(checks.memory!.details.free_bytes).toBeGreaterThan(0);
    const parts = checks.ffmpeg!.details.parts as { kind: string; name: string; present: boolean }[];
    expect(parts).toContainEqual({ kind: 'decoder', name: 'aac', use: "MELD's clips (MP4)", present: true });
    expect(checks.onnxruntime!.details.providers).toContainEqual({ name: 'cpu', bundled: true });
  });
});

describe('ffmpeg', () => {
  it('that is not on the path is missing, with the command that installs it', async () => {
    const { doctor } = surroundings('no-ffmpeg');
    const { code, stdout } = await doctor([], { PATH: '/nonexistent' });
    expect(code).toBe(1);
    expect(stdout).toMatch(/^missing {2}ffmpeg +not found on the PATH\n +fix: \S.* ffmpeg$/m);
    expect(stdout).toMatch(/^warning {2}ffprobe +not found on the PATH/m);
    expect(lastLine(stdout)).toBe('not ready: make demo cannot run: missing ffmpeg');
  });

  it('that was built without a part says which, and what for', async () => {
    const { cwd, doctor } = surroundings('poor-ffmpeg');
    const real = (await run('sh', ['-c', 'command -v ffmpeg'])).stdout.trim();
    const without = (name: string) => script(join(cwd, name), `"${real}" "$@" | grep -v ' ${name} '; exit 0`);
    const [noAac, noResampler] = await Promise.all(
      ['aac', 'aresample'].map((name) => doctor([], { FFMPEG_PATH: without(name) })),
    );
    expect(noAac!.stdout).toMatch(
      /^warning {2}ffmpeg .*; was built without decoder aac \(MELD's clips \(MP4\)\)$/m,
    );
    expect(noAac!.code).toBe(0);
    expect(noResampler!.stdout).toMatch(
      /^missing {2}ffmpeg .*; was built without filter aresample \(decoding\)$/m,
    );
    expect(noResampler!.code).toBe(1);
  });
});

describe('folders', () => {
  it('that cannot be made are missing', async () => {
    const { doctor, cwd } = surroundings('in-the-way', { data: 'a file' });
    const { code, stdout } = await doctor([], { EMOQ_CACHE: '/dev/null/features', HF_HOME: '/dev/null/hf' });
    expect(stdout).toContain(`${cwd}/data: cannot be written (data is a file)`);
    expect(stdout).toMatch(
      /^missing {2}feature cache +\/dev\/null\/features: cannot be written \(a file is where a folder should be\)\n +fix: export EMOQ_CACHE=/m,
    );
    expect(stdout).toMatch(/^warning {2}model cache +\/dev\/null\/hf\/hub: cannot be written/m);
    expect(lastLine(stdout)).toBe('not ready: make demo cannot run: missing data, feature cache');
    expect(code).toBe(1);
  });

  it.each([
    ['ro', 'the file system is read-only'],
    ['size=48k', 'the disk is full'],
  ])('on a disk mounted with %s are missing: %s', async (options, why) => {
    const { cwd, env } = surroundings(`mounted-${options}`);
    const mounted = join(cwd, 'mounted');
    mkdirSync(mounted);
    // A mount that only this command sees, and that ends with it.
    const inMount = (line: string) =>
      run(
        'unshare',
        [
          '--mount',
          'sh',
          '-c',
          `mount -t tmpfs -o ${options} none "${mounted}" && cd "${mounted}" && ${line}`,
        ],
        cwd,
        env,
      ).catch(() => ({ code: -1, stdout: '' }));
    if ((await inMount('true')).code !== 0) {
      console.log(`skipped: this user may not mount a disk with ${options}`);
      return;
    }
    const { code, stdout } = await inMount(`exec "${process.execPath}" "${emoqBin}" doctor`);
    for (const folder of ['data', 'runs', '.cache/features']) {
      expect(stdout).toContain(`${mounted}/${folder}: cannot be written (${why})`);
    }
    expect(lastLine(stdout)).toBe('not ready: make demo cannot run: missing data, runs, feature cache');
    expect(code).toBe(1);
  });
});

const manifest = (ids: string[]): string =>
  [
    'id,path,text,label,speaker,gender,session,split,duration_sec',
    ...ids.map((id) => `${id},${id}.wav,,joy,,,,,1`),
    '',
  ].join('\n');

describe('what is prepared and fetched', () => {
  const { doctor, cwd } = surroundings('prepared', {
    'hf/hub/models--FacebookAI--roberta-base/blobs/abc.incomplete': 'x'.repeat(1000),
    'hf/hub/models--facebook--hubert-base-ls960/refs/main': 'c1',
    'hf/hub/models--facebook--hubert-base-ls960/snapshots/c1/config.json': '{}',
    'hf/hub/models--facebook--hubert-base-ls960/blobs/def': '{}',
    'data/broken/manifest.csv': manifest(['a']),
    'data/broken/manifest.json': '{ "format": "emoq-man',
    'data/hand/manifest.csv': 'path,label\na.wav,joy\n',
    'data/half/preparation.jsonl': '',
    'data/edited/manifest.csv': manifest(['a']),
    'data/edited/manifest.json': JSON.stringify({
      format: 'emoq-manifest',
      version: 1,
      name: 'edited',
      source: 'nowhere',
      utterances: 2,
      durationSec: 2,
      counts: { total: { joy: 2 } },
      sha256: '0',
      notes: { cut: [], padded: [], silent: [], skipped: [], differences: [], rules: [] },
    }),
    'data/nothing/readme.txt': 'no corpus',
  });
  let outcome: Outcome;
  beforeAll(async () => {
    expect(await makeToyCorpus(cwd, 5)).toContain('manifest.csv');
    outcome = await doctor();
  });

  it('decides nothing for the demo, which makes its own', () => {
    expect(outcome).toMatchObject({ code: 0, stderr: '' });
  });

  it('shows backbones that are missing, partial, or complete', () => {
    const { stdout } = outcome;
    expect(stdout).toMatch(
      /^warning {2}Former +FacebookAI\/roberta-base: not complete; 1 kB present\n +fix: emoq pull roberta-base$/m,
    );
    expect(stdout).toMatch(
      /^absent {3}encoder +facebook\/hubert-large-ll60k: not found\n +fix: emoq pull hubert-large$/m,
    );
    // No recipe names it, but it is in the cache.
    expect(stdout).toMatch(/^warning {2}model +facebook\/hubert-base-ls960: not complete; .*has no weights/m);
    expect(stdout).toMatch(/^ok {7}LLM +data\/toy4\/backbones\/qwen2: complete, [\d.]+ MB of weights$/m);
    expect(stdout).not.toContain('qwen2.5-0.5b');
  });

  it('shows corpora that are whole, broken, edited, unfinished or written by hand', () => {
    const lines = outcome.stdout.split('\n').filter((line) => / {2}corpus /.test(line));
    expect(lines.map((line) => line.replace(/ {2}corpus +/, ' '))).toEqual([
      expect.stringMatching(/^warning manifest information data\/broken\/manifest\.json is not valid JSON/),
      'warning data/edited/manifest.csv: has changed since it was prepared: 1 utterances of 2, another checksum',
      'warning data/half: preparation has not finished',
      'warning data/hand/manifest.csv: 1 utterance (joy 1); written by hand, without manifest.json',
      expect.stringMatching(/^ok {6}data\/toy4\/manifest\.csv: 20 utterances \(angry 5, .*, checksum right$/),
    ]);
  });
});

describe('with an experiment', () => {
  const { cwd, doctor } = surroundings('experiment');
  beforeAll(async () => {
    expect(await makeToyCorpus(cwd, 10)).toContain('manifest.csv');
  });

  it('is ready where its corpus, backbones, memory and disk are there', async () => {
    const { code, stdout } = await doctor(['--dataset', 'toy4']);
    expect(lastLine(stdout)).toBe('ready: the experiment toy4 can run');
    expect(stdout).toMatch(/^ok {7}corpus .*manifest\.csv: 40 utterances \(.*\), checksum right$/m);
    expect(stdout).toMatch(/^ok {7}memory of stage 1 +training takes about \d+ MiB at batches of 16/m);
    expect(stdout).toMatch(/^ok {7}memory of stage 2 /m);
    expect(stdout).toMatch(/^ok {7}disk +the runs of both stages take about [\d.]+ MB/m);
    expect(stdout).not.toContain('hubert-large'); // other experiments' backbones
    expect(code).toBe(0);
  });

  it('is not ready where a batch takes more memory than there is, with the keys that fix it', async () => {
    // Attention among n queries takes about 1,900 n^2 bytes of a batch of 16: twice the machine's memory.
    const queries = Math.ceil(Math.sqrt((2 * totalmem()) / 1900));
    const args = ['--dataset', 'toy4', '--set', `former.queries=${queries}`, '--json'];
    const { code, stdout } = await doctor(args);
    const check = checksOf(stdout)['memory of stage 1']!;
    expect(check).toMatchObject({ status: 'missing', needed: true });
    expect(check.details.estimated_bytes).toBeGreaterThan(check.details.total_bytes as number);
    expect(check.fix).toBe(
      `emoq stage1 --dataset toy4 --set former.queries=${queries} --set stage1.activation_checkpointing=true --set stage1.accumulate=8`,
    );
    expect(JSON.parse(stdout)).toMatchObject({ ready: false, job: 'the experiment toy4' });
    expect(code).toBe(1);
  });

  it('is not ready without its corpus and backbones', async () => {
    const { code, stdout } = await doctor([
      '--dataset',
      'meld7',
      '--set',
      'backbones.llm=Qwen/Qwen2.5-0.5B-Instruct',
      '--json',
    ]);
    const checks = checksOf(stdout);
    expect(checks.corpus).toMatchObject({ status: 'missing', fix: 'emoq prepare-meld --root MELD.Raw' });
    expect(checks.encoder).toMatchObject({ status: 'missing', needed: true, fix: 'emoq pull hubert-large' });
    expect(checks.LLM).toMatchObject({ status: 'missing', fix: 'emoq pull qwen2.5-0.5b-instruct' });
    // Its size is still estimated, from the published configs.
    expect(checks['memory of stage 1']!.details.trainable).toBe(154_193_671);
    expect(code).toBe(1);
  });

  it('is not ready if audio or weights are missing', async () => {
    const copy = surroundings('damaged');
    cpSync(join(cwd, 'data'), join(copy.cwd, 'data'), { recursive: true });
    const audio = join(copy.cwd, 'data/toy4/audio');
    for (const name of readdirSync(audio)) rmSync(join(audio, name), { recursive: true });
    const weights = join(copy.cwd, 'data/toy4/backbones/qwen2/model.safetensors');
    writeFileSync(weights, readFileSync(weights).subarray(0, 5000));
    const { code, stdout } = await copy.doctor(['--dataset', 'toy4']);
    expect(stdout).toMatch(/^missing {2}corpus .*\.wav/m);
    expect(stdout).toMatch(/^missing {2}LLM .*not complete; .*\n +fix: emoq prepare-toy$/m);
    expect(lastLine(stdout)).toBe('not ready: the experiment toy4 cannot run: missing corpus, LLM');
    expect(code).toBe(1);
  });

  it.each([
    [['--dataset', 'medl7'], 'did you mean meld7?'],
    [['--set', 'seed=2'], 'say what to work on'],
    [['--dataset', 'toy4', '--set', 'sed=2'], 'did you mean seed?'],
  ])('named wrongly is wrong usage: %j', async (args, message) => {
    const { code, stdout, stderr } = await doctor(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(message);
  });
});

describe('--install-cuda', () => {
  it('says in one line that there is no way to the libraries', async () => {
    const { doctor } = surroundings('cuda');
    const { code, stdout, stderr } = await doctor(['--install-cuda'], { HTTPS_PROXY: 'http://127.0.0.1:9' });
    const errors = stderr.split('\n').filter((line) => line.startsWith('error: '));
    expect(stdout).toBe('');
    expect(errors).toHaveLength(1);
    if (`${process.platform} ${process.arch}` === 'linux x64') {
      expect(stderr).toMatch(
        /^downloading onnxruntime's CUDA libraries, .*--onnxruntime-node-install\nerror: .*\n$/,
      );
      expect(errors[0]).toContain('could not be downloaded (connect ECONNREFUSED 127.0.0.1:9)');
      expect(code).toBe(1);
    } else {
      expect(errors[0]).toContain('are only available for Linux x64');
      expect(code).toBe(2);
    }
  });
});

describe('an onnxruntime that does not work', () => {
  const house = join(scratch, 'house');
  const stub = join(house, 'node_modules/onnxruntime-node');
  beforeAll(() => {
    for (const part of ['bin', 'dist', 'recipes', 'package.json']) {
      cpSync(join(root, part), join(house, part), { recursive: true });
    }
    mkdirSync(stub, { recursive: true });
    for (const name of readdirSync(join(root, 'node_modules')).filter(
      (each) => each !== 'onnxruntime-node',
    )) {
      symlinkSync(join(root, 'node_modules', name), join(house, 'node_modules', name));
    }
    writeFileSync(join(stub, 'package.json'), '{ "name": "onnxruntime-node", "main": "index.js" }');
  });
  const writeStub = (text: string) =>
    writeFileSync(join(stub, 'index.js'), `exports.listSupportedBackends = 0;\n${text}`);
  const doctorWith = (text: string) => {
    writeStub(text);
    return run(process.execPath, [join(house, 'bin/emoq.js'), 'doctor'], house);
  };

  it('is a line of the report where it cannot be loaded', async () => {
    const { code, stdout } = await doctorWith(
      "throw new Error('libonnxruntime.so.1: cannot open\\nshared object');",
    );
    expect(stdout).toMatch(
      /^missing {2}onnxruntime +cannot be loaded: libonnxruntime\.so\.1: cannot open shared object\n +fix: npm --prefix \S+house ci$/m,
    );
    expect(stdout).toMatch(/^ok {7}ffmpeg /m);
    expect(lastLine(stdout)).toBe('not ready: make demo cannot run: missing onnxruntime');
    expect(code).toBe(1);
  });

  it('is a line of the report where it ends the process', async () => {
    const { code, stdout } = await doctorWith("process.kill(process.pid, 'SIGILL');");
    expect(stdout).toMatch(/^missing {2}onnxruntime +the check was terminated by SIGILL\n +fix: npm /m);
    expect(stdout).toMatch(/^ok {7}ffmpeg /m);
    expect(code).toBe(1);
  });

  it('is a line of the report where it never comes back', async () => {
    writeStub('for (;;);');
    const checks = join(house, 'dist/cli/commands/doctor/checks.js');
    const { code, stdout, stderr } = await run(process.execPath, [
      '--input-type=module',
      '-e',
      `const { runChecks } = await import(${JSON.stringify(checks)});
       const checks = await runChecks(undefined, [
         { checks: ['runtime', 'cuda'], inTurn: true, timeLimitMs: 1500 },
         { checks: ['memory'], timeLimitMs: 600_000 },
       ]);
       console.log(checks.map(({ name, status, found }) => [name, status, found].join('|')).join('\\n'));`,
    ]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(
      /^onnxruntime\|missing\|did not answer within 1\.5 s\nCUDA\|warning\|did not answer within 1\.5 s\nmemory\|/,
    );
  });
});

describe('control groups', () => {
  const groups = (name: string, files: Record<string, string>) =>
    readControlGroup(surroundings(`groups-${name}`, files).cwd);

  it('of version 2: the tightest of the group and those around it, without what can be dropped', async () => {
    const found = await groups('v2', {
      'proc/self/cgroup': '0::/pod/box\n',
      'sys/fs/cgroup/pod/memory.max': '4000000\n',
      'sys/fs/cgroup/pod/memory.current': '3000000\n',
      'sys/fs/cgroup/pod/memory.stat': 'anon 500\ninactive_file 1000000\n',
      'sys/fs/cgroup/pod/cpu.max': '150000 100000\n',
      'sys/fs/cgroup/pod/box/memory.max': 'max\n',
      'sys/fs/cgroup/pod/box/cpu.max': 'max 100000\n',
    });
    expect(found).toEqual({ memoryLimitBytes: 4e6, memoryUsedBytes: 2e6, cores: 1.5 });
  });

  it('of version 1, in a container that sees the path of its host', async () => {
    const found = await groups('v1', {
      'proc/self/cgroup': '4:memory:/docker/abc\n1:cpu,cpuacct:/docker/abc\n0::/\n',
      'sys/fs/cgroup/memory/memory.limit_in_bytes': '8000\n',
      'sys/fs/cgroup/memory/memory.usage_in_bytes': '5000\n',
      'sys/fs/cgroup/memory/memory.stat': 'total_inactive_file 1000\n',
      'sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us': '50000\n',
      'sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us': '100000\n',
    });
    expect(found).toEqual({ memoryLimitBytes: 8000, memoryUsedBytes: 4000, cores: 0.5 });
  });

  it('without limits', async () => {
    const unlimited = { memoryLimitBytes: undefined, memoryUsedBytes: undefined, cores: undefined };
    expect(await groups('none', {})).toEqual(unlimited);
    const files = {
      'proc/self/cgroup': '4:memory:/\n1:cpu:/\n',
      'sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n',
      'sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1\n',
      'sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
    };
    expect(await groups('open', files)).toEqual(unlimited);
  });
});

describe('CUDA', () => {
  it('reads what nvidia-smi lists', () => {
    expect(
      parseGpus('NVIDIA A100-SXM4-80GB, 550.54.15, 81920, 80994\nTesla T4, 550.54.15, 15360, 15000\n'),
    ).toEqual([
      {
        name: 'NVIDIA A100-SXM4-80GB',
        driver: '550.54.15',
        total_bytes: 81920 * 2 ** 20,
        free_bytes: 80994 * 2 ** 20,
      },
      { name: 'Tesla T4', driver: '550.54.15', total_bytes: 15360 * 2 ** 20, free_bytes: 15000 * 2 ** 20 },
    ]);
    expect(parseGpus('No devices were found\n')).toEqual([]);
  });

  it('finds libraries where the loader would', async () => {
    const { cwd } = surroundings('libraries', { 'cuda/libcudnn.so.9': '' });
    const before = process.env.LD_LIBRARY_PATH;
    process.env.LD_LIBRARY_PATH = join(cwd, 'cuda');
    try {
      const names = ['libcudnn.so.9', 'libno-such.so.1'];
      const missing = (await findLibraries(names)).filter(({ path }) => path === undefined);
      expect(missing.map(({ name }) => name)).toEqual(['libno-such.so.1']);
    } finally {
      if (before === undefined) delete process.env.LD_LIBRARY_PATH;
      else process.env.LD_LIBRARY_PATH = before;
    }
  });
});

// At the end of the file, when the twenty seconds have passed.
describe('ffmpeg', () => {
  it('named by FFMPEG_PATH is reported if it does not exist, does not run, or does not answer', async () => {
    const { cwd, doctor } = surroundings('named-ffmpeg');
    const broken = script(join(cwd, 'broken'), 'exit 3');
    const [absent, failing] = await Promise.all(
      ['/nonsense/ffmpeg', broken].map((path) => doctor([], { FFMPEG_PATH: path })),
    );
    expect(absent!.stdout).toMatch(
      /^warning {2}ffmpeg +FFMPEG_PATH names \/nonsense\/ffmpeg, which does not exist; \d.*\n +fix: unset FFMPEG_PATH$/m,
    );
    expect(absent!.code).toBe(0);
    expect(failing!.stdout).toContain(`${broken} does not run (exit code 3)`);
    const unanswered = await hanging;
    expect(unanswered.stdout).toContain(`${endless} did not answer within 20 s`);
    for (const { code, stdout } of [failing!, unanswered]) {
      expect(code).toBe(1);
      expect(stdout).toMatch(/^missing {2}ffmpeg .*\n +fix: unset FFMPEG_PATH$/m);
    }
  });
});

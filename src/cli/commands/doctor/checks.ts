/**
 * @file The doctor's checks and the processes that run them, so that a check that hangs or crashes only fails its own
 * line.
 */

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type CheckResult, checked, inOneLine, type NamedExperiment, REINSTALL } from './check-result.js';

export type CheckId =
  | 'node'
  | 'runtime'
  | 'cuda'
  | 'webgpu'
  | 'audio'
  | 'memory'
  | 'cores'
  | 'folders'
  | 'backbones'
  | 'corpora'
  | 'experiment';

/** A check, which may return several lines. */
interface Check {
  readonly id: CheckId;
  /** Name of its line if it fails as a whole. */
  readonly title: string;
  /** Whether the main job needs it. */
  readonly needed: boolean;
  /** A command that may fix a failure. */
  readonly fix?: string;
  /** Called in a separate process, the only one that loads what is checked. */
  readonly run: (experiment: NamedExperiment | undefined) => Promise<CheckResult[]>;
}

/** In report order. */
export const checks: readonly Check[] = [
  {
    id: 'node',
    title: 'Node',
    needed: true,
    run: async () => (await import('./machine-checks.js')).nodeChecks(),
  },
  {
    id: 'runtime',
    title: 'onnxruntime',
    needed: true,
    fix: REINSTALL,
    run: async () => (await import('./runtime-checks.js')).runtimeChecks(),
  },
  {
    id: 'cuda',
    title: 'CUDA',
    needed: false,
    run: async () => (await import('./cuda-checks.js')).cudaChecks(),
  },
  {
    id: 'webgpu',
    title: 'WebGPU',
    needed: false,
    run: async () => (await import('./runtime-checks.js')).webGpuChecks(),
  },
  {
    id: 'audio',
    title: 'ffmpeg',
    needed: true,
    run: async (experiment) =>
      (await import('./ffmpeg-checks.js')).ffmpegChecks(experiment?.usesAudio ?? true),
  },
  {
    id: 'memory',
    title: 'memory',
    needed: true,
    run: async () => (await import('./machine-checks.js')).memoryChecks(),
  },
  {
    id: 'cores',
    title: 'cores',
    needed: false,
    run: async () => (await import('./machine-checks.js')).coreChecks(),
  },
  {
    id: 'folders',
    title: 'folders',
    needed: true,
    run: async () => (await import('./storage-checks.js')).folderChecks(),
  },
  {
    id: 'backbones',
    title: 'backbones',
    needed: false,
    run: async () => (await import('./backbone-checks.js')).backboneChecks(),
  },
  {
    id: 'corpora',
    title: 'corpora',
    needed: false,
    run: async () => (await import('./storage-checks.js')).corpusChecks(),
  },
  {
    id: 'experiment',
    title: 'experiment',
    needed: true,
    run: async (experiment) => (await import('./experiment-checks.js')).experimentChecks(experiment!),
  },
];

/** Checks that share a process, and their time limit. */
export interface CheckGroup {
  readonly checks: readonly CheckId[];
  /** Run sequentially, because native code blocks the process. */
  readonly inTurn?: true;
  readonly timeLimitMs: number;
}

/** Sent to the process of a group. */
export interface CheckOrder {
  readonly group: CheckGroup;
  readonly experiment: NamedExperiment | undefined;
}

/** Sent by it: what a check found, or why it failed. */
export type CheckMessage =
  | { readonly kind: 'results'; readonly id: CheckId; readonly results: CheckResult[] }
  | { readonly kind: 'failure'; readonly id: CheckId; readonly failure: string };

/** Long enough for a very busy machine; the checks take a second or two. */
const TIME_LIMIT_MS = 120_000;
/** Builds the graphs of models with billions of parameters to estimate their size. */
const EXPERIMENT_TIME_LIMIT_MS = 600_000;

/**
 * Checks that load native code get a process of their own. For an experiment, its own corpus and backbones are checked.
 */
function checkGroups(experiment: NamedExperiment | undefined): CheckGroup[] {
  const common: CheckId[] = ['node', 'audio', 'memory', 'cores', 'folders'];
  return [
    { checks: ['runtime', 'cuda'], inTurn: true, timeLimitMs: TIME_LIMIT_MS },
    { checks: ['webgpu'], timeLimitMs: TIME_LIMIT_MS },
    { checks: experiment ? common : [...common, 'backbones', 'corpora'], timeLimitMs: TIME_LIMIT_MS },
    ...(experiment ? [{ checks: ['experiment' as const], timeLimitMs: EXPERIMENT_TIME_LIMIT_MS }] : []),
  ];
}

const WORKER = fileURLToPath(new URL('./check-worker.js', import.meta.url));
const MOST_LAST_WORDS = 2000;

/** Runs all checks and returns their lines in report order. Never rejects because of a failing check. */
export async function runChecks(
  experiment: NamedExperiment | undefined,
  groups: readonly CheckGroup[] = checkGroups(experiment),
): Promise<CheckResult[]> {
  const found = await Promise.all(groups.map((group) => runGroup(group, experiment)));
  const results = new Map(found.flatMap((each) => [...each]));
  return checks.flatMap(({ id }) => results.get(id) ?? []);
}

/** The results of a group's checks. A check that did not answer gets a line that says so. */
function runGroup(
  group: CheckGroup,
  experiment: NamedExperiment | undefined,
): Promise<Map<CheckId, CheckResult[]>> {
  const { timeLimitMs } = group;
  const found = new Map<CheckId, CheckResult[]>();
  const child = fork(WORKER, {
    execArgv: [], // flags of the main program do not apply to the worker
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let lastWords = '';
  child.stderr!.on('data', (chunk) => {
    lastWords = (lastWords + String(chunk)).slice(-MOST_LAST_WORDS);
  });
  return new Promise((resolve) => {
    const finish = (why: string): void => {
      clearTimeout(timer);
      for (const id of group.checks) if (!found.has(id)) found.set(id, [failureOf(id, why)]);
      resolve(found);
    };
    const timer = setTimeout(() => {
      // A process blocked on a dead disk cannot even be killed; it is left behind.
      child.kill('SIGKILL');
      child.unref();
      child.stderr!.destroy();
      if (child.connected) child.disconnect();
      finish(`did not answer within ${timeLimitMs / 1000} s`);
    }, timeLimitMs);
    child.on('message', (message: CheckMessage) => {
      const { id } = message;
      found.set(id, message.kind === 'results' ? message.results : [failureOf(id, message.failure)]);
    });
    child.on('error', (error) => finish(`cannot be checked (${error.message})`));
    child.on('close', (code, signal) => finish(endOf(code, signal, lastWords)));
    child.send({ group, experiment } satisfies CheckOrder, () => undefined);
  });
}

function failureOf(id: CheckId, why: string): CheckResult {
  const { title, needed, fix = null } = checks.find((check) => check.id === id)!;
  return checked(title, needed ? 'missing' : 'warning', inOneLine(why), { needed, fix });
}

function endOf(code: number | null, signal: NodeJS.Signals | null, lastWords: string): string {
  const lines = lastWords.split('\n').filter((words) => words.trim() !== '');
  const line = lines.findLast((words) => /error/i.test(words)) ?? lines.at(-1);
  const how = signal === null ? `exit code ${code}` : signal;
  return `the check was terminated by ${how}${line === undefined ? '' : `: ${line.trim()}`}`;
}

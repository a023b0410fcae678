/** @file Runs all probes, each group in a process of its own: one that hangs or crashes is a line of the report. */

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Check, checked, inOneLine } from './check.js';
import type { ProbeMessage, ProbeOrder } from './probe-worker.js';
import { type NamedExperiment, type ProbeGroup, type ProbeName, probeGroups, probes } from './probes.js';

const WORKER = fileURLToPath(new URL('./probe-worker.js', import.meta.url));
const MOST_LAST_WORDS = 2000;

/** Looks at everything, in the order of the report. Never rejects for what a probe does. */
export async function examine(
  experiment: NamedExperiment | undefined,
  groups: readonly ProbeGroup[] = probeGroups(experiment),
): Promise<Check[]> {
  const found = await Promise.all(groups.map((group) => runGroup(group, experiment)));
  const checks = new Map(found.flatMap((results) => [...results]));
  return (Object.keys(probes) as ProbeName[]).flatMap((name) => checks.get(name) ?? []);
}

/** What each probe of a group found. One that did not answer gets a line that says so. */
function runGroup(
  group: ProbeGroup,
  experiment: NamedExperiment | undefined,
): Promise<Map<ProbeName, Check[]>> {
  const { probes: names, timeLimitMs } = group;
  const found = new Map<ProbeName, Check[]>();
  const child = fork(WORKER, {
    execArgv: [], // flags of the main program are not the worker's
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
      for (const name of names) if (!found.has(name)) found.set(name, [failureOf(name, why)]);
      resolve(found);
    };
    const timer = setTimeout(() => {
      // A process that waits for a dead disk cannot even be killed: it is left behind.
      child.kill('SIGKILL');
      child.unref();
      child.stderr!.destroy();
      if (child.connected) child.disconnect();
      finish(`did not answer within ${timeLimitMs / 1000} s`);
    }, timeLimitMs);
    child.on('message', (message: ProbeMessage) => {
      const { name } = message;
      found.set(name, message.kind === 'checks' ? message.checks : [failureOf(name, message.failure)]);
    });
    child.on('error', (error) => finish(`cannot be looked at (${error.message})`));
    child.on('close', (code, signal) => finish(endOf(code, signal, lastWords)));
    child.send({ group, context: { experiment } } satisfies ProbeOrder, () => undefined);
  });
}

function failureOf(name: ProbeName, why: string): Check {
  const { title, needed, mend = null } = probes[name];
  return checked(title, needed ? 'missing' : 'warning', inOneLine(why), { needed, mend });
}

function endOf(code: number | null, signal: NodeJS.Signals | null, lastWords: string): string {
  const lines = lastWords.split('\n').filter((words) => words.trim() !== '');
  const line = lines.findLast((words) => /error/i.test(words)) ?? lines.at(-1);
  const how = signal === null ? `exit code ${code}` : signal;
  return `whoever looked was ended by ${how}${line === undefined ? '' : `: ${line.trim()}`}`;
}

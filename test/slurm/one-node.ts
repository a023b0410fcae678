/** @file A real Slurm of one node, on this machine, in a folder of its own: munged, slurmctld and slurmd. */

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { availableParallelism, hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Slurm {
  /** Runs `sbatch` with these arguments in a folder; the id of the job. */
  submit(cwd: string, env: NodeJS.ProcessEnv, ...args: string[]): string;
  /** Waits until a job has left the queue. */
  finished(job: string): Promise<void>;
  stop(): Promise<void>;
}

const PROGRAMS = ['sbatch', 'squeue', 'slurmctld', 'slurmd', 'munged'];

/** Why there can be no Slurm here; undefined if there can. */
export function slurmProblem(): string | undefined {
  const missing = PROGRAMS.filter((name) => spawnSync('which', [name]).status !== 0);
  if (missing.length > 0) return `${missing.join(', ')} missing (Debian: apt-get install slurm-wlm munge)`;
  return process.getuid?.() === 0 ? undefined : 'its daemons need root';
}

/** @throws Error if its daemons do not start here, as in a container without the rights that they need */
export async function startSlurm(dir: string): Promise<Slurm> {
  const file = (name: string): string => join(dir, name);
  for (const name of ['state', 'spool']) mkdirSync(file(name), { recursive: true });
  const [controlPort, nodePort] = [await freePort(), await freePort()];
  writeFileSync(file('munge.key'), randomBytes(128), { mode: 0o400 });
  const conf = file('slurm.conf');
  const settings = {
    ClusterName: 'emoq',
    SlurmctldHost: `${hostname()}(127.0.0.1)`,
    SlurmUser: 'root',
    AuthType: 'auth/munge',
    AuthInfo: `socket=${file('munge.socket')}`,
    CredType: 'cred/munge',
    ProctrackType: 'proctrack/linuxproc',
    TaskPlugin: 'task/none',
    JobAcctGatherType: 'jobacct_gather/none',
    AccountingStorageType: 'accounting_storage/none',
    SelectType: 'select/cons_tres',
    SelectTypeParameters: 'CR_Core',
    MpiDefault: 'none',
    ReturnToService: '2',
    SlurmctldPort: String(controlPort),
    SlurmdPort: String(nodePort),
    StateSaveLocation: file('state'),
    SlurmdSpoolDir: file('spool'),
    SlurmctldPidFile: file('slurmctld.pid'),
    SlurmdPidFile: file('slurmd.pid'),
    MinJobAge: '300',
  };
  writeFileSync(
    conf,
    [
      ...Object.entries(settings).map(([key, value]) => `${key}=${value}`),
      `NodeName=${hostname()} NodeAddr=127.0.0.1 CPUs=${availableParallelism()} State=UNKNOWN`,
      'PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP',
      '',
    ].join('\n'),
  );
  const env = { ...process.env, SLURM_CONF: conf };
  const daemons: ChildProcess[] = [];
  const start = (program: string, ...args: string[]): void => {
    const log = file(`${program}.out`);
    daemons.push(
      spawn('sh', ['-c', `exec "$0" "$@" > '${log}' 2>&1`, program, ...args], { env, stdio: 'ignore' }),
    );
  };
  const stop = async (): Promise<void> => {
    for (const daemon of daemons.reverse()) {
      if (daemon.exitCode !== null) continue;
      daemon.kill('SIGTERM');
      await Promise.race([new Promise((resolve) => daemon.once('close', resolve)), sleep(5000)]);
      daemon.kill('SIGKILL');
    }
  };
  const asked = (...command: string[]): string => {
    const [program, ...args] = command;
    return execFileSync(program!, args, {
      env,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  };
  try {
    const files = ['key', 'pid', 'seed'].map((name) => `--${name}-file=${file(`munge.${name}`)}`);
    start('munged', '--foreground', '--force', `--socket=${file('munge.socket')}`, ...files);
    await until('munged', () => existsSync(file('munge.socket')), STARTING);
    start('slurmctld', '-D', '-c', '-f', conf);
    start('slurmd', '-D', '-f', conf);
    await until('slurmd', () => asked('sinfo', '--noheader', '--format=%t') === 'idle', STARTING);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    submit: (cwd, own, ...args) =>
      execFileSync('sbatch', ['--parsable', ...args], {
        cwd,
        env: { ...env, ...own },
        encoding: 'utf8',
      }).trim(),
    finished: (job) => until(`job ${job}`, () => asked('squeue', '--noheader', '--jobs', job) === ''),
    stop,
  };
}

/** Tries until a daemon counts as one that does not start: half a minute. */
const STARTING = 300;

/** Waits for something that is certain to come; a test's own time limit ends it. */
async function until(what: string, holds: () => boolean, most = 6000): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      if (holds()) return;
    } catch {
      // not yet
    }
    if (tries === most) throw new Error(`${what} did not get there`);
    await sleep(100);
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/** @file Everything that the doctor looks at, and which of it shares a process. */

import type { Recipe } from '../../../systems/index.js';
import { type Check, REINSTALL } from './check.js';

/** What a probe may know. */
export interface ProbeContext {
  readonly experiment: NamedExperiment | undefined;
}

/** The experiment that is asked for. */
export interface NamedExperiment {
  readonly recipe: Recipe;
  /** How it is named on the command line: `--dataset meld7 --set seed=2`. */
  readonly named: string;
  /** The one phase that is asked for; undefined for all that the experiment takes. */
  readonly phase: string | undefined;
}

export interface Probe {
  /** What its line is called where it fails as a whole. */
  readonly title: string;
  /** Whether the main job cannot run where it fails. */
  readonly needed: boolean;
  /** The command that may mend it then. */
  readonly mend?: string;
  /** Loaded in the probe's own process only. */
  readonly load: () => Promise<(context: ProbeContext) => Promise<Check[]>>;
}

const list = {
  node: {
    title: 'Node',
    needed: true,
    load: async () => (await import('./machine.js')).nodeChecks,
  },
  runtime: {
    title: 'onnxruntime',
    needed: true,
    mend: REINSTALL,
    load: async () => (await import('./runtime.js')).runtimeChecks,
  },
  cuda: {
    title: 'CUDA',
    needed: false,
    load: async () => (await import('./runtime.js')).cudaChecks,
  },
  audio: {
    title: 'ffmpeg',
    needed: true,
    load: async () => (await import('./audio.js')).audioChecks,
  },
  memory: {
    title: 'memory',
    needed: true,
    load: async () => (await import('./machine.js')).memoryChecks,
  },
  cores: {
    title: 'cores',
    needed: false,
    load: async () => (await import('./machine.js')).coreChecks,
  },
  folders: {
    title: 'folders',
    needed: true,
    load: async () => (await import('./folders.js')).folderChecks,
  },
  backbones: {
    title: 'backbones',
    needed: false,
    load: async () => (await import('./backbones.js')).backboneChecks,
  },
  corpora: {
    title: 'corpora',
    needed: false,
    load: async () => (await import('./corpora.js')).corpusChecks,
  },
  experiment: {
    title: 'experiment',
    needed: true,
    load: async () => {
      const { experimentChecks } = await import('./experiment.js');
      return ({ experiment }) => experimentChecks(experiment!);
    },
  },
} satisfies Record<string, Probe>;

export type ProbeName = keyof typeof list;
export const probes: Readonly<Record<ProbeName, Probe>> = list;

/** Probes of one process, and how long they may take together. */
export interface ProbeGroup {
  readonly probes: readonly ProbeName[];
  /** One after the other: native code holds up everything beside it. */
  readonly inTurn?: true;
  readonly timeLimitMs: number;
}

/** For a machine that is very busy: looking takes a second or two. */
const TIME_LIMIT_MS = 120_000;
/** Graphs of models with billions of parameters are built, to size them. */
const EXPERIMENT_TIME_LIMIT_MS = 600_000;

/** What loads native code has a process for itself. With an experiment, its own corpus and backbones are looked at. */
export function probeGroups(experiment: NamedExperiment | undefined): ProbeGroup[] {
  const common: ProbeName[] = ['node', 'audio', 'memory', 'cores', 'folders'];
  return [
    { probes: ['runtime', 'cuda'], inTurn: true, timeLimitMs: TIME_LIMIT_MS },
    { probes: experiment ? common : [...common, 'backbones', 'corpora'], timeLimitMs: TIME_LIMIT_MS },
    ...(experiment ? [{ probes: ['experiment' as const], timeLimitMs: EXPERIMENT_TIME_LIMIT_MS }] : []),
  ];
}

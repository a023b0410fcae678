/** @file `emoq doctor`: reports what this machine has and what is missing, as text or JSON. */

import { ExitCode, InputError } from '../../base/index.js';
import {
  corpusOptions,
  defineCommand,
  flag,
  type OptionsOf,
  option,
  recipeOfOptions,
} from '../command-definition.js';
import { outColor, printJson, printResult } from '../terminal-output.js';
import { emoqVersion, isInstalled } from '../versions.js';
import type { CheckResult, NamedExperiment } from './doctor/check-result.js';
import { parseStage } from './eval-options.js';

const options = {
  ...corpusOptions,
  stage: option('<n>', 'check only this stage of the experiment (default: all stages it needs)', {
    parse: parseStage,
  }),
  json: flag('print one JSON object'),
  installCuda: option<string | true>(
    '[from]',
    "first install onnxruntime's CUDA provider (Linux x64): from NuGet, pypi, a folder or a wheel",
  ),
};

type DoctorOptions = OptionsOf<typeof options>;

/** The toy demo, as the user can start it. */
const DEMO = isInstalled ? 'the toy demo' : 'make demo';

export const doctorCommand = defineCommand({
  options,
  help: `
Checks Node, onnxruntime, CUDA, ffmpeg, memory, cores, folders, backbones and
corpora, and prints a fix for each missing item. The exit code is 0 if the main
job can run, else 1. The main job is the experiment named by --dataset,
--manifest or --recipe, with its corpus, memory and backbones; otherwise it is
the toy demo. --install-cuda replaces the CUDA provider only by one of
onnxruntime-node's own version.

Example:
  emoq doctor --dataset toy4`,
  run: checkMachine,
});

async function checkMachine(options: DoctorOptions): Promise<void> {
  const { dataset, recipe, manifest, set = [], stage } = options;
  const named = Object.entries({ dataset, recipe, manifest }).filter(([, value]) => value !== undefined);
  const words = [...named, ...set.map((override) => ['set', override])];
  if (stage !== undefined && words.length === 0) {
    throw new InputError(
      '--stage is a stage of an experiment; name the experiment with --dataset, --manifest or --recipe',
    );
  }
  const naming = words.map(([option, value]) => `--${option} ${value}`).join(' ');
  const experiment = words.length === 0 ? undefined : await namedExperiment(options, naming);
  const { installCuda: origin } = options;
  if (origin !== undefined) {
    const { installCuda } = await import('./doctor/cuda-installation.js');
    await installCuda(origin === true ? 'nuget' : origin);
  }
  const { runChecks } = await import('./doctor/checks.js');
  const checks = await runChecks(experiment);
  const job = experiment === undefined ? DEMO : await jobOf(experiment);
  if (options.json) printJson(reportObject(checks, job));
  else printResult(reportText(checks, job));
  if (missingNames(checks).length > 0) process.exitCode = ExitCode.failed;
}

async function namedExperiment(options: DoctorOptions, named: string): Promise<NamedExperiment> {
  const recipe = await recipeOfOptions(options);
  const { systemOf } = await import('../../systems/index.js');
  return { recipe, named, phase: options.stage, usesAudio: systemOf(recipe).views(recipe).audio };
}

async function jobOf({ recipe, phase }: NamedExperiment): Promise<string> {
  const { titleOf } = await import('../../systems/index.js');
  return `${phase === undefined ? '' : `${titleOf(phase)} of `}the experiment ${recipe.name}`;
}

/** Names of the items that the main job needs but are missing. */
function missingNames(checks: readonly CheckResult[]): string[] {
  return checks.filter(({ status, needed }) => needed && status === 'missing').map(({ name }) => name);
}

/**
 * The report as text; items that the job does not need are "absent" rather than "missing". @param job what is to run,
 * such as `make demo`
 */
function reportText(checks: readonly CheckResult[], job: string): string {
  const width = Math.max(...checks.map(({ name }) => name.length));
  const lines = checks.flatMap((check) => {
    const { name, found, fix } = check;
    const indent = ' '.repeat(width + 11);
    return [
      `${statusText(check)}  ${name.padEnd(width)}  ${found}`,
      ...(fix === null ? [] : [`${indent}${outColor.dim('fix:')} ${fix}`]),
    ];
  });
  const missing = missingNames(checks);
  const verdict =
    missing.length === 0
      ? `${outColor.green('ready:')} ${job} can run`
      : `${outColor.red('not ready:')} ${job} cannot run: missing ${[...new Set(missing)].join(', ')}`;
  return [...lines, '', verdict].join('\n');
}

function reportObject(checks: readonly CheckResult[], job: string): object {
  return {
    ready: missingNames(checks).length === 0,
    job,
    checks,
    versions: {
      emoq: emoqVersion(),
      node: process.versions.node,
      platform: `${process.platform}-${process.arch}`,
    },
  };
}

function statusText({ status, needed }: CheckResult): string {
  const optional = status === 'missing' && !needed;
  const text = (optional ? 'absent' : status).padEnd(7);
  if (optional) return outColor.dim(text);
  return { ok: outColor.green, warning: outColor.yellow, missing: outColor.red }[status](text);
}

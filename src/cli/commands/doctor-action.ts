/** @file `emoq doctor` at work: looks, prints, and sets the exit code. */

import { ExitCode, InputError } from '../../base/index.js';
import { titleOf } from '../../systems/index.js';
import { recipeOfOptions } from '../options.js';
import { printJson, printResult } from '../output.js';
import { examine } from './doctor/examination.js';
import { lacking, reportObject, reportText } from './doctor/report.js';
import type { DoctorOptions } from './doctor.js';

export async function run(options: DoctorOptions): Promise<void> {
  const { dataset, recipe, manifest, set = [], stage } = options;
  const named = Object.entries({ dataset, recipe, manifest }).filter(([, value]) => value !== undefined);
  const words = [...named, ...set.map((override) => ['set', override])];
  if (stage !== undefined && words.length === 0) {
    throw new InputError(
      '--stage is a stage of an experiment; name that with --dataset, --manifest or --recipe',
    );
  }
  const experiment =
    words.length === 0
      ? undefined
      : {
          recipe: await recipeOfOptions(options),
          named: words.map(([option, value]) => `--${option} ${value}`).join(' '),
          phase: stage,
        };
  if (options.installCuda) {
    const { installCuda } = await import('./doctor/cuda-install.js');
    await installCuda();
  }
  const checks = await examine(experiment);
  const part = stage === undefined ? '' : `${titleOf(stage)} of `;
  const job = experiment ? `${part}the experiment ${experiment.recipe.name}` : 'make demo';
  if (options.json) printJson(reportObject(checks, job));
  else printResult(reportText(checks, job));
  if (lacking(checks).length > 0) process.exitCode = ExitCode.failed;
}

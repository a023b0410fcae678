/** @file `emoq export` at work. */

import { InputError } from '../../base/index.js';
import {
  checkModelFile,
  type ExportableModel,
  exportableEncoder,
  exportableFormer,
  exportableLanguageModel,
  writeModelFiles,
} from '../../inference/export/index.js';
import { withInterrupts } from '../interrupt.js';
import { note, printResult, warn } from '../output.js';
import { startProgress } from '../progress.js';
import { emoqVersion } from '../version.js';
import { warnUnfinished } from './compute.js';
import type { ExportOptions, ExportPart } from './export.js';

/** Which options belong to which part. */
const ownOptions: Readonly<Record<ExportPart, readonly string[]>> = {
  encoder: [],
  former: ['--run', '--recipe'],
  llm: ['--run', '--inputs', '--merged-dtype'],
};

const BYTES_PER_MB = 1e6;

export async function run(options: ExportOptions, part: ExportPart): Promise<void> {
  refuseOthersOptions(options, part);
  const { out } = options;
  if (out === undefined) {
    const source = part === 'encoder' ? '--checkpoint FOLDER' : '--run FOLDER or --checkpoint FOLDER';
    const named = options.checkpoint !== undefined || options.run !== undefined;
    throw new InputError(
      `say where the model goes: --out FILE.onnx${named ? '' : `, and what to export: ${source}`}`,
    );
  }
  await checkModelFile(out);
  const opened = await openPart(options, part);
  const model = { ...opened, metadata: { emoq_version: emoqVersion(), ...opened.metadata } };
  const progress = startProgress({ label: 'writing weights', unit: 'MB' });
  const files = await withInterrupts('stopping', (stop) =>
    writeModelFiles(out, model, {
      stop,
      onProgress: (done, total) => progress.update(done / BYTES_PER_MB, total / BYTES_PER_MB),
    }),
  ).finally(progress.finish);
  printResult(`${files.model}\n${files.weights}`);
}

async function openPart(options: ExportOptions, part: ExportPart): Promise<ExportableModel> {
  if (part === 'encoder') return exportableEncoder(options.checkpoint, warn);
  if (part === 'llm') {
    const model = await exportableLanguageModel({ ...options, onNote: note, onWarning: warn });
    if (model.run !== undefined) warnUnfinished(model.run.folder, model.run.metadata);
    return model;
  }
  const model = await exportableFormer({ ...options, onWarning: warn });
  if (model.run !== undefined) warnUnfinished(model.run.folder, model.run.metadata);
  else {
    warn(
      `this Former is not trained: ${options.checkpoint}, and random weights of seed ${model.seed} where that has none; --run exports a trained one`,
    );
  }
  return model;
}

function refuseOthersOptions(options: ExportOptions, part: ExportPart): void {
  const given = {
    '--run': options.run,
    '--recipe': options.recipe,
    '--inputs': options.inputs,
    '--merged-dtype': options.mergedDtype,
  };
  const foreign = Object.entries(given).find(
    ([name, value]) => value !== undefined && !ownOptions[part].includes(name),
  );
  if (foreign !== undefined) throw new InputError(`${foreign[0]} is no option of export ${part}`);
  if (options.mergedDtype !== undefined && options.run === undefined) {
    throw new InputError(
      '--merged-dtype is for merged weights: name the run whose LoRA is merged with --run',
    );
  }
}

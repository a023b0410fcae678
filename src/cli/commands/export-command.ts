/** @file `emoq export`: writes an encoder, a Former or a language model as ONNX for other runtimes. */

import { InputError } from '../../base/index.js';
import type { ExportableModel } from '../../inference/export/index.js';
import { choice, defineCommand, type OptionsOf, option } from '../command-definition.js';
import { withInterrupts } from '../interrupt.js';
import { startProgress } from '../progress.js';
import { note, printResult, warn } from '../terminal-output.js';
import { emoqVersion } from '../versions.js';

const exportParts = ['encoder', 'former', 'llm'] as const;

type ExportPart = (typeof exportParts)[number];

/** The options that apply to each part. */
const ownOptions: Readonly<Record<ExportPart, readonly string[]>> = {
  encoder: ['--precision'],
  former: ['--run', '--recipe'],
  llm: ['--run', '--inputs', '--merged-dtype', '--precision'],
};

const options = {
  checkpoint: option(
    '<folder>',
    'Hugging Face folder or model id: a speech encoder, RoBERTa or language model',
  ),
  run: option('<folder>', 'llm: merge the LoRA of this run; former: export the Former of this run'),
  out: option('<file.onnx>', 'output file; the weights go to <file.onnx>.safetensors'),
  inputs: choice('<name>', 'llm: model input (default: input_ids)', ['input_ids', 'inputs_embeds']),
  mergedDtype: choice('<type>', 'llm: dtype of merged weights, float32 or as stored (default: float32)', [
    'float32',
    'stored',
  ]),
  precision: choice('<type>', 'encoder, llm: type of the matrix products (default: float32)', [
    'float32',
    'bfloat16',
    'float16',
  ]),
  recipe: option('<file>', 'former without a run: recipe (YAML) with its sizes and seed', {
    conflicts: ['run'],
  }),
};

type ExportOptions = OptionsOf<typeof options>;

const BYTES_PER_MB = 1e6;

export const exportCommand = defineCommand({
  argument: {
    name: '<part>',
    description: 'what to export',
    choices: exportParts,
  },
  options,
  help: `
Writes a model as ONNX that other runtimes can open by its path, with its
weights in a second file, in their stored dtype; batch and length are dynamic.

  encoder  input_values, attention_mask -> last_hidden_state, frame_mask
  former   audio_features, frame_mask, input_ids, attention_mask -> embedding
  llm      input_ids or inputs_embeds, attention_mask -> logits

With --run, the checkpoint is the run's own unless --checkpoint names another.
Products of 16 bits need a runtime that has them, such as onnxruntime on CUDA;
with 16-bit weights they take half the memory.

Example:
  emoq export llm --run runs/toy4 --out exported/llm.onnx`,
  missing: ({ out, checkpoint, run }) => [
    ...(out === undefined ? ['--out <file.onnx>'] : []),
    ...(checkpoint === undefined && run === undefined ? ['--run <folder> or --checkpoint <folder>'] : []),
  ],
  run: exportModel,
});

async function exportModel(options: ExportOptions, part: ExportPart): Promise<void> {
  refuseOthersOptions(options, part);
  const { out } = options;
  if (out === undefined) {
    const source = part === 'encoder' ? '--checkpoint FOLDER' : '--run FOLDER or --checkpoint FOLDER';
    const named = options.checkpoint !== undefined || options.run !== undefined;
    throw new InputError(
      `say where the model goes: --out FILE.onnx${named ? '' : `, and what to export: ${source}`}`,
    );
  }
  const { checkModelFile, writeModelFiles } = await import('../../inference/export/index.js');
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
  const { exportableEncoder, exportableFormer, exportableLanguageModel } = await import(
    '../../inference/export/index.js'
  );
  const { warnUnfinished } = await import('./experiment-options.js');
  if (part === 'encoder') return exportableEncoder(options.checkpoint, warn, options.precision);
  if (part === 'llm') {
    const model = await exportableLanguageModel({ ...options, onNote: note, onWarning: warn });
    if (model.run !== undefined) warnUnfinished(model.run.folder, model.run.metadata);
    return model;
  }
  const model = await exportableFormer({ ...options, onWarning: warn });
  if (model.run !== undefined) warnUnfinished(model.run.folder, model.run.metadata);
  else {
    warn(
      `this Former is not trained: ${options.checkpoint}, and random weights of seed ${model.seed} for the rest; --run exports a trained one`,
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
    '--precision': options.precision,
  };
  const foreign = Object.entries(given).find(
    ([name, value]) => value !== undefined && !ownOptions[part].includes(name),
  );
  if (foreign !== undefined) throw new InputError(`${foreign[0]} is not an option of export ${part}`);
  if (options.mergedDtype !== undefined && options.run === undefined) {
    throw new InputError(
      '--merged-dtype is for merged weights: name the run whose LoRA is merged with --run',
    );
  }
}

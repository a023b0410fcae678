/**
 * @file `emoq export`: writes an encoder, a Former or a language model as ONNX for other runtimes, or a run as a bundle.
 */

import { InputError } from '../../base/index.js';
import type { ExportableModel } from '../../inference/export/index.js';
import {
  backboneOption,
  backboneOverrides,
  cacheFolder,
  choice,
  defineCommand,
  type OptionsOf,
  option,
  wholeNumber,
} from '../command-definition.js';
import { withInterrupts } from '../interrupt.js';
import { startProgress } from '../progress.js';
import { note, printResult, warn } from '../terminal-output.js';
import { emoqVersion, recordedVersions } from '../versions.js';

const exportParts = ['encoder', 'former', 'llm', 'bundle', 'checkpoint'] as const;

type ExportPart = (typeof exportParts)[number];

/** The options that apply to each part. */
const ownOptions: Readonly<Record<ExportPart, readonly string[]>> = {
  encoder: ['--precision'],
  former: ['--run', '--recipe'],
  llm: ['--run', '--inputs', '--merged-dtype', '--precision'],
  bundle: ['--run', '--merged-dtype', '--precision', '--quantize', '--manifest', '--threads'],
  checkpoint: ['--run'],
};

const options = {
  checkpoint: option(
    '<folder>',
    'Hugging Face folder or model id: a speech encoder, RoBERTa or language model',
  ),
  run: option(
    '<folder>',
    'llm: merge the LoRA of this run; former: export its Former; bundle: all of it; checkpoint: its encoder',
  ),
  out: option(
    '<path>',
    'output file (.onnx; the weights go to a second one, .onnx.safetensors); bundle, checkpoint: a new folder',
    { short: 'o' },
  ),
  backbone: backboneOption,
  inputs: choice('<name>', 'llm: model input (default: input_ids)', ['input_ids', 'inputs_embeds']),
  mergedDtype: choice(
    '<type>',
    'llm, bundle: dtype of merged weights, float32 or as stored (default: float32)',
    ['float32', 'stored'],
  ),
  precision: choice('<type>', 'encoder, llm, bundle: type of the matrix products (default: float32)', [
    'float32',
    'bfloat16',
    'float16',
  ]),
  quantize: choice(
    '<type>',
    'bundle: compute products in integers, for CPUs: int8, or int4 for the weights of the language model',
    ['int8', 'int4'],
  ),
  manifest: option(
    '<file>',
    "bundle with --quantize: compare it with its run on this corpus (default: the run's)",
  ),
  threads: option('<n>', 'bundle with --quantize: threads of the comparison', { parse: wholeNumber(1) }),
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

A bundle is one folder with all that prediction needs: the three models, the
second of them with the projector or the head, tokenizers, prompt, checksums and
a model card. It can be moved, and needs neither the run nor its backbones.

A checkpoint is the speech encoder of a run that trained layers of it
(encoder.train), as a Hugging Face folder for other recipes and programs.

With --run, the checkpoint is the run's own unless --checkpoint names another.
Products of 16 bits need a runtime that has them, such as onnxruntime on CUDA;
with 16-bit weights they take half the memory.

Example:
  emoq export bundle --run runs/toy4 -o bundles/toy4`,
  missing: ({ out, checkpoint, run }) => [
    ...(out === undefined ? ['--out <path>'] : []),
    ...(checkpoint === undefined && run === undefined ? ['--run <folder> or --checkpoint <folder>'] : []),
  ],
  run: exportModel,
});

async function exportModel(options: ExportOptions, part: ExportPart): Promise<void> {
  refuseOthersOptions(options, part);
  if (part === 'bundle') return exportBundle(options);
  if (part === 'checkpoint') return exportCheckpoint(options);
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

async function exportBundle(options: ExportOptions): Promise<void> {
  const { run, out, precision = 'float32', mergedDtype = 'float32', backbone, quantize } = options;
  const { manifest, threads } = options;
  if (run === undefined || out === undefined) {
    throw new InputError(
      `say ${run === undefined ? 'which run becomes a bundle: --run FOLDER' : 'where the bundle goes: -o FOLDER, which must be new'}`,
    );
  }
  if (options.checkpoint !== undefined) {
    throw new InputError(
      '--checkpoint is not for a bundle; --backbone encoder=DIR says where a backbone of the run is',
    );
  }
  if (quantize !== undefined && precision !== 'float32') {
    throw new InputError(
      `--quantize ${quantize} is for CPUs, which have no products in ${precision}; leave out one`,
    );
  }
  if (quantize === undefined && (manifest ?? threads) !== undefined) {
    throw new InputError('--manifest and --threads are for the comparison of a bundle with --quantize');
  }
  const { pathExists } = await import('../../base/index.js');
  const { readResults } = await import('../../evaluation/index.js');
  const { findRun, writeBundle } = await import('../../inference/index.js');
  const { readMetadata } = await import('../../training/runs/index.js');
  const { warnUnfinished } = await import('./experiment-options.js');
  const folder = await findRun(run);
  const metadata = await readMetadata(folder);
  if (metadata !== undefined) warnUnfinished(folder, metadata);
  const results = (await pathExists(folder.results)) ? await readResults(folder.results) : undefined;
  if (results === undefined)
    note(`${folder.dir} has not been scored: the model card has no figures (emoq eval scores it)`);
  const progress = startProgress({ label: 'writing weights', unit: 'MB' });
  const overrides = backboneOverrides(backbone);
  const { quantization } = await withInterrupts('stopping', async (stop) =>
    writeBundle(folder, out, {
      ...{ precision, mergedDtype, quantize, results, stop, overrides, onNote: note, onWarning: warn },
      comparison: {
        compute: {
          ...{ device: { kind: 'cpu' }, cacheDir: cacheFolder(), overrides, stop },
          ...(threads !== undefined && { threads }),
        },
        manifest,
      },
      versions: await recordedVersions(),
      onProgress: (done, total) => progress.update(done / BYTES_PER_MB, total / BYTES_PER_MB),
    }),
  ).finally(progress.finish);
  if (quantization?.compared === null) {
    warn(
      'the corpus of the run is not there: what the integers change was not compared (--manifest names one)',
    );
  } else if (quantization !== undefined) {
    const { utterances, same_labels, largest_difference } = quantization.compared;
    note(
      `compared with the run in float32: ${same_labels} of ${utterances} utterances have the same label; a probability differs by ${largest_difference.toFixed(3)} at most`,
    );
  }
  printResult(out);
}

async function exportCheckpoint({ run, out, checkpoint, backbone }: ExportOptions): Promise<void> {
  if (run === undefined || out === undefined || checkpoint !== undefined) {
    throw new InputError(
      checkpoint === undefined
        ? `say ${run === undefined ? 'whose encoder is written: --run FOLDER' : 'where it goes: -o FOLDER, which must be new'}`
        : '--checkpoint is what is written; name the run with --run',
    );
  }
  const { writeTrainedEncoder } = await import('../../inference/export/index.js');
  const { warnUnfinished } = await import('./experiment-options.js');
  const written = await withInterrupts('stopping', (stop) =>
    writeTrainedEncoder(run, out, {
      ...{ stop, onNote: note, onWarning: warn },
      overrides: backboneOverrides(backbone),
    }),
  );
  warnUnfinished(written.run.folder, written.run.metadata);
  note(`${written.trained} of ${written.total} weights are those that ${written.run.folder.dir} trained`);
  printResult(out);
}

async function openPart(
  options: ExportOptions,
  part: Exclude<ExportPart, 'bundle' | 'checkpoint'>,
): Promise<ExportableModel> {
  const { exportableEncoder, exportableFormer, exportableLanguageModel } = await import(
    '../../inference/export/index.js'
  );
  const { warnUnfinished } = await import('./experiment-options.js');
  const overrides = backboneOverrides(options.backbone);
  const { checkpoint, precision } = options;
  if (part === 'encoder') return exportableEncoder(checkpoint, { precision, onWarning: warn });
  if (part === 'llm') {
    const model = await exportableLanguageModel({ ...options, overrides, onNote: note, onWarning: warn });
    if (model.run !== undefined) warnUnfinished(model.run.folder, model.run.metadata);
    return model;
  }
  const model = await exportableFormer({ ...options, overrides, onWarning: warn });
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
    '--quantize': options.quantize,
    '--manifest': options.manifest,
    '--threads': options.threads,
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

/**
 * @file Writes a run as a bundle: one folder with everything that prediction reads, which can be moved and needs neither
 * the run nor its backbones.
 */

import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import {
  type LayerSelection,
  type MergedDtype,
  readEncoderConfig,
  resolvedSelection,
} from '../../backbones/index.js';
import {
  copyFileAtomic,
  requireNewFolder,
  sha256OfFile,
  writeFileAtomic,
  writeJsonAtomic,
  writeNewFolder,
} from '../../base/index.js';
import { SAMPLE_RATE_HZ } from '../../data/audio/index.js';
import type { Precision } from '../../nn/index.js';
import { dumpRecipe } from '../../recipe/index.js';
import {
  cachedLayers,
  encoderOf,
  type Phase,
  type Recipe,
  standaloneGraph,
  systemOf,
} from '../../systems/index.js';
import type { ComputeOptions } from '../../training/index.js';
import type { RunFolder } from '../../training/runs/index.js';
import {
  copyCompanions,
  type ExportControls,
  exportable,
  exportableEncoder,
  type IntegerType,
  integerModel,
  MODEL_CARD,
  runMetadata,
  writeModelFiles,
} from '../export/index.js';
import { openTrainedPhase, openTrainedRun, type TrainedRun } from '../trained-run.js';
import { BUNDLE_FILE, type BundleDescription, type BundleModel } from './bundle-format.js';
import { type CardResults, modelCard } from './model-card.js';
import { compareWithRun } from './quantization-comparison.js';

export interface BundleOptions extends ExportControls {
  /** Of the products of the encoder and the language model. */
  readonly precision: Precision;
  /** Of weights with a merged LoRA. */
  readonly mergedDtype: MergedDtype;
  /** Products of integers, for CPUs. `int4` is of the language model's; other products are in 8 bits then. */
  readonly quantize?: IntegerType | undefined;
  /** With `quantize`: how the bundle is compared with its run, and the manifest to do so on, if not the run's own. */
  readonly comparison?: { readonly compute: ComputeOptions; readonly manifest: string | undefined };
  /** Figures for the model card: those of the run's test set, if it has been scored. */
  readonly results: CardResults | undefined;
  /** Versions of everything that writes it. */
  readonly versions: Readonly<Record<string, string>>;
  /** Overrides of the recipe, such as `backbones.llm=DIR`. */
  readonly overrides?: readonly string[];
  readonly onNote?: (text: string) => void;
  readonly onWarning?: (text: string) => void;
}

/** Where the files of each backbone go. */
const FOLDERS: Readonly<Record<string, string>> = { encoder: 'encoder', former: 'former', llm: 'llm' };
/** A few rows, on which every label hangs. */
const KEPT_IN_FLOATS = /^label_words\.|^head\.|^projector\./;
const RECIPE = 'recipe.yaml';

/**
 * Writes the bundle of a run into a new folder, which appears when everything is in it.
 * @throws InputError when the folder exists already, or the run or its backbones are missing or broken;
 *   InterruptedError when `stop` is aborted
 */
export async function writeBundle(
  folder: RunFolder,
  out: string,
  options: BundleOptions,
): Promise<BundleDescription> {
  await requireNewFolder(out);
  const run = await openTrainedRun(folder, options);
  const phase = await openTrainedPhase(run, options);
  return writeNewFolder(out, options.stop, async (staged) => {
    const parts = await writeParts(staged, run, phase, options);
    return finish(staged, run, options, parts);
  });
}

async function writeParts(
  dir: string,
  run: TrainedRun,
  phase: Phase,
  options: BundleOptions,
): Promise<Omit<BundleDescription, 'files'>> {
  const { recipe, metadata, checkpointSha256 } = run;
  const { precision, mergedDtype, quantize } = options;
  const encoder = phase.needs.audio ? await writeEncoder(dir, recipe, options) : null;
  const backbones: Record<string, string> = encoder === null ? {} : { encoder: FOLDERS.encoder! };
  for (const { key, tokenizer } of phase.needs.backbones) {
    if (!tokenizer && key !== 'former') continue;
    backbones[key] = FOLDERS[key]!;
    await copyCompanions(
      recipe.backbones[key as keyof Recipe['backbones']] as string,
      join(dir, FOLDERS[key]!),
    );
  }
  const models: BundleModel[] = [];
  for (const model of await phase.standalone!(run.trained, mergedDtype)) {
    const graph = standaloneGraph(model);
    const own = exportable(graph, model.weight, model.isLanguageModel ? precision : 'float32');
    const file = `${model.name}.onnx`;
    const floats = { ...own, metadata: { part: model.name, ...runMetadata(run) }, sources: [] };
    const type = model.isLanguageModel ? quantize : quantize && 'int8';
    const isKept = (key: string): boolean => KEPT_IN_FLOATS.test(key);
    const written = type === undefined ? floats : integerModel(floats, { type, isKept });
    await writeModelFiles(join(dir, file), written, options);
    models.push({
      file,
      inputs: model.inputs.map(({ name, dtype, shape }) => ({ name, dtype, shape: [...shape] })),
      outputs: [...model.outputs],
    });
  }
  await writeFileAtomic(join(dir, RECIPE), dumpRecipe(await portableRecipe(recipe, backbones)));
  const { name, labels } = recipe;
  return {
    format: 'emoq-bundle',
    version: 1,
    name,
    system: metadata.system,
    phase: metadata.phase,
    labels: [...labels],
    ...(phase.labelWords && { label_words: [...phase.labelWords] }),
    max_audio_sec: recipe.max_audio_sec,
    sampling_rate_hz: SAMPLE_RATE_HZ,
    views: systemOf(recipe).views(recipe),
    strip_tags: recipe.strip_tags,
    ...(phase.textLimit && { max_text_tokens: phase.textLimit.tokens }),
    precision,
    merged_dtype: mergedDtype,
    prompt: phase.prompt ?? null,
    chat: phase.chat ?? null,
    encoder,
    models,
    backbones,
    run: {
      name: metadata.name,
      seed: metadata.seed,
      fold: metadata.fold,
      selected: metadata.selected,
      checkpoint_sha256: checkpointSha256,
      manifest_sha256: metadata.manifest.sha256,
    },
    trained_on: metadata.backbones ?? null,
    versions: { ...options.versions },
    ...(quantize && { quantization: { type: quantize, compared: null } }),
  };
}

/** Writes the model card and bundle.json; those of a quantized bundle once more, after it has been compared. */
async function finish(
  dir: string,
  run: TrainedRun,
  options: BundleOptions,
  parts: Omit<BundleDescription, 'files'>,
): Promise<BundleDescription> {
  const { results, comparison } = options;
  const describe = async (description: Omit<BundleDescription, 'files'>): Promise<BundleDescription> => {
    await rm(join(dir, BUNDLE_FILE), { force: true });
    await writeFileAtomic(join(dir, MODEL_CARD), await modelCard({ description, run, results }));
    const whole = { ...description, files: await checksums(dir) };
    await writeJsonAtomic(join(dir, BUNDLE_FILE), whole);
    return whole;
  };
  const written = await describe(parts);
  if (parts.quantization === undefined || comparison === undefined) return written;
  const { compute, manifest } = comparison;
  const compared = await compareWithRun(run, dir, compute, manifest);
  return describe({ ...parts, quantization: { ...parts.quantization, compared } });
}

/** The encoder as emoq computes it, with its configs beside it; an exported one is copied. */
async function writeEncoder(
  dir: string,
  recipe: Recipe,
  options: BundleOptions,
): Promise<NonNullable<BundleDescription['encoder']>> {
  const { encoder, encoder_onnx: onnx } = recipe.backbones;
  const folder = join(dir, FOLDERS.encoder!);
  await mkdir(folder);
  if (onnx === null) {
    const file = 'encoder.onnx';
    const { onWarning, precision } = options;
    const selection = await cachedLayers(recipe);
    const floats = await exportableEncoder(encoder!, {
      ...{ onWarning, precision, selection },
      norm: 'without padding',
    });
    const model = options.quantize === undefined ? floats : integerModel(floats, { type: 'int8' });
    await copyCompanions(encoder!, folder);
    await writeModelFiles(join(folder, file), model, options);
    const { doNormalize } = await readEncoderConfig(encoder!);
    return { file: `${FOLDERS.encoder}/${file}`, normalize: doNormalize };
  }
  const { files, config } = await encoderOf(recipe);
  for (const file of files) await copyFileAtomic(file, join(folder, basename(file)));
  return { file: `${FOLDERS.encoder}/${basename(onnx)}`, normalize: config.doNormalize === true };
}

/** The recipe without places on this machine, and with the encoder's layers by number. */
async function portableRecipe(recipe: Recipe, folders: Readonly<Record<string, string>>): Promise<Recipe> {
  const { encoder: checkpoint, encoder_onnx: onnx } = recipe.backbones;
  const cached: LayerSelection =
    onnx === null && folders.encoder !== undefined
      ? resolvedSelection(await cachedLayers(recipe), await readEncoderConfig(checkpoint!))
      : recipe.encoder;
  // Trained layers are part of the model that reads what the bundle's encoder gives.
  const { layers, mix, logits = false } = cached;
  const encoder = {
    ...recipe.encoder,
    ...{ layers: typeof layers === 'string' ? layers : [...layers], mix, train: 'frozen' as const },
    ...('logits' in recipe.encoder && { logits }),
  };
  const backbones = {
    ...recipe.backbones,
    ...folders,
    ...(onnx !== null && { encoder_onnx: `${FOLDERS.encoder}/${basename(onnx)}` }),
  };
  const manifest = recipe.manifest.split(/[/\\]/).slice(-2).join('/');
  const portable: Recipe = { ...recipe, manifest, backbones, encoder };
  return systemOf(recipe).ofBundle?.(portable) ?? portable;
}

async function checksums(dir: string): Promise<BundleDescription['files']> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const names = entries
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(dir.length + 1)
        .replaceAll('\\', '/'),
    )
    .sort();
  const files: Record<string, { readonly bytes: number; readonly sha256: string }> = {};
  for (const name of names) {
    const path = join(dir, name);
    files[name] = { bytes: (await stat(path)).size, sha256: await sha256OfFile(path) };
  }
  return files;
}

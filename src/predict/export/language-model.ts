/** @file The language model for export: a Qwen2 checkpoint as it is, or with the LoRA of a run merged into it. */

import { join } from 'node:path';
import { errorMessage, InputError } from '../../base/index.js';
import type { StreamedTensor, Tensor } from '../../engine/tensor/index.js';
import {
  type Checkpoint,
  checkpointIdentity,
  chooseHead,
  declaredWeights,
  type LanguageModelInputs,
  languageModelGraph,
  loraParameters,
  type MergedDtype,
  mergedTensors,
  parseQwen2Config,
  type Qwen2Config,
  readWeight,
  requireWeight,
  storedTensor,
  unreadWeights,
  weightFiles,
} from '../../models/index.js';
import { requireSameBackbones } from '../../train/index.js';
import { findRun } from '../trained-model.js';
import { openTrainedRun, type TrainedRun } from '../trained-run.js';
import { type ExportableModel, exportable } from './model-files.js';
import { checkpointName, openModelFolder, runMetadata } from './origin.js';

export interface LanguageModelExport {
  /** Hugging Face folder or model id; absent: the run's own. */
  readonly checkpoint?: string | undefined;
  /** A stage-2 run, or its experiment, whose LoRA is merged. */
  readonly run?: string | undefined;
  /** Default `input_ids`. */
  readonly inputs?: LanguageModelInputs | undefined;
  /** Type of the weights that a LoRA is merged into; default `float32`, which loses nothing of it. */
  readonly mergedDtype?: MergedDtype | undefined;
  readonly onNote?: ((text: string) => void) | undefined;
  readonly onWarning?: ((text: string) => void) | undefined;
}

/**
 * Opens a language model for export.
 * @throws InputError when neither checkpoint nor run is given, one of them is broken, or they do not go together
 */
export async function exportableLanguageModel(
  options: LanguageModelExport,
): Promise<ExportableModel & { readonly run?: TrainedRun }> {
  const { checkpoint: named, inputs = 'input_ids', mergedDtype = 'float32', onWarning } = options;
  const run = options.run === undefined ? undefined : await openAdaptedRun(options.run, onWarning);
  const nameOrPath = named ?? run?.recipe.backbones.llm;
  if (nameOrPath === undefined) {
    throw new InputError('say what to export: --checkpoint FOLDER, or --run FOLDER to merge its LoRA');
  }
  const checkpoint = await openModelFolder(nameOrPath, `give it with --run ${nameOrPath}`);
  const configured = parseQwen2Config(checkpoint.config, join(checkpoint.dir, 'config.json'));
  const { config, note } = await chooseHead(checkpoint, configured);
  if (run !== undefined) {
    requireSameBackbones(run.folder, run.facts, { llm: await checkpointIdentity(checkpoint, config) });
  }
  if (note !== undefined) options.onNote?.(note);
  const metadata = { part: 'llm', checkpoint: checkpointName(checkpoint) };
  const graph = languageModelGraph(config, inputs);
  const read = new Set(declaredWeights(languageModelGraph(config, 'input_ids').define).map(({ key }) => key));
  const unread = unreadWeights(checkpoint, 'qwen2', read);
  if (unread !== undefined) onWarning?.(unread);
  const sources = weightFiles(checkpoint);
  const stored = (key: string, shape: readonly number[]): StreamedTensor =>
    storedTensor(requireWeight(checkpoint, key, shape));
  if (run === undefined) return { ...exportable(graph, stored), metadata, sources };

  const merged = await mergedWeights(run, checkpoint, config, mergedDtype);
  return {
    run,
    ...exportable(graph, (key, shape) => merged.get(requireWeight(checkpoint, key, shape).key)!),
    metadata: { ...metadata, ...runMetadata(run), merged_dtype: mergedDtype },
    sources: [...sources, run.folder.checkpoint],
  };
}

async function openAdaptedRun(dir: string, onWarning: LanguageModelExport['onWarning']): Promise<TrainedRun> {
  const folder = await findRun(dir);
  const run = await openTrainedRun(folder, onWarning);
  if (run.facts.stage === 1) {
    throw new InputError(
      `the run in ${folder.dir} is of stage 1, which trains no LoRA; name a run of stage 2, or leave --run out`,
    );
  }
  return run;
}

/** All weights of the checkpoint by key, the LoRA of the run merged. @throws InputError when it does not fit */
async function mergedWeights(
  run: TrainedRun,
  checkpoint: Checkpoint,
  config: Qwen2Config,
  mergedDtype: MergedDtype,
): Promise<Map<string, StreamedTensor>> {
  const { folder, recipe, trained } = run;
  try {
    const wanted = loraParameters(config, recipe.lora);
    const held = [...trained.weights.keys()].filter((key) => /\.lora_[AB]\.weight$/.test(key));
    const refs = wanted.map(({ key, shape }) => requireWeight(trained, key, shape));
    if (held.length !== refs.length) {
      throw new InputError(
        `the run adapts ${held.length / 2} weights, of this model it would be ${refs.length / 2}`,
      );
    }
    const parameters = new Map<string, Tensor>();
    for (const ref of refs) parameters.set(ref.key, await readWeight(ref));
    const tensors = mergedTensors(checkpoint, parameters, recipe.lora, mergedDtype);
    return new Map(tensors.map((tensor) => [tensor.key, tensor]));
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new InputError(
      `the run in ${folder.dir} does not fit ${checkpoint.dir} (${errorMessage(error)}); name the checkpoint that it was trained on, ${recipe.backbones.llm}`,
    );
  }
}

/**
 * @file What the Former of a run attends to in one utterance: its queries' attention to the frames and to the words,
 * beside the prediction that the run makes.
 */

import { didYouMean, InputError } from '../base/index.js';
import { openWeightsFile, requireWeight } from '../checkpoints/index.js';
import { decodeAudio, SAMPLE_RATE_HZ } from '../data/audio/index.js';
import { checkAudioFiles, type Partition, type Utterance } from '../data/corpora/index.js';
import type { TokenizedWord } from '../data/text/index.js';
import { serializeInPlace } from '../engine/onnx/index.js';
import { startSessionWorker } from '../engine/runtime/index.js';
import { float32Of, type Tensor } from '../engine/tensor/index.js';
import { checkpointWeights } from '../nn/index.js';
import type { ExplainedAudio, ExplainedText, Explanation } from '../report/index.js';
import {
  encoderOf,
  type PhaseAttention,
  phaseAttentionGraph,
  type Recipe,
  systemOf,
} from '../systems/index.js';
import {
  type ComputeOptions,
  encodeAll,
  loadCorpus,
  phaseFeatures,
  recordedDraw,
  trainedManifest,
} from '../training/index.js';
import { manifestChange, type RunFolder } from '../training/runs/index.js';
import { openTrainedModel, openTrainedRun, type RunOpening, type TrainedModel } from './trained-run.js';
import { predictUtterances } from './utterance-predictions.js';

export interface ExplanationOptions extends Pick<RunOpening, 'overrides'> {
  /** The manifest that the run was trained on, at another path than in its recipe. */
  readonly manifest?: string | undefined;
}

/** An utterance of a run's corpus, and which part of it. */
export interface ExplainedUtterance {
  readonly utterance: Utterance;
  readonly part: keyof Partition;
  readonly manifestPath: string;
}

/** The order in which messages name utterances. */
const PARTS = ['test', 'dev', 'train'] as const;

/**
 * Finds an utterance of a run's corpus, of any part, before anything is computed.
 * @throws InputError for a run without a Former, for an id that its corpus does not have, for missing audio, and when
 *   the manifest is not the one that the run was trained on
 */
export async function findExplained(
  folder: RunFolder,
  id: string,
  { manifest: placed, overrides }: ExplanationOptions = {},
): Promise<ExplainedUtterance> {
  const { recipe: own, metadata } = await openTrainedRun(folder, { overrides });
  const recipe: Recipe = placed === undefined ? own : { ...own, manifest: placed };
  const system = systemOf(recipe);
  const missing = system.missingAttention(recipe, metadata.phase);
  if (missing !== undefined) throw new InputError(`the run in ${folder.dir} ${missing}`);
  const corpus = await loadCorpus(recipe, metadata.fold ?? undefined, [], recordedDraw(metadata));
  const change = manifestChange(metadata.manifest, trainedManifest(recipe.manifest, corpus.manifest));
  if (change !== undefined) {
    throw new InputError(
      `${recipe.manifest} ${change} since ${folder.dir} was trained; train again, or restore the manifest`,
    );
  }
  for (const part of PARTS) {
    const utterance = corpus[part].find((each) => each.id === id);
    if (utterance === undefined) continue;
    if (system.views(recipe).audio) await checkAudioFiles(corpus.manifest, [utterance]);
    return { utterance, part, manifestPath: corpus.manifest.csvPath };
  }
  const ids = PARTS.flatMap((part) => corpus[part].map((utterance) => utterance.id));
  const hint = didYouMean(id, ids) || `; its test set has ${corpus.test[0]?.id ?? 'none'}, for example`;
  throw new InputError(`no utterance of ${recipe.manifest} that the run uses has the id ${id}${hint}`);
}

/**
 * Judges an utterance with a run, as evaluation does, and computes what its Former attends to.
 * @throws InterruptedError when `compute.stop` is aborted
 */
export async function explainUtterance(
  folder: RunFolder,
  { utterance, part }: Pick<ExplainedUtterance, 'utterance' | 'part'>,
  compute: ComputeOptions,
): Promise<Explanation> {
  const model = await openTrainedModel(folder, compute);
  try {
    const { recipe, metadata, phase } = model;
    const source = { source: folder.dir, fold: metadata.fold };
    const { predictions } = await predictUtterances(model, [utterance], compute, source);
    const { label, reference, probabilities } = predictions[0]!;
    const { layers } = phase.attention!;
    const shares = await attentionShares(model, utterance, compute);
    const queries = Array.from(shares.pooling!.data as Float32Array);
    const words = phase.words?.(utterance.text);
    return {
      ...{ run: folder.dir, phase: phase.title, hasPrompt: phase.prompt !== undefined },
      ...{ id: utterance.id, part, transcript: utterance.text },
      ...{ labels: recipe.labels, probabilities: Array.from(probabilities!), label: label!, reference },
      queries,
      ...(shares.frames && {
        audio: await audioAttention(recipe, utterance, shares.frames, queries, layers.frames),
      }),
      ...(words && { text: textAttention(words, shares.joint!, queries, layers.joint) }),
    };
  } finally {
    await model.close();
  }
}

/**
 * The outputs of the attention graph for one utterance. On the CPU, whatever judges the utterance: the Former alone is
 * small, and the language model is not part of it.
 */
async function attentionShares(
  { recipe, phase, folder }: TrainedModel,
  utterance: Utterance,
  compute: ComputeOptions,
): Promise<Record<string, Tensor>> {
  const attention = phase.attention as PhaseAttention;
  const trained = await openWeightsFile(folder.checkpoint);
  const graph = phaseAttentionGraph(phase, attention, (own) =>
    checkpointWeights(own, (key, shape) => requireWeight(trained, key, shape)),
  );
  const features = phase.features(await phaseFeatures(recipe, phase, [utterance], compute));
  const { tensors } = await phase.collate(encodeAll(phase, [utterance]), features, false);
  const { model, weightsFolder } = serializeInPlace(graph);
  const worker = startSessionWorker();
  try {
    const { threads } = compute;
    const session = await worker.open(model, { device: { kind: 'cpu' }, threads, weightsFolder });
    return await session.run(Object.fromEntries(attention.inputs.map(({ name }) => [name, tensors[name]!])));
  } finally {
    await worker.close();
  }
}

/** @param shares [1, N_q, L_a] */
async function audioAttention(
  recipe: Recipe,
  { path }: Utterance,
  shares: Tensor,
  queries: readonly number[],
  layers: number,
): Promise<ExplainedAudio> {
  const map = rowsOf(shares);
  const { samples, isCut } = await decodeAudio(path, { maxDurationSec: recipe.max_audio_sec });
  const { frameSec } = await encoderOf(recipe);
  const durationSec = samples.length / SAMPLE_RATE_HZ;
  return {
    ...{ samples, sampleRateHz: SAMPLE_RATE_HZ, isCut, layers, map },
    frameSec: frameSec ?? durationSec / map[0]!.length,
    isFrameSecEstimated: frameSec === undefined,
    weights: weighted(map, queries),
  };
}

/** @param shares [1, N_q, N_q + L_t] */
function textAttention(
  words: readonly TokenizedWord[],
  shares: Tensor,
  queries: readonly number[],
  layers: number,
): ExplainedText {
  const all = weighted(rowsOf(shares), queries);
  const [toQueries, toTokens] = [all.slice(0, queries.length), all.slice(queries.length)];
  const ofWords = words.map(({ word, tokens }) => ({
    word,
    tokens: tokens.length,
    weight: sum(tokens.map((place) => toTokens[place]!)),
  }));
  const tokens = sum(toTokens) - sum(ofWords.map(({ weight }) => weight));
  return {
    layers,
    words: ofWords,
    elsewhere: { queries: sum(toQueries), tokens: Math.max(0, tokens) },
  };
}

/** [1, N_q, L] as rows. */
function rowsOf(shares: Tensor): number[][] {
  const [, rows, width] = shares.shape as [number, number, number];
  const data = float32Of(shares);
  return Array.from({ length: rows }, (_, row) => Array.from(data.subarray(row * width, (row + 1) * width)));
}

/** The sum of the rows, each times its weight. */
function weighted(rows: readonly (readonly number[])[], weights: readonly number[]): number[] {
  return rows[0]!.map((_, column) => sum(rows.map((row, i) => row[column]! * weights[i]!)));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

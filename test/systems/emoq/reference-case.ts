/** @file Cases of the PyTorch references of stages 1 and 2: batches, parameters, gradients and steps of a small model. */

import { gradients } from '../../../src/engine/autodiff/index.js';
import type { Graph, Value } from '../../../src/engine/onnx/index.js';
import {
  elementCount,
  float32,
  float32Of,
  int64,
  readSafetensors,
  type Tensor,
  tensor,
} from '../../../src/engine/tensor/index.js';
import type { Batch, MicroBatch } from '../../../src/engine/training/index.js';
import type { GraphInput } from '../../../src/engine/training/training-graph.js';
import { formerInputs, type InputViews } from '../../../src/nn/former/former-config.js';
import type { FormerConfig } from '../../../src/nn/index.js';
import type { AffectiveLossOptions } from '../../../src/nn/losses.js';
import { givenWeights, type Weights } from '../../../src/nn/weights.js';
import { hasFormer } from '../../../src/systems/emoq/settings.js';
import type { Stage1Config } from '../../../src/systems/emoq/stage1.js';
import type { Stage2Config } from '../../../src/systems/emoq/stage2.js';
import { compute, type Feed, type Fixture, openFixture } from '../../backbones/decoders/graph-run.js';
import { rowsOf } from '../../engine/training-model.js';
import { type ParityError, parityError } from '../../parity/figures.js';

export interface ReferenceCase {
  /** Sizes and settings, as in the script. */
  readonly config: Readonly<Record<string, number>>;
  readonly parameters: ReadonlyMap<string, Tensor>;
  /** By key, on the first batch. */
  readonly gradients: ReadonlyMap<string, Tensor>;
  /** Keys of parameters that the steps do not change. */
  readonly frozen: readonly string[];
  /** Trained parameters by key after all the steps. */
  readonly after: ReadonlyMap<string, Tensor>;
  /** How the steps were taken. */
  readonly optimizer: Readonly<Record<OptimizerSetting, number>>;
  expected(key: string): Tensor;
  /** An input of a batch, by default of the first one. */
  batch(name: string, index?: number): Tensor;
}

type OptimizerSetting =
  | 'steps'
  | 'total_steps'
  | 'warmup_steps'
  | 'rate'
  | 'beta1'
  | 'beta2'
  | 'epsilon'
  | 'weight_decay'
  | 'clip_norm';

/** The script's description of its fixture. */
interface Description {
  readonly configs: Record<
    string,
    ReferenceCase['config'] & { optimizer: ReferenceCase['optimizer']; frozen?: string[] }
  >;
  readonly shapes: Record<string, [string, number[]][]>;
}

/**
 * Opens a fixture of test/reference/stage1.py, stage2.py or precision.py.
 * @returns `described` is what else the script says of it
 */
export async function openReference<Described = unknown>(name: string) {
  const path = new URL(`../../fixtures/${name}.safetensors`, import.meta.url).pathname;
  const { metadata, tensors } = await readSafetensors(path);
  const described = JSON.parse(metadata.reference!) as Description & Described;
  const { configs, shapes } = described;
  const expected = (key: string): Tensor => {
    const value = tensors.get(key);
    if (value === undefined) throw new Error(`the fixture ${name} has no ${key}`);
    return value;
  };
  /** The tensors of a case that lie end to end, by key. */
  const unpacked = (id: string, key: string, without: readonly string[] = []): Map<string, Tensor> => {
    const packed = float32Of(expected(`${id}/${key}`));
    let start = 0;
    return new Map(
      shapes[id]!.filter(([each]) => !without.includes(each)).map(([each, shape]) => {
        const end = start + elementCount(shape);
        const values = tensor('float32', shape, packed.slice(start, end));
        start = end;
        return [each, values];
      }),
    );
  };
  return {
    described,
    expected,
    /** @param type where the script computes a case in several types: one of them */
    caseOf: (id: string, type?: string): ReferenceCase => {
      const { optimizer, frozen = [], ...config } = configs[id]!;
      const typed = (key: string): string => (type === undefined ? key : `${type}/${key}`);
      return {
        config,
        parameters: unpacked(id, 'parameters'),
        gradients: unpacked(id, typed('gradients')),
        frozen,
        after: unpacked(id, typed('after'), frozen),
        optimizer,
        expected: (key) => expected(`${id}/${typed(key)}`),
        batch: (key, index = 0) => expected(`${id}/batch/${index}/${key}`),
      };
    },
  };
}

/** The Former of a case. */
export function formerOf({ config }: ReferenceCase): FormerConfig {
  const size = (key: string): number => config[key]!;
  return {
    roberta: {
      vocabSize: size('vocabulary'),
      hiddenSize: size('width'),
      numHiddenLayers: size('layers'),
      numAttentionHeads: size('heads'),
      intermediateSize: size('intermediate'),
      maxPositionEmbeddings: size('positions'),
      typeVocabSize: 1,
      padTokenId: 1,
      layerNormEps: 1e-5,
      hiddenDropoutProb: 0.1,
      attentionProbsDropoutProb: 0.1,
    },
    audioWidth: size('audio_width'),
    queries: size('queries'),
    crossAttentionEvery: size('cross_attention_every'),
    poolingHeads: size('pooling_heads'),
    dropout: 0.1,
    attentionDropout: 0.1,
    trainWordEmbeddings: true,
  };
}

/** The stage-1 model of a case, its losses, and the inputs of a training step. */
export function stage1Case(reference: ReferenceCase, views: InputViews) {
  const { head_hidden, classes, temperature, gamma, alpha, focal_weight, audio_width } =
    reference.config as Record<string, number> & { alpha: unknown };
  return {
    config: {
      former: formerOf(reference),
      inputs: views,
      headHidden: head_hidden!,
      classes: classes!,
    } satisfies Stage1Config,
    losses: {
      temperature: temperature!,
      gamma: gamma!,
      alpha: alpha as number[],
      contrastiveWeight: 1,
      focalWeight: focal_weight!,
    } satisfies AffectiveLossOptions,
    inputs: [
      ...formerInputs(audio_width!, views),
      { name: 'labels', dtype: 'int64', shape: ['batch'] },
    ] satisfies GraphInput[],
  };
}

/** A stage-2 model with the checkpoint of its language model. */
export interface Stage2Case {
  readonly reference: ReferenceCase;
  readonly qwen: Fixture;
  readonly config: Stage2Config;
}

/** The cases of stage 2 in the reference: with a Former, and with audio frames in the prompt. */
export const stage2Cases = {
  both: { inputs: 'both', fusion: 'former' },
  audio: { inputs: 'audio', fusion: 'former' },
  text: { inputs: 'text', fusion: 'former' },
  frames: { inputs: 'both', fusion: 'none' },
} as const satisfies Record<string, Pick<Stage2Config, 'inputs' | 'fusion'>>;

export type Stage2CaseName = keyof typeof stage2Cases;

export async function openStage2(reference: ReferenceCase, name: Stage2CaseName): Promise<Stage2Case> {
  const settings = reference.config as unknown as {
    qwen: string;
    targets: string[];
    rank: number;
    alpha: number;
    label_tokens: number[];
    projector_hidden: number;
  };
  const qwen = await openFixture(settings.qwen);
  const config = {
    former: formerOf(reference),
    ...stage2Cases[name],
    llm: qwen.config,
    lora: { rank: settings.rank, alpha: settings.alpha, dropout: 0.1, targets: settings.targets },
    projectorHidden: settings.projector_hidden,
    labelTokenIds: settings.label_tokens,
  };
  return { reference, qwen, config };
}

/** How the references of this kind are computed, in the table of errors. */
export const referenceDtype = 'float32, reference in float64';

/** A stage-1 model in the table of errors. */
export function describeStage1({ config, parameters }: ReferenceCase, views: InputViews) {
  const former = `Former of ${config.layers} layers, ${config.width}`;
  const count = [...parameters.values()].reduce((sum, { shape }) => sum + elementCount(shape), 0);
  return {
    model: `stage 1 (${views === 'both' ? 'audio and text' : `${views} alone`})`,
    shape: `${former}; ${count} parameters`,
    dtype: referenceDtype,
  };
}

/** A stage-2 model in the table of errors. */
export function describeStage2({ reference, qwen, config }: Stage2Case) {
  const { model, shape } = describeStage1(reference, config.inputs);
  const [former, count] = shape.split('; ');
  const llm = `Qwen2 of ${qwen.config.numHiddenLayers} layers, ${qwen.config.hiddenSize}`;
  const stored = qwen.checkpoint.weights.get('model.norm.weight')!.dtype;
  return {
    model: model.replace('1', '2').replace(')', config.fusion === 'none' ? ', without Former)' : ')'),
    shape: [...(hasFormer(config) ? [former] : []), llm, count].join('; '),
    dtype: `${stored === 'float32' ? '' : `${stored} Qwen2 weights, `}${referenceDtype}`,
  };
}

/** What a case computes, from its parameters and its batch. */
export type CaseModel = (
  weights: Weights,
  batch: Readonly<Record<string, Value>>,
  graph: Graph,
) => Record<string, Value>;

/** Runs a case's model on a batch; with `loss` among the results, the gradient of every parameter too. */
export async function runCase(
  { parameters, batch }: ReferenceCase,
  inputs: readonly GraphInput[],
  build: CaseModel,
  {
    replace = {},
    weightsFolder,
    rewrite,
  }: {
    replace?: Readonly<Record<string, Tensor>>;
    weightsFolder?: string;
    /** Changes the finished graph. */
    rewrite?: (graph: Graph) => void;
  } = {},
): Promise<{ results: Record<string, Tensor>; gradients: Map<string, Tensor> }> {
  const feeds: Record<string, Feed> = {};
  for (const { name, shape } of inputs) feeds[name] = [replace[name] ?? batch(name), shape];
  for (const [key, value] of parameters) feeds[key] = [value, value.shape];
  const outputs = await compute(
    feeds,
    (graph, values) => {
      const trained = new Map([...parameters.keys()].map((key) => [key, values[key]!]));
      const read = Object.fromEntries(inputs.map(({ name }) => [name, values[name]!]));
      const results = build(givenWeights(trained), read, graph);
      if (results.loss === undefined) return results;
      const slopes = gradients(results.loss, [...trained.values()]);
      const named = [...trained.keys()].map((key, at) => [`gradient/${key}`, slopes[at]!] as const);
      return { ...results, ...Object.fromEntries(named) };
    },
    weightsFolder,
    rewrite,
  );
  const results = Object.entries(outputs).filter(([key]) => !key.startsWith('gradient/'));
  const slopes = Object.entries(outputs).filter(([key]) => key.startsWith('gradient/'));
  return {
    results: Object.fromEntries(results),
    gradients: new Map(slopes.map(([key, value]) => [key.slice('gradient/'.length), value])),
  };
}

/**
 * Errors of gradients by key. If a gradient is zero in theory, as for the bias of a key projection, which softmax
 * cancels, only rounding remains; it is reported relative to a hundredth of the root mean square over all keys.
 */
export function gradientErrors(
  actual: ReadonlyMap<string, Tensor>,
  expected: ReadonlyMap<string, Tensor>,
): Map<string, ParityError> {
  const overall = rootMeanSquare([...expected.values()].flatMap((value) => [...float32Of(value)]));
  return new Map(
    [...expected].map(([key, wanted]) => {
      const got = actual.get(key)!;
      if (rootMeanSquare(float32Of(wanted)) > 1e-6 * overall) return [key, parityError(got, wanted)];
      const absolute = float32Of(got).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      return [key, { absolute, relative: absolute / (0.01 * overall) }];
    }),
  );
}

/** Root mean square. */
export function rootMeanSquare(values: ArrayLike<number>): number {
  return Math.sqrt(Array.from(values).reduce((sum, value) => sum + value * value, 0) / values.length);
}

/** A sequence tensor [N, L, ...] extended by `extra` positions that contain `filler`. */
export function lengthened(value: Tensor, extra: number, filler: number | bigint): Tensor {
  const [batch, length, ...rest] = value.shape as [number, number, ...number[]];
  const inner = elementCount(rest);
  const longer = tensor(value.dtype, [batch, length + extra, ...rest]);
  (longer.data as Float32Array).fill(filler as number);
  for (let row = 0; row < batch; row++) {
    const own = (value.data as Float32Array).subarray(row * length * inner, (row + 1) * length * inner);
    (longer.data as Float32Array).set(own, row * (length + extra) * inner);
  }
  return longer;
}

/** A step's batch of the case, in the form a training graph takes, with the size of each symbol. */
export function referenceBatch(
  reference: ReferenceCase,
  inputs: readonly GraphInput[],
  index: number,
): Batch {
  const tensors = Object.fromEntries(inputs.map(({ name }) => [name, reference.batch(name, index)]));
  const sizes = inputs.flatMap(({ name, shape }) =>
    shape.flatMap((dim, axis) =>
      typeof dim === 'string' ? [[dim, tensors[name]!.shape[axis]!] as const] : [],
    ),
  );
  return { tensors, sizes: Object.fromEntries(sizes) };
}

/** A batch of either stage in micro-batches of at most `size` utterances, each with its own utterances' answers. */
export function microBatchesOf({ tensors, sizes }: Batch, size: number): MicroBatch[] {
  const { answer_positions: positions, answer_tokens: tokens, answer_weights: weights, ...rows } = tensors;
  const parts = rowsOf({ tensors: rows, sizes }, size);
  if (positions === undefined) return parts;
  const length = sizes.prompt!;
  return parts.map(({ batch, weight }, part) => {
    const first = part * size * length; // answers are rows of the flattened [batch, prompt]
    const end = first + batch.sizes.batch! * length;
    const places = Array.from(positions.data, Number);
    const own = [...places.keys()].filter((at) => places[at]! >= first && places[at]! < end);
    const answers = {
      answer_positions: int64(
        [own.length],
        own.map((at) => places[at]! - first),
      ),
      answer_tokens: int64(
        [own.length],
        own.map((at) => Number(tokens!.data[at])),
      ),
      answer_weights: float32(
        [own.length],
        own.map((at) => Number(weights!.data[at])),
      ),
    };
    return {
      batch: { tensors: { ...batch.tensors, ...answers }, sizes: { ...batch.sizes, answers: own.length } },
      weight,
    };
  });
}

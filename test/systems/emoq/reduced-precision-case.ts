/** @file The cases of test/reference/precision.py: stage 2 with the products of its language model in 16 bits. */

import { fileURLToPath } from 'node:url';
import { parseDecoderConfig } from '../../../src/backbones/index.js';
import { openCheckpoint, requireWeight } from '../../../src/checkpoints/index.js';
import { constant, serializeModel } from '../../../src/engine/onnx/index.js';
import { createSession, type SessionWorker } from '../../../src/engine/runtime/index.js';
import { float32Of, type Tensor } from '../../../src/engine/tensor/index.js';
import {
  evaluationFeeds,
  evaluationName,
  evaluationOutputs,
  noEvaluationFeeds,
  type TrainingGraph,
} from '../../../src/engine/training/index.js';
import type { InputViews } from '../../../src/nn/former/former-config.js';
import { checkpointWeights, noDropout, type Precision } from '../../../src/nn/weights.js';
import {
  answerInputs,
  type Stage2Config,
  stage2Forward,
  stage2Inputs,
  stage2Loss,
} from '../../../src/systems/emoq/stage2.js';
import {
  phaseEvaluationGraph,
  phaseParameters,
  phaseTrainingGraph,
} from '../../../src/systems/phase-graphs.js';
import type { PhaseGraphs } from '../../../src/systems/system.js';
import { type EmulationOptions, emulatePrecision } from '../../engine/emulated-precision.js';
import { takeSteps } from '../../engine/training-model.js';
import { formerOf, openReference, type ReferenceCase, referenceBatch, runCase } from './reference-case.js';

/** Types of the reference: `autocast` is transformers as it is, in bfloat16. */
export type ReferenceType = 'float64' | 'autocast' | Exclude<Precision, 'float32'>;

export interface PrecisionCase {
  readonly config: Stage2Config;
  /** The model, for the builders of its graphs. */
  readonly phase: PhaseGraphs;
  readonly weightsFolder: string;
  /** What PyTorch computes. */
  reference(type: ReferenceType): ReferenceCase;
  /** The prompts of the first batch without their answers, as in prediction. */
  readonly bare: Readonly<Record<string, Tensor>>;
}

const BATCHES = 4;
const device = { kind: 'cpu' } as const;

export async function openPrecisionCase(name: string): Promise<PrecisionCase> {
  const { caseOf, expected } = await openReference('precision/precision');
  const exact = caseOf(name, 'float64');
  const settings = exact.config as unknown as {
    llm: string;
    views: InputViews;
    targets: string[];
    rank: number;
    alpha: number;
    label_tokens: number[];
    projector_hidden: number;
  };
  const dir = fileURLToPath(new URL(`../../fixtures/precision/${settings.llm}`, import.meta.url));
  const checkpoint = await openCheckpoint(dir);
  const config: Stage2Config = {
    former: formerOf(exact),
    inputs: settings.views,
    fusion: 'former',
    llm: parseDecoderConfig(checkpoint.config, `${dir}/config.json`),
    lora: { rank: settings.rank, alpha: settings.alpha, dropout: 0, targets: settings.targets },
    projectorHidden: settings.projector_hidden,
    labelTokenIds: settings.label_tokens,
  };
  const phase: PhaseGraphs = {
    name: 'stage2',
    inputs: stage2Inputs(config),
    targets: answerInputs,
    isTrainable: (key) => exact.after.has(key),
    frozen: (graph, precision) => {
      const language = checkpointWeights(
        graph,
        (key, shape) => requireWeight(checkpoint, key, shape),
        () => precision,
      );
      return (key, shape) =>
        exact.frozen.includes(key) ? constant(graph, exact.parameters.get(key)!) : language(key, shape);
    },
    loss: (weights, batch) => ({ loss: stage2Loss(weights, config, batch, noDropout), reported: {} }),
    forward: (weights, batch) => stage2Forward(weights, config, batch, noDropout),
  };
  const bare = Object.fromEntries(
    ['prompt_ids', 'prompt_mask'].map((key) => [key, expected(`${name}/bare/${key}`)]),
  );
  return { config, phase, weightsFolder: dir, reference: (type) => caseOf(name, type), bare };
}

/** Loss on the first batch, with the gradient of every parameter by key, on the CPU. */
export async function differentiate(
  { phase, weightsFolder, reference }: PrecisionCase,
  precision: Precision,
  options: EmulationOptions = {},
): Promise<{ loss: Tensor; gradients: ReadonlyMap<string, Tensor> }> {
  const exact = reference('float64');
  const { results, gradients } = await runCase(
    exact,
    [...phase.inputs, ...phase.targets],
    (weights, batch, graph) => {
      const frozen = phase.frozen(graph, precision);
      const isGiven = (key: string): boolean => exact.parameters.has(key);
      const all: typeof weights = (key, shape) => (isGiven(key) ? weights : frozen)(key, shape);
      return { loss: phase.loss(all, batch, noDropout).loss };
    },
    { weightsFolder, rewrite: (graph) => emulatePrecision(graph, options) },
  );
  return { loss: results.loss!, gradients };
}

/** The inputs of prediction for the first batch. */
function promptsOf({ phase, reference, bare }: PrecisionCase): Record<string, Tensor> {
  const exact = reference('float64');
  return Object.fromEntries(phase.inputs.map(({ name }) => [name, bare[name] ?? exact.batch(name)]));
}

/** Probabilities for the prompts of the first batch, from the graph that predicts. */
export async function predict(opened: PrecisionCase, precision: Precision): Promise<Tensor> {
  const { phase, weightsFolder, reference } = opened;
  const parameters = phaseParameters(phase);
  const graph = phaseEvaluationGraph(phase, parameters, undefined, precision);
  emulatePrecision(graph);
  const session = await createSession(serializeModel(graph, { weightsFolder }), { device, weightsFolder });
  const trained = parameters.trainable.map(({ key }) => [key, reference('float64').parameters.get(key)!]);
  const feeds = { ...promptsOf(opened), ...Object.fromEntries(trained) };
  const { probabilities } = await session.run(feeds, ['probabilities']);
  await session.dispose();
  return probabilities!;
}

/** The graph of a case that trains and evaluates; `recompute`: with activation checkpointing. */
export function trainingGraphOf(
  { phase, reference }: PrecisionCase,
  precision: Precision,
  recompute: boolean,
): TrainingGraph {
  const { warmup_steps, total_steps, ...adam } = reference('float64').optimizer;
  return phaseTrainingGraph(
    phase,
    phaseParameters(phase),
    {
      beta1: adam.beta1,
      beta2: adam.beta2,
      epsilon: adam.epsilon,
      weightDecay: adam.weight_decay,
      clipNorm: adam.clip_norm,
    },
    { warmupSteps: warmup_steps, totalSteps: total_steps },
    { precision, evaluates: true, recompute },
  );
}

export interface TrainedCase {
  /** Probabilities before the first step, from the graph that trains. */
  readonly probabilities: Tensor;
  readonly losses: Tensor;
  /** Trained parameters after all the steps, by key. */
  readonly after: ReadonlyMap<string, Tensor>;
}

/** All the steps of a case, on the CPU. */
export async function trainCase(
  worker: SessionWorker,
  opened: PrecisionCase,
  precision: Precision,
  recompute = false,
): Promise<TrainedCase> {
  const { phase, weightsFolder } = opened;
  const exact = opened.reference('float64');
  const { steps, rate } = exact.optimizer;
  const graph = trainingGraphOf(opened, precision, recompute);
  emulatePrecision(graph.graph);
  const model = serializeModel(graph.graph, { weightsFolder });
  const session = await worker.open(model, { device, threads: 1, weightsFolder }, graph.state);
  const trained = [...exact.after.keys()];
  await session.setState(Object.fromEntries(trained.map((key) => [key, exact.parameters.get(key)!])));

  const inputs = [...phase.inputs, ...phase.targets];
  const prompts = promptsOf(opened);
  const batch = referenceBatch({ ...exact, batch: (key) => prompts[key]! }, phase.inputs, 0);
  const outputs = await session.evaluate(
    evaluationFeeds(graph, inputs, [batch]),
    graph.evaluation!.outputs.map(evaluationName),
  );
  const [evaluated] = evaluationOutputs(outputs, graph);

  const batches = Array.from({ length: steps }, (_, step) => referenceBatch(exact, inputs, step % BATCHES));
  const { loss } = await takeSteps({ graph, session }, batches, {
    rate,
    batchInputs: inputs,
    more: noEvaluationFeeds(graph),
  });
  const after = await session.readState(trained);
  await session.dispose();
  return {
    probabilities: evaluated!.probabilities!,
    losses: loss!,
    after: new Map(Object.entries(after)),
  };
}

/** Root mean square of the differences between two tensors, or between the tensors of two maps with the same keys. */
export function distance(a: Compared, b: Compared): number {
  const [left, right] = [valuesOf(a, b), valuesOf(b, b)];
  return Math.sqrt(left.reduce((sum, value, i) => sum + (value - right[i]!) ** 2, 0) / left.length);
}

type Compared = Tensor | ReadonlyMap<string, Tensor>;

function valuesOf(of: Compared, like: Compared): ArrayLike<number> & number[] {
  if (!(of instanceof Map)) return [...float32Of(of as Tensor)];
  return [...(like as ReadonlyMap<string, Tensor>).keys()].flatMap((key) => [...float32Of(of.get(key)!)]);
}

/**
 * @file Trains one phase, from a recipe to its checkpoint. The function reads from top to bottom in order of execution;
 * the steps themselves are in {@link train}.
 */

import { openWeightsFile } from '../checkpoints/index.js';
import { labelCounts } from '../data/corpora/index.js';
import { releaseMemory, startSessionWorker } from '../engine/runtime/index.js';
import { classificationMetrics, validationMetrics } from '../evaluation/metrics/index.js';
import type { Example, FeatureSource, Phase, Sizes } from '../systems/index.js';
import {
  isScored,
  microBatchSize,
  phaseEvaluationGraph,
  resolvePrecision,
  systemOf,
  withViews,
} from '../systems/index.js';
import { openAugmentation, variantItems, variedBatches, withVariants } from './augmentation.js';
import { countSteps, planSteps } from './batches.js';
import type { ComputeOptions } from './compute-options.js';
import { reviewDeviceMemory, withMemoryAdvice } from './device-fit.js';
import { phaseToSize } from './device-size.js';
import {
  checkEarlierRecipe,
  earlierRun,
  type PhaseRun,
  reviewAhead,
  startCheckpoint,
  validationDraw,
} from './earlier-phase.js';
import {
  countCutTexts,
  cutNotes,
  type Experiment,
  encodeAll,
  openExperiment,
  phaseFeatures,
  untrainedFeatures,
} from './experiment.js';
import {
  inferAll,
  openTrainingSession,
  outcomesOf,
  requireInferences,
  trainingEvaluator,
  validationFigures,
  writeModel,
} from './inference.js';
import { evenBatches } from './inference-batches.js';
import { peakMemory, SIZED_EPOCHS } from './phase-memory.js';
import { changedCircumstances, recordedPrompt, runMetadata, trainedOnBefore } from './run-metadata.js';
import { runLimits } from './run-sizing.js';
import {
  begunRun,
  createRun,
  inspectRun,
  lockRun,
  openMetrics,
  phaseFolder,
  type RunFolder,
  type RunMetadata,
  readMetadata,
  readPosition,
  recordTimings,
  removeDeadLock,
  removeTemporaries,
  settleCheckpoint,
  type TrainingPosition,
  verifyUnfinished,
  writeMetadata,
} from './runs/index.js';
import { isTrainingOver, selectingMetric, selectionRule, smallValidationWarning } from './selection.js';
import { batchSplit, buildTraining, largestSteps, trainingBatches } from './step-sizes.js';
import { type TrainingReport, train } from './trainer.js';

export interface TrainPhaseOptions extends PhaseRun {
  readonly compute: ComputeOptions;
  /** Versions to record: emoq and its git revision, Node, onnxruntime. */
  readonly versions: Readonly<Record<string, string>>;
  readonly stepsPerRun?: number;
  readonly saveIntervalSec?: number;
  readonly stop?: AbortSignal;
  /** Called once when the steps begin, with the number already done and the total. */
  readonly onStart?: (step: number, totalSteps: number) => void;
  readonly onReport?: (report: TrainingReport) => void;
  /** Called for each batch of a validation. */
  readonly onValidation?: (done: number, total: number) => void;
  readonly onNote?: (text: string) => void;
  readonly onWarning?: (text: string) => void;
}

export interface PhaseOutcome {
  /** `already`: the run had finished before. */
  readonly status: 'finished' | 'interrupted' | 'already';
  readonly folder: RunFolder;
  readonly position: TrainingPosition;
  readonly totalSteps: number;
}

const START: TrainingPosition = { step: 0, epoch: 0, metricsBytes: 0, best: null };

const DIVERGED =
  'training has diverged, or a backbone is damaged; lower the learning rate in a new run; the last saved state is kept';

/**
 * Trains a phase. The same call resumes an unfinished run of the same recipe and does nothing for a finished one.
 * Creates the run folder only after checking everything a user can get wrong.
 * @throws InputError for bad input, or a run folder of another recipe
 */
export async function trainPhase(options: TrainPhaseOptions): Promise<PhaseOutcome> {
  const { recipe, phase: name, fold, root } = options;
  const note = (text: string | undefined): void => void (text !== undefined && options.onNote?.(text));
  const warn = (text: string | undefined): void => void (text !== undefined && options.onWarning?.(text));
  const startedAt = new Date();

  // 1. What to train: the phase of the recipe on its corpus, with the original settings if resumed.
  const system = systemOf(recipe);
  const settings = system.settings(recipe, name);
  const folder = phaseFolder(root, name, fold);
  const begun = await begunRun(folder);
  const draw = await validationDraw(options, begun, options.onNote);
  const prompt = begun && recordedPrompt(folder, begun);
  const experiment = await openExperiment(recipe, name, fold, draw, prompt);
  const { corpus, phase } = experiment;
  const augmentation = phase.needs.audio
    ? await openAugmentation(recipe, options.compute.cacheDir, options.stop)
    : undefined;
  const { copies = 0 } = augmentation ?? {};

  // 2. Where to start: from scratch, from its own saved state, or from the checkpoint of an earlier phase.
  const settingsWarning = system.settingsWarning(recipe, name);
  const backbones = await phase.inspectBackbones();
  const earlier = earlierRun(options);
  const from = earlier && (await startCheckpoint(name, earlier, backbones.identities));
  warn(from?.warning);
  const selection = selectionRule(settings, name, corpus.dev.length);
  const passes = {
    epochs: settings.epochs,
    batchSize: settings.batch_size,
    warmupFraction: settings.warmup_fraction,
  };
  const { totalSteps } = countSteps(corpus.train.length, passes);
  const { precision: choice = 'auto', device } = options.compute;
  const askedPrecision = resolvePrecision(choice, device, phase.languageModel);
  const planned = runMetadata(experiment, {
    fold,
    device,
    precision: askedPrecision,
    threads: options.compute.threads,
    versions: options.versions,
    totalSteps,
    backbones: backbones.identities,
    startedFrom: from?.sha256,
    augmentation: augmentation?.metadata,
  });
  const found = await inspectRun(folder, recipe, planned);
  const isNew = found.status === 'new';
  const start = isNew ? START : ((await readPosition(folder.state)) ?? START);
  if (found.status === 'finished') {
    await removeDeadLock(folder);
    return { status: 'already', folder, position: start, totalSteps };
  }
  if (found.status === 'unfinished') warn(await verifyUnfinished(folder, found.metadata));

  // 3. Errors that would occur later, and warnings.
  const ahead = await reviewAhead(options, corpus, isNew);
  const otherSettings =
    earlier && isNew ? await checkEarlierRecipe(options, earlier, corpus.manifest.sha256) : undefined;
  const trainExamples = encodeAll(phase, corpus.train);
  const devExamples = encodeAll(phase, corpus.dev);
  for (const text of phase.notes) note(text);
  for (const text of backbones.warnings) warn(text);
  reviewCorpus(experiment, options);
  warn(earlier && trainedOnBefore((await readMetadata(earlier.folder))!, planned));
  warn(ahead);
  note(otherSettings);
  warn(settingsWarning);
  if (found.status === 'unfinished') {
    note(`resuming after step ${start.step} of ${totalSteps}`);
    const changes = changedCircumstances(found.metadata, planned).join('; ');
    if (changes !== '') warn(`${changes}: the run may differ in its last digits from an uninterrupted one`);
    if (!phase.hasOwnPrompt)
      note(
        `using the prompt of ${folder.metadata}, with which the run began; a new run of the recipe has a different one`,
      );
  }

  // 4. The features of every clip, encoded once and cached.
  const compute = isNew ? options.compute : computeAsBegun(folder, found.metadata, options);
  compute.onBegin?.();
  const encodingSince = performance.now();
  const clips = [...corpus.train, ...corpus.dev, ...variantItems(augmentation, corpus.train)];
  const extracted = await phaseFeatures(recipe, phase, clips, compute);
  const encodingSec = (performance.now() - encodingSince) / 1000;
  const features = phase.features(extracted);
  const { cropped } = extracted;
  const cutTexts = countCutTexts([...trainExamples, ...devExamples]);
  const total = corpus.train.length + corpus.dev.length;
  for (const text of cutNotes(recipe, phase, { clips: cropped, texts: cutTexts, total })) note(text);
  // A resumed run keeps its precision unless another one is asked for.
  const precision = isNew || choice !== 'auto' ? askedPrecision : (found.metadata.precision ?? 'float32');
  const metadata = { ...planned, precision, threads: compute.threads ?? null, cropped, cut_texts: cutTexts };

  // 5. The order of the steps, their graph, and the initial values.
  const fed = withVariants(trainExamples, copies);
  const batches = variedBatches(
    trainingBatches(
      { recipe, settings, train: corpus.train, readsAudio: phase.needs.audio },
      trainExamples.map(({ lengths }) => lengths),
    ),
    trainExamples.map(({ id }) => id),
    copies,
    recipe.seed,
  );
  const plan = planSteps(corpus.train.length, { ...passes, seed: recipe.seed, batches });
  const split = batchSplit(settings);
  const validates = corpus.dev.length > 0 && isScored(recipe, name);
  const training = buildTraining(phase, settings, plan, { device: compute.device, precision, validates });
  const lengths = fed.map((example) => ({
    lengths: example.lengths,
    frames: phase.needs.audio ? extracted.frames(example.id) : 0,
  }));
  const searched = [...Array(Math.min(settings.epochs, SIZED_EPOCHS)).keys()].flatMap(batches);
  const onDevice =
    compute.device.kind !== 'cuda'
      ? undefined
      : phaseToSize({
          ...{ phase, settings, plan, validates, precision, training },
          steps: (own) => largestSteps(phase, own, searched, (index) => lengths[index]!),
        });
  const isSparing = onDevice !== undefined && (await reviewDeviceMemory(onDevice, compute, { note, warn }));
  const stepsPerRun = isSparing ? 1 : options.stepsPerRun;
  const evaluation = phaseEvaluationGraph(phase, phase.parameters);
  const initial = isNew
    ? await phase.initial({
        examples: trainExamples,
        features: phase.features(untrainedFeatures(recipe, phase, corpus.train, extracted, compute)),
        seed: recipe.seed,
        from: from && (await openWeightsFile(from.path)),
      })
    : undefined;

  const unlock = await lockRun(folder);
  const worker = startSessionWorker();
  const timings = await recordTimings(folder, metadata, { begun: startedAt, step: start.step, isNew });
  let outcome: 'finished' | 'interrupted' | undefined;
  try {
    // 6. The run folder, and sessions for its graphs.
    if (isNew) await createRun(folder, recipe, metadata);
    await removeTemporaries(folder);
    await settleCheckpoint(folder);
    timings.spent('encoding', encodingSec);
    const trainingModel = await writeModel(folder.trainingModel, training.graph);
    await writeModel(folder.evaluationModel, evaluation);
    const session = await openTrainingSession(worker, trainingModel, compute, training);
    if (initial === undefined) await session.loadState(folder.state);
    else {
      await session.setState(initial);
      for (const value of Object.values(initial)) releaseMemory(value); // the session has its own copy
    }
    const inputs = [...phase.inputs, ...phase.targets];
    const limits = runLimits(device);
    const evaluator = training.evaluation && trainingEvaluator(session, training, inputs, limits);
    options.onStart?.(start.step, totalSteps);

    // 7. The steps, with a validation after each epoch.
    let isFirst = start.epoch === 0;
    const validate = async () => {
      const inferences = await inferAll(devExamples, {
        evaluators: [evaluator!],
        phase,
        features,
        batching: evenBatches(microBatchSize(settings)),
        stop: options.stop,
        onProgress: options.onValidation,
      });
      const whole = requireInferences(devExamples, inferences, DIVERGED);
      const { select, epochs } = settings;
      if (isFirst && select !== 'last' && select !== 'smoothed' && epochs > 1) {
        const outcomes = outcomesOf(devExamples, whole, recipe.labels);
        const metrics = classificationMetrics(outcomes, recipe.labels);
        warn(smallValidationWarning(outcomes, metrics, select, `${name}.select`));
      }
      isFirst = false;
      return validationFigures(devExamples, whole, recipe.labels, selectingMetric(selection));
    };
    const position = await train({
      ...{ folder, session, plan, selection, start, timings },
      graph: training,
      inputs,
      parameterKeys: phase.parameters.trainable.map(({ key }) => key),
      learningRate: settings.learning_rate,
      seed: recipe.seed,
      runLimits: limits,
      largest: largestSizes(phase, fed, features, (settings.views ?? 1) * microBatchSize(settings)),
      ...(split && { split }),
      batch: (indices) =>
        phase.collate(
          withViews(indices, settings).map((index) => fed[index]!),
          features,
          true,
        ),
      ...(evaluator && { validate }),
      keepCheckpoints: recipe.keep_checkpoints,
      idOf: (index) => fed[index]!.id,
      metrics: await openMetrics(folder, start.metricsBytes, {
        step: training.reported,
        validation: validationMetrics(selectingMetric(selection)).map(({ key }) => key),
      }),
      ...(options.onReport && { onReport: options.onReport }),
      ...(options.stop && { stop: options.stop }),
      ...(stepsPerRun && { stepsPerRun }),
      ...(options.saveIntervalSec !== undefined && { saveIntervalSec: options.saveIntervalSec }),
    });

    // 8. The result.
    const graphs = {
      training,
      vocabulary: phase.vocabulary,
      stepsPerEpoch: plan.stepsPerEpoch,
    };
    const steps = onDevice === undefined ? position.step - start.step : 0; // the estimate is for the CPU
    const made = Array.from({ length: steps }, (_, k) => plan.batchOf(start.step + k));
    note(peakMemory(graphs, phase, settings, { batches: made, lengths }));
    const isFinished = isTrainingOver(position, selection);
    if (isFinished) {
      const trained = { epochs: position.epoch, steps: position.step };
      const end = { status: 'finished', selected: position.best, trained } as const;
      const { checkpoint, checkpoints } = (await readMetadata(folder)) ?? metadata;
      await writeMetadata(folder, { ...metadata, ...end, checkpoint, checkpoints } as RunMetadata);
    }
    outcome = isFinished ? 'finished' : 'interrupted';
    return { status: outcome, folder, position, totalSteps };
  } catch (error) {
    throw withMemoryAdvice(error, onDevice, compute.device);
  } finally {
    await timings.end(outcome ?? 'failed');
    await worker.close();
    await unlock();
  }
}

/** A resumed run keeps its number of threads: on the CPU, the last bits of a sum depend on how it is split. */
function computeAsBegun(
  folder: RunFolder,
  { threads: begun }: RunMetadata,
  { compute, onNote }: TrainPhaseOptions,
): ComputeOptions {
  const { threads: given, ...others } = compute;
  if (begun === undefined || begun === (given ?? null)) return compute;
  const threads =
    begun === null ? 'a thread for each core' : `${begun} ${begun === 1 ? 'thread' : 'threads'}`;
  onNote?.(`computing with ${threads}, as the run in ${folder.dir} began`);
  return begun === null ? others : { ...others, threads: begun };
}

/** Reports utterances that are not trained on, and classes without training examples. */
function reviewCorpus({ recipe, corpus }: Experiment, { onNote, onWarning }: TrainPhaseOptions): void {
  const left = Object.entries(corpus.dropped).map(([label, count]) => `${label} ${count}`);
  if (left.length > 0) onNote?.(`left out by the recipe: ${left.join(', ')}`);
  for (const warning of corpus.warnings) onWarning?.(warning);
  const counts = labelCounts(corpus.train, recipe.labels);
  const absent = recipe.labels.filter((_, index) => counts[index] === 0);
  if (absent.length > 0) onWarning?.(`no training utterance has the label ${absent.join(' or ')}`);
}

/** Upper bounds of every symbol over all training batches or micro-batches; they size the dropout pools. */
function largestSizes(
  phase: Phase,
  examples: readonly Example[],
  features: FeatureSource,
  batch: number,
): Sizes {
  const largest: Record<string, number> = {};
  for (const { id, lengths } of examples) {
    const sizes = phase.sizesOf(lengths, phase.needs.audio ? features.frames(id) : 0);
    for (const [symbol, size] of Object.entries(sizes))
      largest[symbol] = Math.max(largest[symbol] ?? 1, size);
  }
  for (const symbol of phase.summedSizes) largest[symbol] = batch * (largest[symbol] ?? 1);
  return { batch, ...largest };
}

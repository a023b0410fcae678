/** @file One stage of one experiment from start, or from where it stopped, to its checkpoint. */

import { errorMessage, InputError, pathExists, writeJsonAtomic } from '../base/index.js';
import { openWeightsFile } from '../checkpoints/index.js';
import type { ValidationDraw } from '../data/corpora/index.js';
import { releaseMemory, startSessionHost } from '../engine/runtime/index.js';
import { selectKeys } from '../evaluation/index.js';
import type { Recipe } from '../recipe/index.js';
import { inspectBackbones, requireSameBackbones } from './backbone-inspection.js';
import { labelCounts } from './corpus.js';
import { countCutTexts, cutNotes } from './cut-inputs.js';
import { peakMemory, vocabularyOf } from './dry-run.js';
import type { Example } from './examples.js';
import {
  type Experiment,
  experimentFeatures,
  openExperiment,
  trainingBatches,
  trainingExamples,
} from './experiment.js';
import type { ComputeOptions, FeatureSource } from './features.js';
import { audioStatistics, initialStage1, initialStage2 } from './initial-parameters.js';
import { openSession, writeModel } from './model-files.js';
import { hasRecipePrompt, recordedPrompt } from './prompts.js';
import {
  type BackboneIdentities,
  begunRun,
  createRun,
  inspectRun,
  lockRun,
  type RunFacts,
  type RunFolder,
  readFacts,
  readPosition,
  recordTimings,
  removeDeadLock,
  removeTemporaries,
  settleCheckpoint,
  stageFolder,
  type TrainingPosition,
  type VerifiedCheckpoint,
  verifyCheckpoint,
  verifyUnfinished,
} from './run/index.js';
import { changedCircumstances, recordedDraw, runFacts, trainedOnBefore } from './run-facts.js';
import { countSteps, planSteps } from './schedule.js';
import { isTrainingOver, type SelectionRule } from './selection.js';
import { stageEvaluationGraph } from './stage.js';
import { startsFromStage1 } from './stage-order.js';
import { accumulationWarning, buildTraining, stageSettings } from './stage-settings.js';
import { checkStage1Recipe } from './stage1-recipe.js';
import { reviewStage2 } from './stage2-review.js';
import { type TrainingControls, trainExperiment } from './train-experiment.js';

export interface StageRunOptions extends TrainingControls {
  readonly recipe: Recipe;
  readonly stage: 1 | 2;
  readonly fold: number | undefined;
  /** Folder of the experiment; the run goes to `<root>/stage<N>[/fold-N]`. */
  readonly root: string;
  readonly compute: ComputeOptions;
  /** Versions to record: emoq, its revision, Node, onnxruntime. */
  readonly versions: Readonly<Record<string, string>>;
  /** Told once when the steps begin: how many are done already, and of how many. */
  readonly onStart?: (step: number, totalSteps: number) => void;
  readonly onNote?: (text: string) => void;
}

export interface StageOutcome {
  /** `already`: the run was finished before. */
  readonly status: 'finished' | 'interrupted' | 'already';
  readonly folder: RunFolder;
  readonly position: TrainingPosition;
  readonly totalSteps: number;
}

const START: TrainingPosition = { step: 0, epoch: 0, metricsBytes: 0, best: null };

/**
 * Trains a stage. The same call goes on with an unfinished run of the same recipe and does nothing for a finished one.
 * The run folder is made when everything that a user can get wrong has been read.
 * @throws InputError for bad input, or a run folder of another recipe
 */
export async function runStage(options: StageRunOptions): Promise<StageOutcome> {
  const { recipe, stage, fold, root, onNote } = options;
  const startedAt = new Date();
  const folder = stageFolder(root, stage, fold);
  const begun = await begunRun(folder);
  const draw = await validationDraw(options, begun);
  const experiment = await openExperiment(recipe, stage, fold, draw, begun && recordedPrompt(folder, begun));
  const { corpus, parameters } = experiment;
  const accumulation = accumulationWarning(recipe, stage);
  const { identities, warnings } = await inspectBackbones(experiment);
  const stage1 = await stage1Checkpoint(options, identities);
  const { epochs, batch_size, warmup_fraction } = stageSettings(recipe, stage);
  const selection = selectionRule(experiment);
  const passes = { epochs, batchSize: batch_size, warmupFraction: warmup_fraction };
  const { totalSteps } = countSteps(corpus.train.length, passes);
  const planned = runFacts(experiment, {
    fold,
    device: options.compute.device,
    threads: options.compute.threads,
    versions: options.versions,
    totalSteps,
    backbones: identities,
    stage1: stage1?.sha256,
  });
  const found = await inspectRun(folder, recipe, planned);
  const { status } = found;
  const start = status === 'new' ? START : ((await readPosition(folder.state)) ?? START);
  if (status === 'finished') {
    await removeDeadLock(folder);
    return { status: 'already', folder, position: start, totalSteps };
  }
  const doubtful = found.status === 'unfinished' ? await verifyUnfinished(folder, found.facts) : undefined;
  if (doubtful !== undefined) options.onWarning?.(doubtful);
  const isNew = status === 'new';
  const ahead = stage === 1 || isNew ? await stage2Ahead(experiment, isNew, options) : undefined;
  const otherSettings =
    stage1 !== undefined && isNew
      ? await checkStage1Recipe(recipe, stageFolder(root, 1, fold), corpus.manifest.sha256)
      : undefined;
  const examples = trainingExamples(experiment);
  const plan = planSteps(corpus.train.length, {
    ...passes,
    seed: recipe.seed,
    batches: trainingBatches(experiment, examples.train),
  });
  for (const text of experiment.backbones.notes) onNote?.(text);
  for (const text of warnings) options.onWarning?.(text);
  reviewCorpus(experiment, options);
  const flattering = stage1 && trainedOnBefore((await readFacts(stageFolder(root, 1, fold)))!, planned);
  if (flattering !== undefined) options.onWarning?.(flattering);
  if (ahead !== undefined) options.onWarning?.(ahead);
  if (otherSettings !== undefined) onNote?.(otherSettings);
  if (accumulation !== undefined) options.onWarning?.(accumulation);
  if (found.status === 'unfinished') {
    onNote?.(`going on after step ${start.step} of ${totalSteps}`);
    const changes = changedCircumstances(found.facts, planned);
    if (changes.length > 0)
      options.onWarning?.(
        `${changes.join('; ')}: the run may end in other last digits than if it had not stopped`,
      );
    if (!hasRecipePrompt(experiment))
      onNote?.(
        `the prompt is that of ${folder.facts}, as the run began; a new run of the recipe has another`,
      );
  }

  const compute = found.status === 'new' ? options.compute : computeAsBegun(folder, found.facts, options);
  compute.onBegin?.();
  const encodingSince = performance.now();
  const features = await experimentFeatures(experiment, [...corpus.train, ...corpus.dev], compute);
  const encodingSec = (performance.now() - encodingSince) / 1000;
  const { cropped } = features;
  const cutTexts = countCutTexts([...examples.train, ...examples.dev]);
  const facts = { ...planned, threads: compute.threads ?? null, cropped, cut_texts: cutTexts };
  const total = corpus.train.length + corpus.dev.length;
  for (const text of cutNotes(experiment, { clips: cropped, texts: cutTexts, total })) onNote?.(text);
  const training = buildTraining(experiment, plan);
  const evaluation = stageEvaluationGraph(experiment.stage, parameters);
  const initial = isNew
    ? await initialParameters(experiment, examples.train, features, stage1?.path)
    : undefined;
  const unlock = await lockRun(folder);
  const host = startSessionHost();
  const timings = await recordTimings(folder, facts, { begun: startedAt, step: start.step, isNew });
  let outcome: 'finished' | 'interrupted' | undefined;
  try {
    if (isNew) await createRun(folder, recipe, facts);
    await removeTemporaries(folder);
    await settleCheckpoint(folder);
    timings.spent('encoding', encodingSec);
    const trainingModel = await writeModel(folder.trainingModel, training.graph);
    const evaluationModel = await writeModel(folder.evaluationModel, evaluation);
    const session = await openSession(host, trainingModel, compute, training);
    if (initial === undefined) await session.loadState(folder.state);
    else {
      await session.setState(initial);
      for (const value of Object.values(initial)) releaseMemory(value); // the session has its copy
    }
    const evaluationSession =
      corpus.dev.length === 0 ? undefined : await openSession(host, evaluationModel, compute);
    options.onStart?.(start.step, totalSteps);
    const position = await trainExperiment(options, experiment, features, {
      folder,
      examples,
      plan,
      selection,
      start,
      training,
      session,
      evaluationSession,
      timings,
    });
    const graphs = {
      training,
      evaluation: evaluationSession && evaluation,
      vocabulary: vocabularyOf(experiment.backbones.configs),
      stepsPerEpoch: plan.stepsPerEpoch,
    };
    const made = Array.from({ length: position.step - start.step }, (_, k) => plan.batchOf(start.step + k));
    const lengths = examples.train.map((example) => ({
      ...example,
      frames: experiment.needsAudio ? features.frames(example.id) : 0,
    }));
    onNote?.(peakMemory(graphs, { recipe, stage }, { batches: made, lengths }));
    const finished = isTrainingOver(position, selection);
    if (finished) {
      const trained = { epochs: position.epoch, steps: position.step };
      const end = { status: 'finished', selected: position.best, trained } as const;
      const { checkpoint, checkpoints } = (await readFacts(folder)) ?? facts;
      await writeJsonAtomic(folder.facts, { ...facts, ...end, checkpoint, checkpoints } as RunFacts);
    }
    outcome = finished ? 'finished' : 'interrupted';
    return { status: outcome, folder, position, totalSteps };
  } finally {
    await timings.end(outcome ?? 'failed');
    await host.close();
    await unlock();
  }
}

/** What decides how epochs are chosen; an {@link Experiment} is one. */
interface SelectionSetting {
  readonly recipe: Recipe;
  readonly stage: { readonly number: 1 | 2 };
  readonly corpus: { readonly dev: { readonly length: number } };
}

/** @throws InputError when patience is asked for and nothing tells a better epoch from a worse one */
export function selectionRule({ recipe, stage, corpus }: SelectionSetting): SelectionRule {
  const { select, select_figure, patience, epochs } = stageSettings(recipe, stage.number);
  const key = `stage${stage.number}`;
  if (patience > 0 && select === 'last')
    throw new InputError(
      `${key}.patience ${patience} waits for a better epoch, and ${key}.select last calls none better; choose ${selectKeys.join(', ')} or smoothed, or patience 0`,
    );
  if (patience > 0 && corpus.dev.length === 0)
    throw new InputError(
      `${key}.patience ${patience} needs a validation set, and there is none; set validation to share or speaker, or patience to 0`,
    );
  return { select, figure: select_figure, patience, epochs };
}

/** A run goes on with the threads that it began with: on the CPU the last bits of a sum depend on how it is shared out. */
function computeAsBegun(
  folder: RunFolder,
  { threads: begun }: RunFacts,
  { compute, onNote }: StageRunOptions,
): ComputeOptions {
  const { threads: given, ...others } = compute;
  if (begun === undefined || begun === (given ?? null)) return compute;
  const threads =
    begun === null ? 'a thread for each core' : `${begun} ${begun === 1 ? 'thread' : 'threads'}`;
  onNote?.(`computing with ${threads}, as the run in ${folder.dir} began`);
  return begun === null ? others : { ...others, threads: begun };
}

/**
 * How the validation set is drawn: as the run that goes on was, or the stage 1 that this stage 2 starts from, which has
 * trained on everybody else. Both may be of an earlier version.
 */
async function validationDraw(
  options: StageRunOptions,
  begun: RunFacts | undefined,
): Promise<ValidationDraw> {
  const { root, fold, onNote } = options;
  const stage1 = followsStage1(options) ? stageFolder(root, 1, fold) : undefined;
  const earlier = begun ?? (stage1 && (await readFacts(stage1)));
  if (earlier === undefined) return 'by-fold';
  if (earlier.validation === undefined && fold !== undefined && earlier.utterances.dev > 0)
    onNote?.(
      'validating on the same utterances as the run of an earlier version that this goes on from; a new run draws them by fold',
    );
  return recordedDraw(earlier);
}

function followsStage1({ recipe, stage }: StageRunOptions): boolean {
  return stage === 2 && startsFromStage1(recipe);
}

/** The stage-1 checkpoint that stage 2 starts from, where it does. @throws InputError where it is not there or damaged */
async function stage1Checkpoint(
  options: StageRunOptions,
  backbones: BackboneIdentities,
): Promise<(VerifiedCheckpoint & { readonly path: string }) | undefined> {
  const { root, fold, onWarning } = options;
  if (!followsStage1(options)) return undefined;
  const folder = stageFolder(root, 1, fold);
  const facts = await readFacts(folder);
  if (facts?.status === 'finished' && (await pathExists(folder.checkpoint))) {
    const verified = await verifyCheckpoint(folder, facts);
    requireSameBackbones(folder, facts, backbones);
    if (verified.warning !== undefined) onWarning?.(verified.warning);
    return { ...verified, path: folder.checkpoint };
  }
  const lacking = facts?.status === 'training' ? 'is not finished' : 'has no checkpoint';
  throw new InputError(
    `stage 2 starts from stage 1, and ${folder.dir} ${lacking}; run stage1 first, or --set stage2.from_stage1=false`,
  );
}

/**
 * What stage 2, or the evaluation behind it, will refuse or lack: found before anything is trained. A run that has begun
 * goes on all the same: it is not changed by that.
 * @returns what to warn of
 * @throws InputError for what stage 2 would refuse of a new run
 */
async function stage2Ahead(
  { recipe, corpus }: Experiment,
  isNew: boolean,
  { fold }: StageRunOptions,
): Promise<string | undefined> {
  try {
    selectionRule({ recipe, stage: { number: 2 }, corpus });
    const warning = await reviewStage2(recipe, corpus);
    return (fold ?? 1) === 1 ? warning : undefined; // one for all folds
  } catch (error) {
    if (isNew || !(error instanceof InputError)) throw error;
    return `stage 2 will not start: ${errorMessage(error)}`;
  }
}

/** Says what of the corpus is not trained on, and which classes it has nothing of. */
function reviewCorpus({ recipe, corpus }: Experiment, { onNote, onWarning }: StageRunOptions): void {
  const left = Object.entries(corpus.dropped).map(([label, count]) => `${label} ${count}`);
  if (left.length > 0) onNote?.(`left out by the recipe: ${left.join(', ')}`);
  for (const warning of corpus.warnings) onWarning?.(warning);
  const counts = labelCounts(corpus.train, recipe.labels);
  const absent = recipe.labels.filter((_, index) => counts[index] === 0);
  if (absent.length > 0) onWarning?.(`no training utterance has the label ${absent.join(' or ')}`);
}

async function initialParameters(
  experiment: Experiment,
  examples: readonly Example[],
  features: FeatureSource,
  stage1: string | undefined,
) {
  const { recipe, stage, parameters, backbones, needsAudio } = experiment;
  const audio =
    needsAudio && stage1 === undefined
      ? await audioStatistics(examples, experiment.collation(features, false), recipe.seed)
      : undefined;
  if (stage.number === 1) return initialStage1(parameters.trainable, backbones, recipe.seed, audio);
  const trained = stage1 === undefined ? undefined : await openWeightsFile(stage1);
  return initialStage2(parameters.trainable, recipe, backbones, trained, audio);
}

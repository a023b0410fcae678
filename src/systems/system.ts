/**
 * @file What a kind of model is to the rest of emoq. A system has a section of the recipe and one phase or several that
 * are trained one after the other; a phase, once opened, is graph fragments with everything that goes into them and comes
 * out of them. Training, inference and experiments know these interfaces and no system.
 */

import type { z } from 'zod';
import type { Checkpoint, ModelIdentity } from '../checkpoints/index.js';
import type { Partition, Utterance } from '../data/corpora/index.js';
import type { StoredFeatures } from '../data/features/index.js';
import type { Graph, Value } from '../engine/onnx/index.js';
import type { Tensor } from '../engine/tensor/index.js';
import type { Batch, GraphInput, ParameterShape, StepLoss } from '../engine/training/index.js';
import type { BatchValues, Dropout, Weights } from '../nn/index.js';
import type { PhaseSettings, Recipe, RecipeProblem } from './settings.js';

/** A kind of model. `R` is its recipe. */
export interface System<R extends Recipe = Recipe> {
  /** Its name in recipes: `system: emoq`. */
  readonly kind: string;
  /** What it is, in a few words, for help texts. */
  readonly title: string;
  /** Its recipes, the keys of all systems included. */
  readonly schema: z.ZodType<R>;
  /** Every phase that it can have, in the order of training, with how messages call it. */
  readonly phaseTitles: Readonly<Record<string, string>>;
  /** Phases that are trained with a prompt. */
  readonly promptedPhases: readonly string[];
  /** Rules between the keys of a recipe, on values that may be of any type. */
  problems(values: Readonly<Record<string, unknown>>): Promise<readonly RecipeProblem[]>;
  /** The phases that lead to the final model of a recipe, in the order of training. */
  phases(recipe: R): readonly string[];
  /** Why a recipe does not have a phase; undefined where it has it. */
  missingPhase(recipe: R, phase: string): MissingPhase | undefined;
  /** Optimizer and selection of a phase. */
  settings(recipe: R, phase: string): PhaseSettings;
  /**
   * What the settings of a phase change that its user may not expect, in one line.
   * @throws InputError for settings that cannot go together
   */
  settingsWarning(recipe: R, phase: string): string | undefined;
  /** The phase whose checkpoint a phase starts from; undefined where it starts from the backbones. */
  startsFrom(recipe: R, phase: string): PhaseStart | undefined;
  /** What an utterance needs to have for a recipe. */
  views(recipe: R): Views;
  /** Why a phase gives no embedding of an utterance, in words; undefined where it gives one. */
  missingEmbedding(recipe: R, phase: string): string | undefined;
  /** What a phase reads, without opening anything. */
  needs(recipe: R, phase: string, start: StartingPoint): PhaseNeeds;
  /**
   * Looks for what a phase will refuse, as far as its backbones are there, before hours are spent on the phases before it.
   * @param corpus undefined where there is none yet
   * @returns what its user should know, in one line
   * @throws InputError for what it would refuse
   */
  review(recipe: R, phase: string, corpus: Partition | undefined): Promise<string | undefined>;
  /**
   * Opens a phase: its backbones as far as it reads them, and its graphs on them.
   * @throws InputError naming the backbone that is missing or broken, or for a phase that the recipe does not have
   */
  open(recipe: R, phase: string, context: PhaseContext): Promise<Phase>;
}

/** Why a recipe lacks a phase, in words that follow its name. */
export interface MissingPhase {
  /** To somebody who wants to train it. */
  readonly what: string;
  /** What to do instead. */
  readonly instead: string;
  /** To somebody who asks for its run. */
  readonly why: string;
}

/** What of an utterance a model is given. */
export interface Views {
  readonly audio: boolean;
  readonly text: boolean;
}

/** How a phase follows another. */
export interface PhaseStart {
  readonly phase: string;
  /** Keys and sections of a recipe that the earlier phase does not read. */
  readonly unreadByEarlier: readonly string[];
  /** Those that only the earlier phase reads. */
  readonly readByEarlierAlone: readonly string[];
  /** The option that makes the phase start from the backbones instead. */
  readonly otherwise: string;
}

/** Where trained parameters come from: the backbones, or a checkpoint that training made before. */
export type StartingPoint = 'backbones' | 'checkpoint';

/** A backbone that a phase reads, by its key in `backbones`. */
export interface BackboneNeed {
  readonly key: string;
  /** How messages call it. */
  readonly title: string;
  readonly weights: boolean;
  readonly tokenizer: boolean;
  /** Reads all of it but the weights, as the phase will. @throws InputError for what the phase would refuse */
  readonly check?: () => Promise<unknown>;
}

/** What a phase reads. */
export interface PhaseNeeds extends Views {
  /** Pretrained models beside the speech encoder, which `audio` says. */
  readonly backbones: readonly BackboneNeed[];
}

/** What a phase is opened for. */
export interface PhaseContext {
  /** `shapes-only`: no weight is opened, and configs of published backbones need not be there. */
  readonly weights: 'present' | 'shapes-only';
  readonly start: StartingPoint;
  /** What it is trained on; undefined for inference, and where there is no corpus yet. */
  readonly corpus?: Partition | undefined;
  /** The prompt that the run has recorded, where there is one. */
  readonly prompt?: Prompt | undefined;
}

/** The prompt that a phase is trained with, as its run records it. */
export interface Prompt {
  readonly system: string;
  readonly user: string;
  readonly answer: string;
  /** In place of `user` where an utterance has no transcript; absent where `user` is for those too. */
  readonly user_without_text?: string;
  /** What {speaker} is filled with; absent without one, and in runs of earlier versions: there it is the name. */
  readonly speaker?: SpeakerMention;
}

export type SpeakerMention = 'name' | 'gender' | 'none';

/** Backbones that a phase computes with, by the recipe's keys. */
export type BackboneIdentities = Readonly<Partial<Record<string, ModelIdentity>>>;

/** The backbones of an opened phase. */
export interface InspectedBackbones {
  readonly identities: BackboneIdentities;
  /** What is unusual about them, in words. */
  readonly warnings: readonly string[];
}

/** The parts of an utterance that a model can be given. */
export type ModelUtterance = Pick<Utterance, 'id' | 'path' | 'text' | 'label' | 'speaker' | 'gender'>;

/** Sizes of the symbolic axes of a batch, by symbol. */
export type Sizes = Readonly<Record<string, number>>;

/** How many tokens an utterance has, by the symbol of the axis that they lie on. */
export interface ExampleLengths {
  readonly inputs: Sizes;
  /** Of what training asks for. */
  readonly targets: Sizes;
}

/** An utterance as a phase reads it, its audio aside. */
export interface Example {
  readonly id: string;
  readonly path: string;
  /** Index into the labels; -1 where the truth is not known. */
  readonly label: number;
  readonly lengths: ExampleLengths;
  /** Tokens of the transcript that the model is not given, beyond the most that it is; absent where there are none. */
  readonly cutTokens?: number;
}

/** An utterance made an example, or why it cannot be one. */
export type Encoded<E extends Example = Example> =
  | { readonly kind: 'example'; readonly example: E }
  | { readonly kind: 'problem'; readonly problem: string };

/** StoredFeatures by utterance id. */
export interface FeatureSource {
  frames(id: string): number;
  read(utterance: { readonly id: string }): Promise<StoredFeatures>;
}

export type Tensors = Record<string, Tensor>;

/** The weights of a phase: which are trained and which stay as they are. */
export interface PhaseParameters {
  readonly trainable: readonly ParameterShape[];
  readonly frozen: readonly ParameterShape[];
}

/** A phase as graph fragments over named weights. */
export interface PhaseGraphs {
  /** Its name in recipes, commands and run folders. */
  readonly name: string;
  /** What inference reads. */
  readonly inputs: readonly GraphInput[];
  /** What a training step reads beside `inputs`. */
  readonly targets: readonly GraphInput[];
  isTrainable(key: string): boolean;
  /** Frozen weights by key, made in the given graph. */
  frozen(graph: Graph): Weights;
  loss(weights: Weights, batch: BatchValues, dropout: Dropout): StepLoss;
  /** Probabilities [N, C], and an embedding [N, d] where the model has one. */
  forward(
    weights: Weights,
    batch: BatchValues,
  ): { readonly probabilities: Value; readonly embedding: Value | undefined };
}

/** What the initial values of a phase's parameters depend on. */
export interface InitialContext<E extends Example = Example> {
  readonly examples: readonly E[];
  /** StoredFeatures of the examples as the phase reads them, see {@link Phase.features}. */
  readonly features: FeatureSource;
  readonly seed: number;
  /** The checkpoint of the phase that this one starts from. */
  readonly from: Checkpoint | undefined;
}

/** A phase, opened. */
export interface Phase<E extends Example = Example> extends PhaseGraphs {
  /** How messages call it: "stage 1". */
  readonly title: string;
  readonly needs: PhaseNeeds;
  readonly parameters: PhaseParameters;
  /** The prompt in use; undefined in a phase without one. */
  readonly prompt: Prompt | undefined;
  /** Whether `prompt` is what a new run would have. */
  readonly hasOwnPrompt: boolean;
  /** Whether the model is told of a speaker's gender. */
  readonly readsGender: boolean;
  /** How much of a transcript the model is given; undefined where it is given all of it or none. */
  readonly textLimit: TextLimit | undefined;
  /** Entries of its tokenizers together, which its process holds. */
  readonly vocabulary: number;
  /** Checkpoints whose weights are read in place. */
  readonly checkpoints: readonly Checkpoint[];
  /** What was decided about the backbones where a config and its weights disagree, for the user. */
  readonly notes: readonly string[];
  /** What is to know of the backbones in a dry run. */
  readonly warnings: readonly string[];
  /** Reads what identifies the backbones, and looks for what is unusual about them. */
  inspectBackbones(): Promise<InspectedBackbones>;
  /** Absent in a phase of shapes only whose tokenizers are not here. */
  readonly encode?: (utterance: ModelUtterance) => Encoded<E>;
  /** Lengths by the characters of a text, for want of a tokenizer; those of a middling utterance without one. */
  estimate(utterance?: Pick<Utterance, 'text'>): ExampleLengths;
  /** StoredFeatures as the phase reads them. */
  features(features: FeatureSource): FeatureSource;
  /**
   * What a batch of this utterance alone is padded to, by symbol.
   * @param frames of its features, before or after {@link Phase.features}
   */
  sizesOf(lengths: ExampleLengths, frames: number): Sizes;
  /** Symbols whose size is a sum over a batch; that of all others is the largest in it. */
  readonly summedSizes: readonly string[];
  /** A padded batch. @param features as {@link Phase.features} gives them */
  collate(examples: readonly E[], features: FeatureSource, withTargets: boolean): Promise<Batch>;
  initial(context: InitialContext<E>): Promise<Tensors>;
}

/** The most tokens of a transcript that a model is given. */
export interface TextLimit {
  readonly tokens: number;
  /** By whom they are read: "the Former". */
  readonly reader: string;
  /** What sets the limit: `max_text_tokens`. */
  readonly cause: string;
}

/**
 * @file The interface between a kind of model and the rest of emoq. A system has a recipe section and one or more
 * phases, trained in order. An opened phase consists of graph fragments and their inputs and outputs. Training,
 * inference and experiments depend only on these interfaces.
 */

import type { z } from 'zod';
import type { MergedDtype } from '../backbones/index.js';
import type { Checkpoint, ModelIdentity } from '../checkpoints/index.js';
import type { Partition, Utterance } from '../data/corpora/index.js';
import type { StoredFeatures } from '../data/features/index.js';
import type { ChatTemplate, TokenizedWord } from '../data/text/index.js';
import type { Graph, Value } from '../engine/onnx/index.js';
import type { StreamedTensor, Tensor } from '../engine/tensor/index.js';
import type { Batch, GraphInput, MemorySlot, ParameterShape, StepLoss } from '../engine/training/index.js';
import type { BatchValues, Dropout, FormerAttention, Precision, Weights } from '../nn/index.js';
import type { PhaseSettings } from './phase-settings.js';
import type { Recipe, RecipeProblem } from './settings.js';

/** A kind of model. `R` is its recipe. */
export interface System<R extends Recipe = Recipe> {
  /** Its name in recipes: `system: emoq`. */
  readonly kind: string;
  /** A short description for help texts. */
  readonly title: string;
  /** The schema of its recipes, including the keys shared by all systems. */
  readonly schema: z.ZodType<R>;
  /** Every phase that it can have, in training order, with its display name. */
  readonly phaseTitles: Readonly<Record<string, string>>;
  /** Phases that are trained with a prompt. */
  readonly promptedPhases: readonly string[];
  /** Phases that give no probabilities of the labels: they are not validated, and their runs not scored. */
  readonly unscoredPhases: readonly string[];
  /** Checks rules between keys; the values may be of any type. */
  problems(values: Readonly<Record<string, unknown>>): Promise<readonly RecipeProblem[]>;
  /** The phases that lead to a recipe's final model, in training order. */
  phases(recipe: R): readonly string[];
  /** Why a recipe does not have a phase; undefined if it does. */
  missingPhase(recipe: R, phase: string): MissingPhase | undefined;
  /** Optimizer and selection of a phase. */
  settings(recipe: R, phase: string): PhaseSettings;
  /**
   * One line on side effects of a phase's settings that users may not expect.
   * @throws InputError for incompatible settings
   */
  settingsWarning(recipe: R, phase: string): string | undefined;
  /** The phase whose checkpoint a phase starts from; undefined if it starts from the backbones. */
  startsFrom(recipe: R, phase: string): PhaseStart | undefined;
  /** The inputs that a recipe requires of an utterance. */
  views(recipe: R): Views;
  /** How many earlier turns of its dialogue a recipe's model is told with an utterance; absent: none. */
  readonly history?: (recipe: R) => number;
  /** Why a phase gives no embedding of an utterance; undefined if it gives one. */
  missingEmbedding(recipe: R, phase: string): string | undefined;
  /** Why a phase has no attention of queries to show, worded to follow its run; undefined if it has. */
  missingAttention(recipe: R, phase: string): string | undefined;
  /** What a phase reads, without opening anything. */
  needs(recipe: R, phase: string, start: StartingPoint): PhaseNeeds;
  /**
   * Checks early for anything a phase would reject, as far as its backbones are present, before earlier phases spend
   * hours on training.
   * @param corpus undefined if there is none yet
   * @returns one-line warnings for the user
   * @throws InputError for anything the phase would reject
   */
  review(recipe: R, phase: string, corpus: Partition | undefined): Promise<string | undefined>;
  /** The recipe of a bundle, whose encoder is frozen; absent if no other key has to change with that. */
  readonly ofBundle?: (recipe: R) => R;
  /**
   * Opens a phase: the backbones it reads, and its graphs.
   * @throws InputError naming the backbone that is missing or broken, or for a phase that the recipe does not have
   */
  open(recipe: R, phase: string, context: PhaseContext): Promise<Phase>;
}

/** Why a recipe lacks a phase, worded to follow its name. */
export interface MissingPhase {
  /** For a user who wants to train it. */
  readonly what: string;
  /** What to do instead. */
  readonly instead: string;
  /** For a user who asks for its run. */
  readonly why: string;
}

/** Which parts of an utterance a model receives. */
export interface Views {
  readonly audio: boolean;
  readonly text: boolean;
}

/** How a phase builds on an earlier one. */
export interface PhaseStart {
  readonly phase: string;
  /** Keys and sections of a recipe that the earlier phase does not read. */
  readonly unreadByEarlier: readonly string[];
  /** Those that only the earlier phase reads. */
  readonly onlyReadByEarlier: readonly string[];
  /** The option that makes the phase start from the backbones instead. */
  readonly otherwise: string;
}

/** Source of the trained parameters: the backbones, or an existing checkpoint. */
export type StartingPoint = 'backbones' | 'checkpoint';

/** A backbone that a phase reads, by its key in `backbones`. */
export interface BackboneNeed {
  readonly key: string;
  /** Its display name. */
  readonly title: string;
  readonly weights: boolean;
  readonly tokenizer: boolean;
  /** Reads everything but the weights, as the phase will. @throws InputError for anything the phase would reject */
  readonly check?: () => Promise<unknown>;
}

/** What a phase reads. */
export interface PhaseNeeds extends Views {
  /** Pretrained models other than the speech encoder, which `audio` covers. */
  readonly backbones: readonly BackboneNeed[];
}

/** What a phase is opened for. */
export interface PhaseContext {
  /** `shapes-only`: no weights are opened, and configs of published backbones may be missing. */
  readonly weights: 'present' | 'shapes-only';
  readonly start: StartingPoint;
  /** The training data; undefined for inference, and if there is no corpus yet. */
  readonly corpus?: Partition | undefined;
  /** The prompt recorded by the run, if any. */
  readonly prompt?: Prompt | undefined;
}

/** The prompt a phase is trained with, as recorded by its run. */
export interface Prompt {
  readonly system: string;
  readonly user: string;
  readonly answer: string;
  /** Replaces `user` for utterances without a transcript; absent if `user` covers those too. */
  readonly user_without_text?: string;
  /** What fills {speaker}; absent without that slot, and in runs of earlier versions, where it is the name. */
  readonly speaker?: SpeakerMention;
  /** The most earlier turns that fill {history}, and the most tokens of them; absent without that slot. */
  readonly history?: number;
  readonly history_tokens?: number;
}

export type SpeakerMention = 'name' | 'gender' | 'none';

/** Backbones that a phase computes with, by the recipe's keys. */
export type BackboneIdentities = Readonly<Partial<Record<string, ModelIdentity>>>;

/** The backbones of an opened phase. */
export interface InspectedBackbones {
  readonly identities: BackboneIdentities;
  /** Warnings about unusual properties. */
  readonly warnings: readonly string[];
}

/** The parts of an utterance that a model can be given. */
export type ModelUtterance = Pick<
  Utterance,
  'id' | 'path' | 'text' | 'label' | 'speaker' | 'gender' | 'words' | 'history'
>;

/** Sizes of the symbolic axes of a batch, by symbol. */
export type Sizes = Readonly<Record<string, number>>;

/** Token counts of an utterance, by the symbol of their axis. */
export interface ExampleLengths {
  readonly inputs: Sizes;
  /** Axes that only training reads. */
  readonly targets: Sizes;
}

/** An utterance as a phase reads it, without its audio. */
export interface Example {
  readonly id: string;
  readonly path: string;
  /** Index into the labels; -1 if the reference is unknown. */
  readonly label: number;
  readonly lengths: ExampleLengths;
  /** Tokens of the transcript beyond the model's limit, which are cut; absent if there are none. */
  readonly cutTokens?: number;
}

/** An encoded utterance, or the reason it cannot be encoded. */
export type Encoded<E extends Example = Example> =
  | { readonly kind: 'example'; readonly example: E }
  | { readonly kind: 'problem'; readonly problem: string };

/** Stored features by utterance id. */
export interface FeatureSource {
  frames(id: string): number;
  read(utterance: { readonly id: string }): Promise<StoredFeatures>;
}

export type Tensors = Record<string, Tensor>;

/** The weights of a phase: trained ones and frozen ones. */
export interface PhaseParameters {
  readonly trainable: readonly ParameterShape[];
  readonly frozen: readonly ParameterShape[];
}

/** A phase as graph fragments over named weights. */
export interface PhaseGraphs {
  /** Its name in recipes, commands and run folders. */
  readonly name: string;
  /** Inputs of inference. */
  readonly inputs: readonly GraphInput[];
  /** Inputs of a training step in addition to `inputs`. */
  readonly targets: readonly GraphInput[];
  isTrainable(key: string): boolean;
  /** Frozen weights by key, created in the given graph; `precision` is that of a language model's products. */
  frozen(graph: Graph, precision: Precision): Weights;
  /** @param memory what the step before left, see {@link memory}; empty where only weights are asked for */
  loss(weights: Weights, batch: BatchValues, dropout: Dropout, memory?: BatchValues): StepLoss;
  /** What a training step hands to the next. */
  readonly memory?: readonly MemorySlot[];
  /**
   * An input that only opened models have: the keys and values of the tokens with which all prompts of a batch begin,
   * which the batch then leaves out. Absent in a phase without prompts.
   */
  readonly past?: GraphInput;
  /**
   * Probabilities [N, C], except in unscored phases, and an embedding [N, d] if the model has one. For a batch with `past`, also the keys and
   * values of the first prompt's own tokens, in the same form.
   */
  forward(
    weights: Weights,
    batch: BatchValues,
  ): {
    readonly probabilities: Value;
    readonly embedding: Value | undefined;
    readonly presentKeyValues?: Value | undefined;
  };
  /** Absent in a phase without a Former. */
  readonly attention?: PhaseAttention;
}

/** What the queries of a phase's Former attend to, as a graph fragment. */
export interface PhaseAttention {
  /** Those inputs of inference that it reads. */
  readonly inputs: readonly GraphInput[];
  /** How many layers the shares are means over: those of the joint self-attention, and those with cross-attention. */
  readonly layers: { readonly joint: number; readonly frames: number };
  shares(weights: Weights, batch: BatchValues): FormerAttention;
}

/**
 * A model of its own: a part of a trained phase's forward graph with its weights. The outputs of one are inputs of later
 * ones, by name; together they give `probabilities` [N, C], and `embedding` [N, d] if the phase has one.
 */
export interface StandaloneModel {
  /** Name of its file, without an extension. */
  readonly name: string;
  /** One line on what it computes. */
  readonly description: string;
  readonly inputs: readonly GraphInput[];
  readonly outputs: readonly string[];
  /** Whether its products are computed in the chosen precision; else in float32. */
  readonly isLanguageModel: boolean;
  /** Its outputs by name. */
  define(weights: Weights, batch: BatchValues): Readonly<Record<string, Value>>;
  /** A weight that it reads, in the type in which it is stored. @throws InputError if it is missing */
  weight(key: string, shape: readonly number[]): StreamedTensor;
}

/** Inputs for a phase's initial parameter values. */
export interface InitialContext<E extends Example = Example> {
  readonly examples: readonly E[];
  /** Features of the examples as the phase reads them, see {@link Phase.features}, but with all layers as pretrained. */
  readonly features: FeatureSource;
  readonly seed: number;
  /** The checkpoint of the phase that this one starts from. */
  readonly from: Checkpoint | undefined;
}

/** An opened phase. */
export interface Phase<E extends Example = Example> extends PhaseGraphs {
  /** Its display name: "stage 1". */
  readonly title: string;
  readonly needs: PhaseNeeds;
  readonly parameters: PhaseParameters;
  /** The prompt in use; undefined in a phase without one. */
  readonly prompt: Prompt | undefined;
  /** Whether `prompt` is the one a new run would use. */
  readonly hasOwnPrompt: boolean;
  /** Whether the model receives the speaker's gender. */
  readonly readsGender: boolean;
  /** The model's limit on transcripts; undefined if it receives all of a transcript or none. */
  readonly textLimit: TextLimit | undefined;
  /** Total number of entries in its tokenizers, which the process holds in memory. */
  readonly vocabulary: number;
  /** Checkpoints whose weights are read in place. */
  readonly checkpoints: readonly Checkpoint[];
  /** The one whose products are computed in the chosen precision, if it is open. */
  readonly languageModel?: Checkpoint | undefined;
  /** For the user: how conflicts between a config and its weights were resolved. */
  readonly notes: readonly string[];
  /** Warnings about the backbones in a dry run. */
  readonly warnings: readonly string[];
  /** Reads what identifies the backbones, and checks for unusual properties. */
  inspectBackbones(): Promise<InspectedBackbones>;
  /** Absent in a shapes-only phase without local tokenizers. */
  readonly encode?: (utterance: ModelUtterance) => Encoded<E>;
  /** The words of a transcript as the Former reads them; absent in a phase whose Former reads none. */
  readonly words?: (text: string) => readonly TokenizedWord[];
  /**
   * Estimates lengths from character counts when there is no tokenizer; without an utterance, those of an average one.
   */
  estimate(utterance?: Pick<Utterance, 'text' | 'history'>): ExampleLengths;
  /** The constant beginnings of its prompts, the longest first; absent in a phase without prompts or tokenizers. */
  readonly promptStarts?: readonly PromptStart<E>[];
  /** Converts stored features to the form the phase reads. */
  features(features: FeatureSource): FeatureSource;
  /**
   * The padded size of a batch of only this utterance, by symbol.
   * @param frames of its features, before or after {@link Phase.features}
   */
  sizesOf(lengths: ExampleLengths, frames: number): Sizes;
  /** Symbols with sizes that add up over a batch; others take the largest size in it. */
  readonly summedSizes: readonly string[];
  /** A padded batch. @param features as returned by {@link Phase.features} */
  collate(examples: readonly E[], features: FeatureSource, withTargets: boolean): Promise<Batch>;
  initial(context: InitialContext<E>): Promise<Tensors>;
  /**
   * The forward graph over trained weights, as models that need neither the run nor the backbones; a LoRA is merged.
   * Absent in a shapes-only phase.
   * @param trained the checkpoint of its run
   * @param mergedDtype type of the weights with a merged LoRA
   */
  readonly standalone?: (
    trained: Checkpoint,
    mergedDtype: MergedDtype,
  ) => Promise<readonly StandaloneModel[]>;
  /** The word that stands for each label in the answer; undefined without a language model. */
  readonly labelWords?: readonly string[] | undefined;
  /** How prompts are written around the texts of the template: the language model's chat; undefined without one. */
  readonly chat?: ChatTemplate | undefined;
}

/** The tokens with which all prompts of a phase begin: what precedes the first slot of the template. */
export interface PromptStart<E extends Example = Example> {
  /** A batch of one prompt of these tokens alone, and next to nothing besides. */
  batch(): Promise<Batch>;
  /** An example without them; undefined if its prompt does not begin with them, or has no further tokens. */
  after(example: E): E | undefined;
}

/** The limit on a transcript's tokens. */
export interface TextLimit {
  readonly tokens: number;
  /** The component that reads them: "the Former". */
  readonly reader: string;
  /** The source of the limit: `max_text_tokens`. */
  readonly cause: string;
}

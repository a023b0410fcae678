/**
 * @file The recipe schema: every key with its range, its default, what it means, and whether the paper gives it.
 * A recipe's YAML keys are its TypeScript keys, so what is validated, dumped and used has one spelling.
 */

import { z } from 'zod';

/** Where a key's value comes from: the paper, our own choice, or it only wires things together. */
export type Origin = 'paper' | 'not in the paper' | 'plumbing';

declare module 'zod' {
  interface GlobalMeta {
    origin?: Origin;
  }
}

const paper = <T extends z.ZodType>(description: string, schema: T): T =>
  schema.meta({ origin: 'paper', description });
const ours = <T extends z.ZodType>(description: string, schema: T): T =>
  schema.meta({ origin: 'not in the paper', description });
const plumbing = <T extends z.ZodType>(description: string, schema: T): T =>
  schema.meta({ origin: 'plumbing', description });

const atLeast = (minimum: number) => z.number().min(minimum);
const whole = (minimum: number) => z.int().min(minimum);
const fraction = () => z.number().min(0).max(1);
const below1 = () => z.number().min(0).lt(1);
const text = () => z.string().min(1);
const seed = () => whole(0).max(4294967295);
const percentOrNull = () => z.number().min(0).max(100).nullable();

/** Projections that every family of language models has. */
export const DEFAULT_LORA_TARGETS: readonly string[] = ['q_proj', 'k_proj', 'v_proj', 'o_proj'];

/** Keys that both stages share. `epochs` is the only default that differs. */
const optimizer = (epochs: number) => ({
  epochs: ours('passes over the training utterances', whole(1).default(epochs)),
  batch_size: paper('utterances in an optimizer step', whole(1).default(8)),
  accumulate: ours(
    'micro-batches that a batch is cut into, gradients summed: less memory; the contrastive loss compares within each',
    whole(1).default(1),
  ),
  learning_rate: paper('peak learning rate of AdamW', z.number().gt(0).max(1).default(1e-5)),
  warmup_fraction: ours('share of all steps over which the rate rises from 0', fraction().default(0.1)),
  weight_decay: ours('decoupled weight decay', fraction().default(0.01)),
  grad_clip: ours('largest global gradient norm; 0 clips nothing', atLeast(0).default(1)),
  adam_beta1: ours('decay of the first moment', below1().default(0.9)),
  adam_beta2: ours('decay of the second moment', below1().default(0.999)),
  adam_eps: ours('added to the root of the second moment', z.number().gt(0).max(1).default(1e-8)),
  activation_checkpointing: ours(
    "compute the inner values of the models' layers twice instead of keeping them: less memory, more time",
    z.boolean().default(false),
  ),
  batches: ours(
    'who shares a batch: shuffled; balanced, pairs of one class, all classes equally often; or length, of like length',
    z.enum(['shuffled', 'balanced', 'length']).default('shuffled'),
  ),
});

const patience = () =>
  ours(
    'epochs in a row without a better one by select that end the stage; 0 trains all epochs',
    whole(0).default(0),
  );
const select = () =>
  ours(
    'which epoch is kept: the best on the validation set by this metric, smoothed over epochs, or the last',
    z.enum(['last', 'wa', 'ua', 'wf1', 'loss', 'smoothed']).default('wf1'),
  );
const selectFigure = () =>
  ours(
    'figure that select: smoothed averages over an epoch and the ones before and after it',
    z.enum(['wa', 'ua', 'wf1', 'loss']).default('wf1'),
  );

const figures = {
  wa: paper('weighted accuracy, percent', percentOrNull()),
  ua: paper('unweighted accuracy, percent', percentOrNull()),
  wf1: paper('weighted F1, percent', percentOrNull()),
};

export const recipeSchema = z.strictObject({
  name: plumbing('names the run folder; default the file name', z.string().regex(/^[A-Za-z0-9][\w.-]*$/)),
  manifest: plumbing(
    'prepared corpus, relative to the working directory; default data/<name>/manifest.csv',
    text(),
  ),
  labels: paper(
    'the classes, in the order of every output; default the labels of the manifest',
    z.array(text()).min(2),
  ),
  label_map: paper(
    'corpus label -> label, before other labels are dropped',
    z.record(text(), text()).default({}),
  ),
  id_pattern: ours(
    'regular expression: only utterances whose id matches; null takes all',
    z
      .string()
      .min(1)
      .refine(isRegularExpression, { error: 'is not a regular expression' })
      .nullable()
      .default(null),
  ),
  strip_tags: ours(
    'take [LAUGHTER] and all else in square brackets out of transcripts',
    z.boolean().default(false),
  ),
  label_words: ours(
    'label -> emotion word in the answer; default the label itself',
    z.record(text(), text()).default({}),
  ),
  folds: paper('none, or session: fold N holds out session N', z.enum(['none', 'session']).default('none')),
  validation: ours(
    "the corpus's dev split, none, one of the training speakers, or a share of each training label",
    z.enum(['split', 'none', 'speaker', 'share']).default('split'),
  ),
  validation_share: ours('size of the validation set for share', z.number().gt(0).lt(1).default(0.1)),
  backbones: z
    .strictObject({
      encoder: paper(
        'speech encoder, HuBERT or wav2vec 2.0: a Hugging Face name or a folder; null where encoder_onnx stands alone',
        text().nullable().default('facebook/hubert-large-ll60k'),
      ),
      encoder_onnx: plumbing(
        'an exported speech encoder (.onnx) to run in place of encoder; null runs that',
        text().nullable().default(null),
      ),
      former: paper('RoBERTa that the Former starts from', text().default('FacebookAI/roberta-base')),
      llm: paper(
        'language model, Qwen2, Qwen3 or Llama: a Hugging Face name or a folder',
        text().default('Qwen/Qwen2.5-7B-Instruct'),
      ),
    })
    .prefault({}),
  inputs: paper('what the system is given (table 4)', z.enum(['both', 'audio', 'text']).default('both')),
  fusion: paper(
    'former, or none: audio frames go into the prompt without the EmoQ-Former (table 4)',
    z.enum(['former', 'none']).default('former'),
  ),
  keep_checkpoints: plumbing(
    "the last epochs' checkpoints kept in checkpoints/, beside the selected one; 0 keeps none",
    whole(0).default(1),
  ),
  max_audio_sec: ours('longer clips are cut to this', z.number().gt(0).max(3600).default(30)),
  max_text_tokens: ours('longer transcripts are cut to this', whole(1).max(32768).default(128)),
  seed: ours('of initial weights, order, dropout and validation choice', seed().default(1)),
  split_seed: ours(
    'of the validation choice alone, in place of seed; null is seed',
    seed().nullable().default(null),
  ),
  former: z
    .strictObject({
      queries: ours('number of learned queries N_q (eq. 1)', whole(1).default(32)),
      cross_attention_every: ours('a cross-attention (eq. 3) in every how many layers', whole(1).default(2)),
      pooling_heads: ours('heads of the attentive pooling', whole(1).default(8)),
      dropout: ours('dropout of hidden states', below1().default(0.1)),
      attention_dropout: ours('dropout of attention weights', below1().default(0.1)),
      train_word_embeddings: ours("train RoBERTa's word embeddings too", z.boolean().default(false)),
      head_hidden: ours('hidden width of the auxiliary MLP head', whole(1).default(768)),
    })
    .prefault({}),
  projector: z
    .strictObject({
      hidden: ours('hidden width of the projector; 0 is a single linear layer', whole(0).default(0)),
      slots: ours(
        'without a Former: the most slots that a clip takes in the prompt, frames averaged to fit',
        whole(1).max(4096).default(64),
      ),
    })
    .prefault({}),
  lora: z
    .strictObject({
      rank: paper('rank r', whole(1).default(16)),
      alpha: ours('scale: the update is (alpha / r) B A', z.number().gt(0).default(32)),
      dropout: paper('dropout before A', below1().default(0.1)),
      targets: ours(
        'projections of the LLM that are adapted',
        // Which names there are the models' families say.
        z
          .array(text())
          .min(1)
          .default([...DEFAULT_LORA_TARGETS]),
      ),
    })
    .prefault({}),
  prompt: z
    .strictObject({
      system: ours(
        'system part, with {labels}; null is the built-in text, "" leaves it out',
        z.string().nullable().default(null),
      ),
      user: ours(
        'user part, with {labels} {speaker} {gender} {transcript} <AUDIO>; null is the built-in text',
        text().nullable().default(null),
      ),
      speaker: ours(
        'what {speaker} is: the name, the gender, none, or auto: the name where the test knows it from training',
        z.enum(['auto', 'name', 'gender', 'none']).default('auto'),
      ),
      answer: paper('how the assistant part begins', text().default('Emotion:')),
    })
    .prefault({}),
  stage1: z
    .strictObject({
      ...optimizer(10),
      scl_weight: paper(
        'weight of the contrastive loss (eq. 6); 0 leaves it out (table 5)',
        atLeast(0).default(1),
      ),
      scl_temperature: paper('tau of the contrastive loss (eq. 4)', z.number().gt(0).default(0.07)),
      focal_weight: paper(
        'lambda, weight of the focal loss (eq. 6); 0 leaves it out (table 5)',
        atLeast(0).default(1),
      ),
      focal_gamma: paper('gamma of the focal loss (eq. 5)', atLeast(0).default(2)),
      focal_alpha: ours(
        'class weights of the focal loss, from the training counts: inverse frequency, or effective number',
        z.enum(['inverse', 'effective']).default('inverse'),
      ),
      focal_alpha_beta: ours(
        'beta of the effective number (Cui et al., 2019): 0 weighs classes alike, near 1 inversely',
        below1().default(0.999),
      ),
      select: select(),
      select_figure: selectFigure(),
      patience: patience(),
    })
    .prefault({}),
  stage2: z
    .strictObject({
      ...optimizer(3),
      emotion_token_weight: ours(
        'weight of emotion-word tokens in the loss (eq. 7)',
        z.number().gt(0).default(5),
      ),
      from_stage1: paper(
        "start from stage 1's Former; false is end to end (table 6)",
        z.boolean().default(true),
      ),
      select: select(),
      select_figure: selectFigure(),
      patience: patience(),
    })
    .prefault({}),
  paper: z
    .strictObject({
      table: paper('number of the table in the paper', whole(1)),
      ...figures,
      best_earlier: z
        .strictObject({ ...figures })
        .nullable()
        .default(null),
    })
    .nullable()
    .default(null),
});

/** Whether the `u` flag's syntax takes it. */
function isRegularExpression(pattern: string): boolean {
  try {
    return Boolean(new RegExp(pattern, 'u'));
  } catch {
    return false;
  }
}

/** A resolved recipe: every key has its value. */
export type Recipe = z.output<typeof recipeSchema>;

/** One leaf key of the schema. */
export interface RecipeKey {
  /** Dotted, as `--set` takes it. */
  readonly path: string;
  readonly origin: Origin;
  readonly description: string;
}

/** Every leaf key in schema order. */
export function recipeKeys(): RecipeKey[] {
  return leafKeys(recipeSchema, []);
}

/** Names of the keys inside the section at `path` ([] is the recipe itself); undefined where it is no section. */
export function sectionKeys(path: readonly PropertyKey[]): string[] | undefined {
  let schema: z.ZodType | undefined = recipeSchema;
  for (const key of path) schema = schema && shapeOf(schema)?.[String(key)];
  const shape = schema && shapeOf(schema);
  return shape && Object.keys(shape);
}

function leafKeys(schema: z.ZodType, path: readonly string[]): RecipeKey[] {
  const shape = shapeOf(schema);
  if (shape) return Object.entries(shape).flatMap(([key, value]) => leafKeys(value, [...path, key]));
  const { origin, description } = schema.meta() ?? {};
  if (origin === undefined || description === undefined) {
    throw new Error(`recipe key ${path.join('.')} does not say whether the paper gives it`);
  }
  return [{ path: path.join('.'), origin, description }];
}

/** Keys and schemas of a section; undefined for a plain value. */
function shapeOf(schema: z.ZodType): Record<string, z.ZodType> | undefined {
  let inner: unknown = schema;
  while (inner instanceof z.ZodDefault || inner instanceof z.ZodPrefault || inner instanceof z.ZodNullable) {
    inner = inner.unwrap();
  }
  return inner instanceof z.ZodObject ? (inner.shape as Record<string, z.ZodType>) : undefined;
}

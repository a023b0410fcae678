/**
 * @file The keys of an EmoQ recipe: range, default, description, and whether the paper gives the value. Also the rules
 * between keys, and the Former that they describe.
 */

import { z } from 'zod';
import { didYouMean, InputError } from '../../base/index.js';
import {
  FORMER_PREFIX,
  type FormerConfig,
  loraStarts,
  type RobertaConfig,
  WORD_EMBEDDINGS_KEY,
} from '../../nn/index.js';
import { affectiveLossKeys } from '../affective-loss.js';
import { optimizerKeys, selectionKeys } from '../phase-settings.js';
import {
  audioKeys,
  below1,
  checkpointKeys,
  corpusKeys,
  DEFAULT_SYSTEM,
  divisionKeys,
  encoderKeys,
  encoderProblems,
  isSection,
  ours,
  paper,
  paperKeys,
  type Recipe,
  type RecipeProblem,
  seedKeys,
  stringEntries,
  stringList,
  text,
  trainsEncoder,
  whole,
} from '../settings.js';

/** Projections that exist in every family of language models. */
export const DEFAULT_LORA_TARGETS: readonly string[] = ['q_proj', 'k_proj', 'v_proj', 'o_proj'];

export const emoqSchema = z.strictObject({
  ...corpusKeys,
  label_words: ours(
    'label -> emotion word in the answer; default the label itself',
    z.record(text(), text()).default({}),
  ),
  ...divisionKeys,
  backbones: z
    .strictObject({
      ...encoderKeys(),
      former: paper('RoBERTa that the Former starts from', text().default('FacebookAI/roberta-base')),
      llm: paper(
        'language model: a Hugging Face name or a folder',
        text().default('Qwen/Qwen2.5-7B-Instruct'),
      ),
    })
    .prefault({}),
  inputs: paper('what the system is given (table 4)', z.enum(['both', 'audio', 'text']).default('both')),
  fusion: paper(
    'former, or none: audio frames go into the prompt without the EmoQ-Former (table 4)',
    z.enum(['former', 'none']).default('former'),
  ),
  ...checkpointKeys,
  ...audioKeys,
  max_text_tokens: ours('longer transcripts are cut to this', whole(1).max(32768).default(128)),
  ...seedKeys,
  former: z
    .strictObject({
      layers: ours(
        "RoBERTa's layers that the Former has: all, or the first N",
        z
          .union([z.literal('all'), whole(1)], { error: 'must be all, or a number of layers from 1' })
          .default('all'),
      ),
      queries: ours('number of learned queries N_q (eq. 1)', whole(1).default(32)),
      cross_attention_every: ours('a cross-attention (eq. 3) in every how many layers', whole(1).default(2)),
      pooling_heads: ours('heads of the attentive pooling', whole(1).default(8)),
      residual: ours(
        "what bypasses the Former's layers: none, or the mean of the audio frames, projected and added to the pooled queries",
        z.enum(['none', 'mean']).default('none'),
      ),
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
      use_rslora: ours(
        'scale by alpha / sqrt(r), for which a larger rank does not learn more slowly',
        z.boolean().default(false),
      ),
      init: ours(
        "what A and B start from: kaiming, random and zero; or pissa, the weight's largest singular values",
        z.enum(loraStarts).default('kaiming'),
      ),
      dropout: paper('dropout before A', below1().default(0.1)),
      targets: ours(
        'projections of the LLM that are adapted',
        // The model families define which names exist.
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
        'user part, with {labels} {speaker} {gender} {history} {transcript} <AUDIO>; null is the built-in text',
        text().nullable().default(null),
      ),
      speaker: ours(
        'what {speaker} is: the name, the gender, none, or auto: the name where the test knows it from training',
        z.enum(['auto', 'name', 'gender', 'none']).default('auto'),
      ),
      history: ours(
        'how many earlier turns of its dialogue an utterance comes with, as {history}; 0 is none',
        whole(0).max(1000).default(0),
      ),
      history_tokens: ours(
        'the most tokens of {history}; of more, the oldest turns are left out',
        whole(1).max(32768).default(512),
      ),
      answer: paper('how the assistant part begins', text().default('Emotion:')),
    })
    .prefault({}),
  stage1: z
    .strictObject({
      ...optimizerKeys({ epochs: 10, groups: ['former', 'roberta', 'head'] }),
      ...affectiveLossKeys(),
      views: ours(
        'times that each utterance is in its batch, under dropout masks of its own; 2 gives every anchor of the contrastive loss a positive',
        whole(1).max(2).default(1),
      ),
      scl_queue: ours(
        'embeddings of earlier batches that anchors of the contrastive loss are compared with too; 0 for none',
        whole(0).max(65536).default(0),
      ),
      ...selectionKeys(),
    })
    .prefault({}),
  stage2: z
    .strictObject({
      ...optimizerKeys({ epochs: 3, groups: ['former', 'roberta', 'projector', 'lora'] }),
      emotion_token_weight: ours(
        'weight of emotion-word tokens in the loss (eq. 7)',
        z.number().gt(0).default(5),
      ),
      from_stage1: paper(
        "start from stage 1's Former; false is end to end (table 6)",
        z.boolean().default(true),
      ),
      ...selectionKeys(),
    })
    .prefault({}),
  ...paperKeys,
});

/** A resolved EmoQ recipe: every key has its value. */
export type EmoqRecipe = z.output<typeof emoqSchema>;

/** Narrows a recipe to an EmoQ recipe. @throws InputError, beginning with `what`, if it belongs to another system */
export function requireEmoq(recipe: Recipe, what: string): EmoqRecipe {
  if (recipe.system === DEFAULT_SYSTEM) return recipe as EmoqRecipe;
  throw new InputError(`${what} is of system ${recipe.system}, not of ${DEFAULT_SYSTEM}`);
}

/** The part of a recipe that determines the Former. */
export type FormerSettings = Pick<
  EmoqRecipe,
  'backbones' | 'encoder' | 'inputs' | 'fusion' | 'seed' | 'former'
>;

/** The defaults of every recipe. */
export function defaultFormerSettings(): FormerSettings {
  const keys = {
    backbones: true,
    encoder: true,
    inputs: true,
    fusion: true,
    seed: true,
    former: true,
  } as const;
  return emoqSchema.pick(keys).parse({});
}

type Values = Readonly<Record<string, unknown>>;

/** Problems that involve several values of a recipe. */
export async function emoqProblems(values: Values): Promise<RecipeProblem[]> {
  const { stage1 } = values;
  const hasNoLoss = isSection(stage1) && stage1.scl_weight === 0 && stage1.focal_weight === 0;
  return [
    ...labelWordProblems(values),
    ...(values.inputs === 'text' ? [] : encoderProblems(values, ' (inputs: text needs none)')),
    ...trainingProblems(values),
    ...residualProblems(values),
    ...(hasNoLoss
      ? [{ path: ['stage1', 'focal_weight'], what: 'with scl_weight 0 too, stage 1 has no loss' }]
      : []),
    ...(await promptProblems(values)),
    ...(await targetProblems(values)),
  ];
}

/** Trained layers of the encoder need a Former that reads their frames. */
function trainingProblems({ encoder, inputs, fusion }: Values): RecipeProblem[] {
  const obstacle =
    inputs === 'text'
      ? 'with inputs: text nothing reads the encoder'
      : fusion === 'none'
        ? 'with fusion: none frames are averaged before the model reads them'
        : undefined;
  if (obstacle === undefined || !trainsEncoder(encoder)) return [];
  return [{ path: ['encoder', 'train'], what: `trains layers of the encoder, but ${obstacle}` }];
}

/** A residual needs audio. */
function residualProblems({ former, inputs }: Values): RecipeProblem[] {
  if (inputs !== 'text' || !isSection(former) || former.residual !== 'mean') return [];
  return [{ path: ['former', 'residual'], what: 'is the mean of audio frames, but inputs: text reads none' }];
}

/** Every label needs a word of its own. */
function labelWordProblems(values: Values): RecipeProblem[] {
  const problems: RecipeProblem[] = [];
  const labels = stringList(values.labels) ?? [];
  if (labels.length === 0) return [];
  const words = new Map<string, string>(labels.map((label) => [label, label]));
  for (const [label, word] of stringEntries(values.label_words)) {
    if (labels.includes(label)) words.set(label, word);
    else
      problems.push({
        path: ['label_words', label],
        what: `is not one of the labels${didYouMean(label, labels)}`,
      });
  }
  const taken = new Map<string, string>();
  for (const [label, word] of words) {
    const other = taken.get(word);
    if (other !== undefined) {
      const path = [
        'label_words',
        isSection(values.label_words) && label in values.label_words ? label : other,
      ];
      problems.push({ path, what: `"${word}" is the word of both ${other} and ${label}` });
    }
    taken.set(word, label);
  }
  return problems;
}

/** Problems in the parts of a custom prompt. */
async function promptProblems(values: Values): Promise<RecipeProblem[]> {
  const { prompt } = values;
  if (!isSection(prompt)) return [];
  const { checkPromptTemplate, DEFAULT_PROMPT } = await import('../../data/text/index.js');
  const parts = Object.keys(DEFAULT_PROMPT).flatMap((part): RecipeProblem[] => {
    const text = prompt[part];
    if (typeof text !== 'string' || text === DEFAULT_PROMPT[part as keyof typeof DEFAULT_PROMPT]) return [];
    try {
      checkPromptTemplate({ ...DEFAULT_PROMPT, [part]: text }, values.inputs !== 'text');
      return [];
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      return [{ path: ['prompt', part], what: error.message.replace(/^the prompt's \w+ part /, '') }];
    }
  });
  return [...parts, ...historyProblems(prompt, values.inputs)];
}

/** Earlier turns and the slot that they fill need each other. */
function historyProblems({ history = 0, user }: Values, inputs: unknown): RecipeProblem[] {
  const turns = { path: ['prompt', 'history'] };
  const hasSlot = typeof user === 'string' && user.includes('{history}');
  if (history === 0) {
    const what = 'has {history}, but prompt.history is 0; say how many turns, or take it out';
    return hasSlot ? [{ path: ['prompt', 'user'], what }] : [];
  }
  if (inputs === 'audio') {
    return [
      {
        ...turns,
        what: 'is of words said before, but with inputs: audio the model reads no words; set it to 0',
      },
    ];
  }
  if (typeof user !== 'string' || hasSlot) return [];
  return [{ ...turns, what: 'needs the placeholder {history} in prompt.user, where the turns go' }];
}

/**
 * LoRA targets that no family of language models has. Whether the recipe's own model has them is checked when it is
 * opened.
 */
async function targetProblems({ lora }: Values): Promise<RecipeProblem[]> {
  const targets = isSection(lora) ? (stringList(lora.targets) ?? []) : [];
  if (targets.every((target) => target === '' || DEFAULT_LORA_TARGETS.includes(target))) return [];
  const { allLoraTargets } = await import('../../backbones/index.js');
  return targets.flatMap((target, index): RecipeProblem[] => {
    if (target === '' || allLoraTargets.some((known) => known === target)) return [];
    const hint = didYouMean(target, allLoraTargets);
    const what = `must be one of ${allLoraTargets.join(', ')}, not ${JSON.stringify(target)}${hint}`;
    return [{ path: ['lora', 'targets', index], what }];
  });
}

/** The Former of a recipe. @throws InputError when its sizes are inconsistent */
export function formerConfig(
  recipe: Pick<EmoqRecipe, 'former' | 'backbones'>,
  encoder: { readonly hiddenSize: number },
  roberta: RobertaConfig,
): FormerConfig {
  const { layers, queries, cross_attention_every, pooling_heads, dropout, attention_dropout } = recipe.former;
  const { residual, train_word_embeddings } = recipe.former;
  if (layers !== 'all' && layers > roberta.numHiddenLayers) {
    throw new InputError(
      `former.layers ${layers} is more than the ${roberta.numHiddenLayers} layers of ${recipe.backbones.former}`,
    );
  }
  if (roberta.hiddenSize % pooling_heads !== 0) {
    throw new InputError(
      `former.pooling_heads ${pooling_heads} does not divide the width ${roberta.hiddenSize} of ${recipe.backbones.former}`,
    );
  }
  return {
    roberta: layers === 'all' ? roberta : { ...roberta, numHiddenLayers: layers },
    audioWidth: encoder.hiddenSize,
    queries,
    crossAttentionEvery: cross_attention_every,
    poolingHeads: pooling_heads,
    residual,
    dropout,
    attentionDropout: attention_dropout,
    trainWordEmbeddings: train_word_embeddings,
  };
}

/** Word embeddings stay frozen unless the recipe trains them; all other parameters of the Former are trained. */
export function trainsFormerKey({ former }: Pick<EmoqRecipe, 'former'>, key: string): boolean {
  return former.train_word_embeddings || key !== FORMER_PREFIX + WORD_EMBEDDINGS_KEY;
}

/** The keys that determine the stages; an {@link EmoqRecipe} has them. */
export type StageKeys = Pick<EmoqRecipe, 'inputs' | 'fusion'> & {
  readonly stage2: Pick<EmoqRecipe['stage2'], 'from_stage1'>;
};

/** Whether there is a stage 1 to train and evaluate. It trains the Former, also on text alone. */
export function hasStage1({ fusion }: Pick<EmoqRecipe, 'fusion'>): boolean {
  return fusion === 'former';
}

/**
 * Whether stage 2 has a Former. It has none without fusion, or on text alone, where the prompt already contains the
 * transcript.
 */
export function hasFormer({ inputs, fusion }: Pick<EmoqRecipe, 'inputs' | 'fusion'>): boolean {
  return inputs !== 'text' && fusion === 'former';
}

/** Whether stage 2 starts from the Former of stage 1: if it has one and the recipe asks for it. */
export function startsFromStage1(recipe: StageKeys): boolean {
  return hasFormer(recipe) && recipe.stage2.from_stage1;
}

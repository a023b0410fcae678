/** @file EmoQ as a system: its two stages, what they read, and how they are opened. */

import { readDecoder } from '../../backbones/index.js';
import { labelCounts } from '../../data/corpora/index.js';
import type { RobertaConfig } from '../../nn/index.js';
import { accumulationWarning } from '../affective-loss.js';
import { equallyMixed, initialEncoderLayers, standaloneWithEncoderLayers } from '../encoder-layers.js';
import { phaseParameters } from '../phase-graphs.js';
import { audioStatistics, pooledFeatures } from '../speech-features.js';
import type {
  FeatureSource,
  Phase,
  PhaseContext,
  PhaseNeeds,
  StartingPoint,
  System,
  TextLimit,
} from '../system.js';
import { averageLengths, collate, estimatedLengths } from './collation.js';
import { describeBackbones, type EmoqBackbones, inspectBackbones, openBackbones } from './emoq-backbones.js';
import { type EmoqExample, keptWords, makeExample, promptSetting } from './examples.js';
import { initialStage1, initialStage2 } from './initial-values.js';
import { stageGraphs, stageNeeds } from './needs.js';
import { promptStarts } from './prompt-start.js';
import { fittedExample, isSamePrompt, namesGender, recipePrompt, reviewStage2 } from './run-prompt.js';
import {
  type EmoqRecipe,
  emoqProblems,
  emoqSchema,
  formerConfig,
  hasFormer,
  hasStage1,
  startsFromStage1,
} from './settings.js';
import { stage2Config } from './stage2.js';
import { stage1Standalone, stage2Standalone } from './standalone-models.js';

const STAGE1 = 'stage1';
const STAGE2 = 'stage2';
const TITLES: Readonly<Record<string, string>> = { [STAGE1]: 'stage 1', [STAGE2]: 'stage 2' };

/** EmoQ (the paper): a Q-Former over speech features and text, and a language model that reads its embedding. */
export const emoq: System<EmoqRecipe> = {
  kind: 'emoq',
  title: 'EmoQ-Former and a language model with LoRA',
  schema: emoqSchema,
  phaseTitles: TITLES,
  promptedPhases: [STAGE2],
  unscoredPhases: [],
  problems: emoqProblems,
  phases: (recipe) => (startsFromStage1(recipe) ? [STAGE1, STAGE2] : [STAGE2]),
  missingPhase: (recipe, phase) =>
    phase === STAGE1 && !hasStage1(recipe)
      ? {
          what: 'has no Former to train in stage 1 (fusion is none)',
          instead: 'run stage2 alone',
          why: 'has no stage 1, because without a Former (fusion is none) there is none to train',
        }
      : undefined,
  settings: (recipe, phase) => (phase === STAGE1 ? recipe.stage1 : recipe.stage2),
  settingsWarning: ({ stage1 }, phase) =>
    phase === STAGE1 ? accumulationWarning(STAGE1, stage1) : undefined,
  startsFrom: (recipe, phase) =>
    phase === STAGE2 && startsFromStage1(recipe)
      ? {
          phase: STAGE1,
          unreadByEarlier: [
            ...['name', 'label_words', 'backbones.llm', 'projector', 'lora', 'prompt', 'stage2'],
          ],
          onlyReadByEarlier: ['stage1'],
          otherwise: '--set stage2.from_stage1=false',
        }
      : undefined,
  history: ({ prompt }) => prompt.history,
  views: ({ inputs }) => ({ audio: inputs !== 'text', text: inputs !== 'audio' }),
  missingEmbedding: (recipe, phase) =>
    phase === STAGE2 && !hasFormer(recipe)
      ? "the model has no EmoQ-Former, whose e'_q it would show"
      : undefined,
  missingAttention: (recipe, phase) =>
    recipe.fusion === 'none'
      ? 'has no EmoQ-Former (its recipe says fusion: none), whose attention would be shown'
      : phase === STAGE2 && !hasFormer(recipe)
        ? 'uses text only, and its stage 2 has no EmoQ-Former; name its stage-1 run'
        : undefined,
  needs: phaseNeeds,
  review: async (recipe, phase, corpus) => (phase === STAGE2 ? reviewStage2(recipe, corpus) : undefined),
  open: openStage,
};

function phaseNeeds(recipe: EmoqRecipe, phase: string, start: StartingPoint): PhaseNeeds {
  const needs = stageNeeds(recipe, phase, start);
  const former = { key: 'former', title: 'Former', weights: needs.formerWeights, tokenizer: needs.text };
  const { backbones, lora } = recipe;
  const check = () => readDecoder(backbones.llm, lora.targets);
  const llm = { key: 'llm', title: 'LLM', weights: true, tokenizer: true, check };
  return {
    audio: needs.audio,
    text: needs.text || (needs.llm && recipe.inputs !== 'audio'),
    backbones: [...(needs.former ? [former] : []), ...(needs.llm ? [llm] : [])],
  };
}

/** Opens a stage, or describes it without its weights. */
async function openStage(
  recipe: EmoqRecipe,
  name: string,
  { weights, start, corpus, prompt: recorded }: PhaseContext,
): Promise<Phase<EmoqExample>> {
  const reads = stageNeeds(recipe, name, start);
  const backbones =
    weights === 'present' ? await openBackbones(recipe, reads) : await describeBackbones(recipe, reads);
  const { configs, former, llm } = backbones;
  const own = recipePrompt(recipe, corpus);
  const { tokenizer, chat } = llm;
  const setting = tokenizer && chat && promptSetting(recipe, { tokenizer, chat }, recorded ?? own);
  const labelTokenIds = setting?.labelWordIds.map(([first]) => first!) ?? [...recipe.labels.keys()];
  const trainingCounts = corpus && labelCounts(corpus.train, recipe.labels);
  const graphs = stageGraphs(recipe, name, configs, labelTokenIds, trainingCounts, backbones.frozen);
  const { former: roberta, audio } = configs;
  const { width: audioWidth, held } = audio;
  const graphConfig = roberta ? formerConfig(recipe, { hiddenSize: audioWidth }, roberta) : { audioWidth };
  const parameters = phaseParameters(graphs);
  const textLimit = limitOf(recipe, backbones);
  const text = former.tokenizer && textLimit && { tokenizer: former.tokenizer, maxTokens: textLimit.tokens };
  const slotPerFrame = name === STAGE2 && !hasFormer(recipe);
  const { slots } = recipe.projector;
  const isReadable = (!reads.text || text !== undefined) && (!reads.llm || setting !== undefined);
  const needs = phaseNeeds(recipe, name, start);
  const collateOwn: Phase<EmoqExample>['collate'] = (examples, features, withTargets) =>
    collate(examples, {
      wanted: new Set([...graphs.inputs, ...(withTargets ? graphs.targets : [])].map((input) => input.name)),
      audioWidth: held * audioWidth,
      textPadId: configs.former?.padTokenId ?? 0,
      promptPadId: tokenizer?.padId ?? 0,
      emotionTokenWeight: recipe.stage2.emotion_token_weight,
      slotPerFrame,
      features,
    });
  const silence = oneFrame(held * audioWidth);
  const beginnings =
    setting && promptStarts(setting, recipe.inputs, (examples) => collateOwn(examples, silence, false));
  return {
    ...graphs,
    title: TITLES[name]!,
    needs,
    parameters,
    prompt: setting?.template,
    hasOwnPrompt: setting === undefined || isSamePrompt(setting.template, own),
    readsGender: setting !== undefined && namesGender(setting.template),
    textLimit,
    vocabulary: (configs.former?.vocabSize ?? 0) + (configs.llm?.vocabSize ?? 0),
    checkpoints: [former.checkpoint, llm.checkpoint].filter((checkpoint) => checkpoint !== undefined),
    languageModel: llm.checkpoint,
    notes: backbones.notes,
    warnings: backbones.warnings,
    inspectBackbones: () => inspectBackbones(recipe, reads, backbones),
    ...(isReadable && {
      encode: (utterance) =>
        fittedExample(recipe, configs.llm, utterance, (fitting) =>
          makeExample(fitting, recipe.labels, recipe.inputs, text, setting),
        ),
    }),
    ...(text && { words: (transcript) => keptWords(transcript, text) }),
    estimate: (utterance) =>
      utterance === undefined ? averageLengths(recipe, reads) : estimatedLengths(recipe, reads, utterance),
    ...(isReadable && beginnings && { promptStarts: beginnings }),
    features: (features) => (slotPerFrame ? pooledFeatures(features, slots) : features),
    sizesOf: ({ inputs, targets }, frames) => {
      const slotted = slotPerFrame ? Math.min(frames, slots) : frames;
      const isPrompted = inputs.prompt !== undefined;
      // Each frame gets its own slot in the prompt, replacing the single slot it was tokenized with.
      const added = slotPerFrame && reads.audio ? slotted - 1 : 0;
      return {
        frames: isPrompted ? slotted : frames,
        text: inputs.text ?? 0,
        prompt: isPrompted ? inputs.prompt! + (targets.answers ?? 0) + added : 0,
        answers: targets.answers ?? 0,
      };
    },
    summedSizes: ['answers'],
    collate: collateOwn,
    initial: async ({ examples, features, seed, from }) => {
      const mixed = equallyMixed(features, audio);
      const statistics =
        reads.audio && from === undefined
          ? {
              frames: await audioStatistics(examples, mixed, audioWidth, seed),
              means:
                hasFormer(recipe) && recipe.former.residual === 'mean'
                  ? await audioStatistics(examples, pooledFeatures(mixed, 1), audioWidth, seed)
                  : undefined,
            }
          : undefined;
      const own =
        name === STAGE1
          ? await initialStage1(parameters.trainable, backbones, seed, statistics)
          : await initialStage2(parameters.trainable, recipe, backbones, from, statistics);
      return { ...own, ...(await initialEncoderLayers(parameters.trainable, recipe, from)) };
    },
    ...(weights === 'present' && {
      standalone: async (trained, mergedDtype) => {
        if (name === STAGE1) return stage1Standalone(graphs, backbones, trained);
        const config = stage2Config(recipe, graphConfig, configs.llm!, labelTokenIds);
        const models = await stage2Standalone(graphs, config, backbones, trained, mergedDtype);
        return models.map((model) => standaloneWithEncoderLayers(model, audio, recipe.encoder));
      },
    }),
    ...(setting && { labelWords: setting.labels, chat }),
  };
}

/** Features of a single silent frame, whatever the utterance. */
function oneFrame(width: number): FeatureSource {
  const words = new Uint16Array(width);
  return { frames: () => 1, read: async () => ({ frames: 1, width, words }) };
}

/** How much of a transcript the Former reads; undefined if it reads no text. */
function limitOf(recipe: EmoqRecipe, { configs, former }: EmoqBackbones): TextLimit | undefined {
  if (configs.former === undefined || former.tokenizer === undefined) return undefined;
  const positions = longestText(configs.former);
  const isByPositions = positions < recipe.max_text_tokens;
  return {
    tokens: isByPositions ? positions : recipe.max_text_tokens,
    reader: 'the Former',
    cause: isByPositions ? `the positions of ${recipe.backbones.former}` : 'max_text_tokens',
  };
}

/** Length of the longest text that a RoBERTa reads. Its position table also has rows up to the padding id. */
function longestText({ maxPositionEmbeddings, padTokenId }: RobertaConfig): number {
  return maxPositionEmbeddings - padTokenId - 1;
}

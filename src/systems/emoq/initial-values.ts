/** @file Initial values of a stage's trainable parameters. */

import { initialLora, principalLora } from '../../backbones/index.js';
import { InputError } from '../../base/index.js';
import { type Checkpoint, readWeight, requireWeight } from '../../checkpoints/index.js';
import { float32Of, type Tensor } from '../../engine/tensor/index.js';
import type { ParameterShape } from '../../engine/training/index.js';
import { type AudioStatistics, FORMER_PREFIX, initialFormer } from '../../nn/index.js';
import { sampledIndices } from '../speech-features.js';
import type { Tensors } from '../system.js';
import type { EmoqBackbones } from './emoq-backbones.js';
import type { EmoqRecipe } from './settings.js';
import { hasFormer } from './settings.js';
import { HEAD_PREFIX, initialHead } from './stage1.js';
import { initialProjector, PROJECTOR_PREFIX } from './stage2.js';

/** Statistics of the audio features of the training set. */
export interface InitialStatistics {
  /** Of frames: the input of the audio projection, or of the projector without a Former. */
  readonly frames: AudioStatistics;
  /** Of the clips' means, if the Former reads these. */
  readonly means: AudioStatistics | undefined;
}

/** Stage 1: the Former from RoBERTa, a new head. */
export async function initialStage1(
  parameters: readonly ParameterShape[],
  backbones: EmoqBackbones,
  seed: number,
  audio: InitialStatistics | undefined,
): Promise<Tensors> {
  const shapes = below(parameters, FORMER_PREFIX);
  const former = await initialFormer(shapes, backbones.former.checkpoint, seed, audio?.frames, audio?.means);
  const head = initialHead(below(parameters, HEAD_PREFIX), seed);
  return {
    ...prefixed(FORMER_PREFIX, former),
    ...prefixed(HEAD_PREFIX, head),
  };
}

/**
 * Stage 2: the Former from stage 1's checkpoint (or from RoBERTa without one), a projector at the scale of the word
 * embeddings, and a LoRA that changes nothing yet.
 * @throws InputError when the stage-1 checkpoint does not fit the recipe
 */
export async function initialStage2(
  parameters: readonly ParameterShape[],
  recipe: EmoqRecipe,
  backbones: EmoqBackbones,
  stage1: Checkpoint | undefined,
  audio: InitialStatistics | undefined,
): Promise<Tensors> {
  const { seed } = recipe;
  const formerShapes = below(parameters, FORMER_PREFIX);
  const former =
    stage1 === undefined
      ? {
          ...prefixed(
            FORMER_PREFIX,
            await initialFormer(formerShapes, backbones.former.checkpoint, seed, audio?.frames, audio?.means),
          ),
        }
      : await readTrained(
          parameters.filter(({ key }) => key.startsWith(FORMER_PREFIX)),
          stage1,
        );
  const embeddingRms = await wordEmbeddingRms(backbones.llm.checkpoint!, seed);
  const frames = hasFormer(recipe) ? undefined : audio?.frames;
  const projector = initialProjector(below(parameters, PROJECTOR_PREFIX), embeddingRms, seed, frames);
  const config = backbones.configs.llm!;
  const lora =
    recipe.lora.init === 'pissa'
      ? await principalLora(backbones.llm.checkpoint!, config, recipe.lora, seed)
      : initialLora(config, recipe.lora, seed);
  return { ...former, ...prefixed(PROJECTOR_PREFIX, projector), ...Object.fromEntries(lora) };
}

async function readTrained(parameters: readonly ParameterShape[], trained: Checkpoint): Promise<Tensors> {
  const tensors: Tensors = {};
  for (const { key, shape } of parameters) {
    tensors[key] = await readWeight(requireWeight(trained, key, shape));
  }
  return tensors;
}

/** Rows sampled to measure the scale of word embeddings, read in runs of adjacent rows. */
const [RMS_ROWS, RMS_RUN] = [4096, 64];

/**
 * Root mean square of a few thousand of the language model's word embeddings. They are sampled from the whole
 * vocabulary, because vocabularies are sorted by frequency.
 */
export async function wordEmbeddingRms(llm: Checkpoint, seed: number): Promise<number> {
  const ref = llm.weights.get('model.embed_tokens.weight');
  if (ref === undefined)
    throw new InputError(`checkpoint ${llm.dir} has no weight "model.embed_tokens.weight"`);
  const [rows, width] = ref.shape as [number, number];
  const rowBytes = ref.byteLength / rows;
  const runs =
    rows <= RMS_ROWS
      ? [0]
      : sampledIndices(Math.floor(rows / RMS_RUN), RMS_ROWS / RMS_RUN, seed, 'embedding scale');
  const length = rows <= RMS_ROWS ? rows : RMS_RUN;
  let [sum, count] = [0, 0];
  for (const run of runs) {
    const offset = ref.offset + run * length * rowBytes;
    const part = { ...ref, shape: [length, width], offset, byteLength: length * rowBytes };
    const values = float32Of(await readWeight(part));
    sum = values.reduce((total, value) => total + value * value, sum);
    count += values.length;
  }
  return Math.sqrt(sum / count);
}

/** Parameters under a prefix, with the prefix removed. */
function below(parameters: readonly ParameterShape[], prefix: string): ParameterShape[] {
  return parameters
    .filter(({ key }) => key.startsWith(prefix))
    .map(({ key, shape }) => ({ key: key.slice(prefix.length), shape }));
}

function prefixed(prefix: string, tensors: ReadonlyMap<string, Tensor>): Tensors {
  return Object.fromEntries([...tensors].map(([key, value]) => [prefix + key, value]));
}

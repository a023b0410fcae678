/**
 * @file A finished stage-2 run at the shapes of HuBERT-base, RoBERTa-base and Qwen2.5-0.5B, with random weights (2.4 GB),
 * and a table of clips: what `emoq predict` reads, without any training.
 */

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  languageModelGraph,
  parseDecoderConfig,
  parseTextEncoderConfig,
  publishedConfigs,
} from '../../dist/backbones/index.js';
import { sha256OfFile } from '../../dist/base/index.js';
import { encodeWav } from '../../dist/data/audio/wav.js';
import { buildByteLevelTokenizer, DEFAULT_PROMPT } from '../../dist/data/text/index.js';
import { vocabularyOf, writeTokenizer } from '../../dist/data/toy-backbones/model-files.js';
import { seededRandom, streamSafetensors } from '../../dist/engine/tensor/index.js';
import { declaredWeights } from '../../dist/nn/index.js';
import { loadRecipe } from '../../dist/recipe/index.js';
import { systemOf } from '../../dist/systems/index.js';
import { createRun, runFolder, writeMetadata } from '../../dist/training/runs/index.js';
import { randomBytes } from '../gpu/random-weights.mjs';
import { speechLike, writeRandomEncoder } from './random-encoder.mjs';

const LABELS = ['neutral', 'joy', 'surprise', 'anger', 'sadness', 'disgust', 'fear'];
const WORDS = 'well i know that you did not want to go there but we could have told them about it'.split(' ');
const SAMPLE_RATE_HZ = 16_000;
/** A transcript has 8 to 24 words, 16 on average. */
const [FEWEST_WORDS, WORD_COUNTS] = [8, 17];

/** Writes the backbones and the run into a folder. @returns the run's folder and the prompt's texts */
export async function writeRandomRun(folder) {
  const path = (name) => join(folder, name);
  await mkdir(path('former'), { recursive: true });
  await writeRandomEncoder(path('encoder'), publishedConfigs['facebook/hubert-base-ls960']);
  const roberta = publishedConfigs['FacebookAI/roberta-base'];
  const { vocabSize, hiddenSize } = parseTextEncoderConfig(roberta, 'roberta');
  const embeddings = [{ key: 'embeddings.word_embeddings.weight', shape: [vocabSize, hiddenSize] }];
  await writeBackbone(path('former'), 'roberta', roberta, embeddings, 'float32');
  const qwen2 = publishedConfigs['Qwen/Qwen2.5-0.5B-Instruct'];
  const { define } = languageModelGraph(parseDecoderConfig(qwen2, 'qwen2'), 'input_ids');
  await writeBackbone(path('llm'), 'qwen2', qwen2, declaredWeights(define), 'bfloat16');

  const recipe = await recipeIn(folder);
  const phase = await systemOf(recipe).open(recipe, 'stage2', { weights: 'present', start: 'checkpoint' });
  const run = runFolder(path('run'));
  const metadata = {
    ...{ format: 'emoq-run', system: 'emoq', phase: 'stage2', fold: null, name: recipe.name, labels: LABELS },
    ...{ status: 'finished', seed: 1, manifest: { path: 'none', sha256: '' }, cropped: 0, cut_texts: 0 },
    ...{ utterances: { train: 0, dev: 0, test: 0 }, startedFrom: null, validation: null, checkpoints: {} },
    backbones: (await phase.inspectBackbones()).identities,
    ...{ checkpoint: null, prompt: phase.prompt, parameters: { trainable: 0, frozen: 0 }, steps: 0 },
    ...{ selected: null, trained: null, device: 'cpu', precision: 'float32', threads: null, versions: {} },
  };
  await createRun(run, recipe, metadata);
  await writeWeights(run.checkpoint, phase.parameters.trainable, 'float32');
  const checkpoint = { sha256: await sha256OfFile(run.checkpoint) };
  await writeMetadata(run, { ...metadata, checkpoint });
  return { run: run.dir, recipe, phase };
}

/** Writes clips of equal length and their table. @returns the table's path and its rows */
export async function writeClips(folder, count, durationSec) {
  await mkdir(join(folder, 'clips'), { recursive: true });
  const random = seededRandom('transcripts');
  const rows = [];
  for (let clip = 0; clip < count; clip++) {
    const samples = speechLike(clip, durationSec * SAMPLE_RATE_HZ);
    await writeFile(join(folder, 'clips', `${clip}.wav`), encodeWav(samples, SAMPLE_RATE_HZ));
    const length = FEWEST_WORDS + random.integer(WORD_COUNTS);
    const words = Array.from({ length }, () => WORDS[random.integer(WORDS.length)]);
    rows.push({ path: `clips/${clip}.wav`, text: words.join(' ') });
  }
  const table = join(folder, `clips-${count}.csv`);
  await writeFile(table, ['path,text', ...rows.map(({ path, text }) => `${path},${text}`), ''].join('\n'));
  return { table, rows };
}

async function recipeIn(folder) {
  const path = join(folder, 'recipe.yaml');
  const backbones = Object.fromEntries(
    ['encoder', 'former', 'llm'].map((name) => [name, join(folder, name)]),
  );
  await writeFile(path, JSON.stringify({ name: 'random', manifest: 'none.csv', labels: LABELS, backbones }));
  return loadRecipe({ path, overrides: [] });
}

/** Real config, toy tokenizer, random weights. */
async function writeBackbone(folder, kind, config, parameters, dtype) {
  await mkdir(folder, { recursive: true });
  const prompt = Object.values(DEFAULT_PROMPT).flatMap((text) => text.match(/\p{L}+/gu) ?? []);
  const tokenizer = buildByteLevelTokenizer({ words: [...new Set([...LABELS, ...WORDS, ...prompt])], kind });
  await writeTokenizer(folder, tokenizer);
  const { idOf } = vocabularyOf(tokenizer);
  const ids = kind === 'roberta' ? { pad_token_id: idOf('<pad>') } : {};
  await writeFile(join(folder, 'config.json'), JSON.stringify({ ...config, ...ids }));
  await writeWeights(join(folder, 'model.safetensors'), parameters, dtype);
}

async function writeWeights(path, parameters, dtype) {
  const tensors = parameters.map(({ key, shape }) => ({
    ...{ key, shape, dtype },
    read: async function* () {
      yield* randomBytes({ key, shape, dtype });
    },
  }));
  await streamSafetensors(path, tensors, { format: 'pt' });
}

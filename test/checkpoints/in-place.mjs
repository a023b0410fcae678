/**
 * @file Opens a 15 GB checkpoint with the shapes of Qwen2.5-7B-Instruct, and builds and serialises both graphs of stage
 * 2 on it, as training does.
 *
 *     node in-place.mjs FOLDER
 */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  parseDecoderConfig,
  parseEncoderConfig,
  parseTextEncoderConfig,
  publishedConfigs,
} from '../../dist/backbones/index.js';
import { openCheckpoint, openWeightsFile, requireWeight } from '../../dist/checkpoints/index.js';
import { serializeInPlace } from '../../dist/engine/onnx/index.js';
import { checkpointWeights } from '../../dist/nn/index.js';
import { loadRecipe } from '../../dist/recipe/index.js';
import { stageGraphs } from '../../dist/systems/emoq/needs.js';
import { NO_AUDIO } from '../../dist/systems/encoder-layers.js';
import { phaseEvaluationGraph, phaseParameters } from '../../dist/systems/phase-graphs.js';
import { buildTraining } from '../../dist/training/step-sizes.js';
import { peakMiB } from '../fuzz/mutations.mjs';
import { writeSparseQwen2, writeSparseSafetensors } from './sparse-qwen2.mjs';

const folder = process.argv[2];
const llmFolder = join(folder, 'llm');
const formerPath = join(folder, 'former', 'model.safetensors');
mkdirSync(join(folder, 'former'), { recursive: true });
const diskBytes =
  writeSparseQwen2(llmFolder, publishedConfigs['Qwen/Qwen2.5-7B-Instruct'], 3.95e9) +
  writeSparseSafetensors(formerPath, [['former.embeddings.word_embeddings.weight', [50265, 768]]]);
const recipe = await loadRecipe({ dataset: 'meld7' });

const baselineMiB = peakMiB();
const start = performance.now();
const llm = await openCheckpoint(llmFolder);
const former = await openWeightsFile(formerPath);
const lookup = (key, shape) => requireWeight(key.startsWith('former.') ? former : llm, key, shape);
const roberta = parseTextEncoderConfig(publishedConfigs['FacebookAI/roberta-base'], 'roberta-base');
const hubert = parseEncoderConfig(publishedConfigs['facebook/hubert-large-ll60k'], 'hubert-large');
const graphs = stageGraphs(
  recipe,
  'stage2',
  {
    audio: { ...NO_AUDIO, width: hubert.hiddenSize },
    former: roberta,
    llm: parseDecoderConfig(llm.config, join(llmFolder, 'config.json')),
  },
  recipe.labels.map((_, label) => 1000 + label),
  recipe.labels.map(() => 1),
  (graph) => checkpointWeights(graph, lookup),
);
const phase = { ...graphs, parameters: phaseParameters(graphs) };
const training = buildTraining(
  phase,
  recipe.stage2,
  { warmupSteps: 10, totalSteps: 100 },
  { device: { kind: 'cpu' }, precision: 'float32', validates: true },
);
const models = [training.graph, phaseEvaluationGraph(phase, phase.parameters)].map((graph) =>
  serializeInPlace(graph),
);
const sec = (performance.now() - start) / 1000;

const refs = [...llm.weights.values()];
console.log(
  JSON.stringify({
    baselineMiB,
    peakMiB: peakMiB(),
    sec,
    diskBytes,
    weights: refs.length,
    weightBytes: refs.reduce((sum, { byteLength }) => sum + byteLength, 0),
    shards: new Set(refs.map(({ path }) => path)).size,
    modelBytes: models.map(({ model }) => model.length),
    // Every frozen weight appears in both models, with its offset.
    named: models.map(({ model }) => {
      const bytes = Buffer.from(model);
      return refs.filter(({ key, offset }) => bytes.includes(key) && bytes.includes(String(offset))).length;
    }),
    nodes: training.body.nodes.length,
  }),
);

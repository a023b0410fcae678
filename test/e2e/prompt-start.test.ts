/** @file An opened model, which computes the beginning of its prompts once, against the graph of whole prompts. */

import { afterAll, beforeAll, expect, it } from 'vitest';
import { requireWeight } from '../../src/checkpoints/index.js';
import { serializeInPlace } from '../../src/engine/onnx/index.js';
import { startSessionWorker } from '../../src/engine/runtime/index.js';
import { openTrainedModel, openTrainedRun } from '../../src/inference/trained-run.js';
import { checkpointWeights } from '../../src/nn/index.js';
import { phaseEvaluationGraph } from '../../src/systems/index.js';
import { inferAll, sessionEvaluator } from '../../src/training/inference.js';
import { evenBatches } from '../../src/training/inference-batches.js';
import { runFolder } from '../../src/training/runs/index.js';
import { makeWorkspace, toyRecipe } from './workspace.js';

const work = makeWorkspace('prompt-start');
afterAll(() => work.remove());
beforeAll(() => work.toyCorpus(5, 4));

const FRAMES = 9;
const features = {
  frames: () => FRAMES,
  read: async ({ id }: { readonly id: string }) => ({
    ...{ frames: FRAMES, width: 64 },
    words: Uint16Array.from(
      { length: FRAMES * 64 },
      (_, at) => 0x3400 + ((at * 37 + 101 * Number(id)) % 0x800),
    ),
  }),
};

const models = {
  'with a Former': {},
  'without a Former': { fusion: 'none' },
  'of text alone': { inputs: 'text' },
  'of audio alone': { inputs: 'audio' },
} as const;
for (const [name, settings] of Object.entries(models)) {
  it(`a model ${name} gives the probabilities of whole prompts, one utterance or several`, async () => {
    const recipe = toyRecipe('toy', {
      former: { queries: 4, pooling_heads: 4, head_hidden: 64 },
      stage2: { epochs: 1, batch_size: 8, learning_rate: 1e-2, from_stage1: false },
      max_audio_sec: 2,
      ...settings,
    });
    work.file('recipe.yaml', recipe);
    await work.done('stage2', '--recipe', 'recipe.yaml', '--run', name.replaceAll(' ', '-'));
    const folder = runFolder(work.path(name.replaceAll(' ', '-'), 'stage2'));
    const here = process.cwd();
    process.chdir(work.dir);
    const worker = startSessionWorker();
    const { trained } = await openTrainedRun(folder);
    const model = await openTrainedModel(folder, { device: { kind: 'cpu' }, threads: 1, cacheDir: work.dir });
    try {
      const { phase } = model;
      const examples = ['won we', '', 'happy to see you there', 'a b 9 8 <AUDIO> {speaker}'].map(
        (text, index) => {
          const speaker = index === 2 ? 'Ana' : '';
          const encoded = phase.encode!({
            id: String(index),
            path: '',
            text,
            speaker,
            gender: '',
            label: '',
          });
          return encoded.kind === 'example' ? encoded.example : expect.fail(encoded.problem);
        },
      );
      for (const example of examples) {
        expect(phase.promptStarts!.some((start) => start.after(example) !== undefined)).toBe(true);
      }

      const graph = phaseEvaluationGraph(phase, phase.parameters, (own) =>
        checkpointWeights(own, (key, shape) => requireWeight(trained, key, shape)),
      );
      const placed = serializeInPlace(graph);
      const session = await worker.open(placed.model, {
        ...{ device: { kind: 'cpu' }, threads: 1, weightsFolder: placed.weightsFolder },
      });
      const own = {
        evaluators: [sessionEvaluator(session)],
        phase,
        features: phase.features(features),
        batching: evenBatches(3),
      };
      const whole = await inferAll(examples, own);
      const continued = await model.infer(examples, features);
      const single = await model.infer(examples.slice(2, 3), features);
      for (const [index, given] of [...continued, ...single].entries()) {
        const wanted = whole[index < 4 ? index : 2]!;
        if (given.kind === 'failed' || wanted.kind === 'failed') expect.fail();
        for (const [label, probability] of given.probabilities.entries()) {
          expect(Math.abs(probability - wanted.probabilities[label]!)).toBeLessThan(1e-6);
        }
      }
    } finally {
      await model.close();
      await worker.close();
      process.chdir(here);
    }
  });
}

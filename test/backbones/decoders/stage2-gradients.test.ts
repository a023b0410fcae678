import { describe, expect, it } from 'vitest';
import {
  decoder,
  embedTokens,
  lmHead,
  loraParameters,
  spliceSoftPrompt,
} from '../../../src/backbones/index.js';
import { gradients } from '../../../src/engine/autodiff/index.js';
import { gather, loop, mul, type Value } from '../../../src/engine/onnx/index.js';
import { int64, type Tensor, tensor } from '../../../src/engine/tensor/index.js';
import { answerLoss } from '../../../src/nn/losses.js';
import { type Dropout, givenWeights } from '../../../src/nn/weights.js';
import { compute, type Feed, openFixture, relativeError } from './graph-run.js';

/** Two equal batches in one tensor: [...] -> [2, ...]. */
function twice({ dtype, shape, data }: Tensor): Tensor {
  const doubled = tensor(dtype, [2, ...shape]);
  (doubled.data as Float32Array).set(data as Float32Array, 0);
  (doubled.data as Float32Array).set(data as Float32Array, data.length);
  return doubled;
}

for (const [family, name] of [
  ['qwen2', 'tied'],
  ['qwen2', 'untied'],
  ['llama', 'stretched'],
  ['qwen3', 'tied'],
  ['mistral', 'wide-heads'],
] as const) {
  describe(`stage 2 on the ${family} "${name}"`, async () => {
    const fixture = await openFixture(name, family);
    const { config, lora, checkpoint, expected } = fixture;
    const parameterShapes = loraParameters(config, lora);
    const dims: Record<string, readonly string[]> = {
      input_ids: ['N', 'L'],
      'right.mask': ['N', 'L'],
      audio_position: ['N'],
      soft_prompt: ['N', 'd'],
      answer_positions: ['M'],
      answer_tokens: ['M'],
      answer_weights: ['M'],
    };

    /** Loss and gradients of each of two batches (equal ones) of a Loop, summed over nothing: [2, ...]. */
    const run = (dropout?: Dropout) => {
      const feeds: Record<string, Feed> = { steps: [int64([], [2]), []] };
      for (const [key, axes] of Object.entries(dims)) {
        feeds[key] = [
          twice(expected(key)),
          ['K', ...axes.map((axis) => (axis === 'd' ? config.hiddenSize : axis))],
        ];
      }
      for (const { key, shape } of parameterShapes) feeds[key] = [expected(`parameter.${key}`), shape];
      return compute(
        feeds,
        (graph, inputs) => {
          const frozen = fixture.weights(graph);
          const { collected } = loop(inputs.steps!, 'K', [], (_, iteration) => {
            const batch = Object.fromEntries(
              Object.keys(dims).map((key) => [key, gather(inputs[key]!, iteration, 0)]),
            ) as Record<string, Value>;
            const softPrompt = batch.soft_prompt!;
            const trained = new Map(parameterShapes.map(({ key }) => [key, inputs[key]!]));
            const embeddings = spliceSoftPrompt({
              embeddings: embedTokens(frozen, config, batch.input_ids!),
              softPrompt,
              audioPosition: batch.audio_position!,
            });
            const hidden = decoder(
              frozen,
              config,
              { embeddings, attentionMask: batch['right.mask']! },
              { lora: { config: lora, weights: givenWeights(trained) }, ...(dropout && { dropout }) },
            );
            const answers = {
              hidden,
              answerPositions: batch.answer_positions!,
              answerTokens: batch.answer_tokens!,
              answerWeights: batch.answer_weights!,
            };
            const loss = answerLoss(answers, (rows) => lmHead(frozen, config, rows));
            const targets = new Map([...trained, ['soft_prompt', softPrompt]]);
            const results = gradients(loss, [...targets.values()]);
            const named = [...targets.keys()].map((key, at) => ({ name: key, value: results[at]! }));
            return {
              states: [],
              collected: [{ name: 'loss', value: loss }, { name: 'hidden', value: hidden }, ...named],
            };
          });
          const names = ['loss', 'hidden', ...parameterShapes.map(({ key }) => key), 'soft_prompt'];
          return Object.fromEntries(names.map((key, at) => [key, collected[at]!]));
        },
        checkpoint.dir,
      );
    };

    it('has the loss and the gradients of PyTorch, in each iteration of a loop', async () => {
      const results = await run();
      expect(relativeError(results.loss!, twice(expected('loss')))).toBeLessThan(1e-5);
      const { shape, data } = expected('right.mask');
      const real = (row: number) => data[row % data.length] === 1n;
      expect(shape).toEqual([3, 9]);
      expect(relativeError(results.hidden!, twice(expected('lora.hidden')), real)).toBeLessThan(2e-5);
      const keys = [...fixture.expectedUnder('gradient.').keys()].sort();
      expect(keys).toEqual([...parameterShapes.map(({ key }) => key), 'soft_prompt'].sort());
      for (const key of keys) {
        const error = relativeError(results[key]!, twice(expected(`gradient.${key}`)));
        expect(error, key).toBeLessThan(1e-4);
      }
    });

    it('gives the soft prompt no gradient where an utterance has no place for it', async () => {
      const { soft_prompt: gradient } = await run();
      const width = config.hiddenSize;
      const rows = gradient!.data as Float32Array;
      expect(rows.subarray(width, 2 * width).every((value) => value === 0)).toBe(true);
      expect(rows.subarray(0, width).some((value) => Math.abs(value) > 1e-3)).toBe(true);
    });

    it('applies dropout to the input of A only, at a site of its own for each projection', async () => {
      const sites: string[] = [];
      const { hidden } = await run((x, rate, site) => {
        expect(rate).toBe(lora.dropout);
        sites.push(site);
        return mul(x, 0);
      });
      expect(new Set(sites).size).toBe(lora.targets.length * config.numHiddenLayers);
      expect(sites[0]).toBe('model.layers.0.self_attn.q_proj.lora_dropout');
      // With all inputs of A dropped, the adapted model is the frozen one: rows before the first soft prompt.
      const [, length, width] = expected('right.hidden').shape as [number, number, number];
      const start = length * width; // the second utterance has no soft prompt at all
      const frozen = (expected('right.hidden').data as Float32Array).subarray(start, start + 6 * width);
      (hidden!.data as Float32Array).subarray(start, start + 6 * width).forEach((value, i) => {
        expect(value).toBeCloseTo(frozen[i]!, 4);
      });
    });
  });
}

describe('LoRA parameters', async () => {
  const { config, lora } = await openFixture('untied');

  it('are asked for under their PEFT keys and shapes', () => {
    const shapes = loraParameters(config, { ...lora, rank: 16, targets: ['down_proj', 'q_proj'] });
    expect(shapes.slice(0, 4)).toEqual([
      { key: 'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight', shape: [16, 32] },
      { key: 'base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight', shape: [48, 16] },
      { key: 'base_model.model.model.layers.0.mlp.down_proj.lora_A.weight', shape: [16, 40] },
      { key: 'base_model.model.model.layers.0.mlp.down_proj.lora_B.weight', shape: [32, 16] },
    ]);
    expect(shapes).toHaveLength(8);
  });

  it('refuse a target that Qwen2 does not have', () => {
    expect(() => loraParameters(config, { ...lora, targets: ['query'] })).toThrow(
      'LoRA target "query" is not a projection of Qwen2; it has q_proj, k_proj',
    );
  });
});

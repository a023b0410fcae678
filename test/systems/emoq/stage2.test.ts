/**
 * @file Stage 2, from Former to answer, compared with PyTorch and transformers, which compute every utterance alone and
 * unpadded. Reference: test/reference/stage2.py.
 */

import { beforeAll, describe, expect, it } from 'vitest';
import { addInput } from '../../../src/engine/onnx/index.js';
import type { Tensor } from '../../../src/engine/tensor/index.js';
import type { GraphInput } from '../../../src/engine/training/training-graph.js';
import { declaredWeights, noDropout } from '../../../src/nn/weights.js';
import { hasFormer } from '../../../src/systems/emoq/settings.js';
import { answerInputs, stage2Forward, stage2Inputs, stage2Loss } from '../../../src/systems/emoq/stage2.js';
import { relativeError } from '../../backbones/decoders/graph-run.js';
import { largestError, parityError, recordParity } from '../../parity/figures.js';
import {
  type CaseModel,
  describeStage2,
  gradientErrors,
  lengthened,
  openReference,
  openStage2,
  type ReferenceCase,
  runCase,
  type Stage2Case,
  type Stage2CaseName,
} from './reference-case.js';

let caseOf: (id: string) => ReferenceCase;
beforeAll(async () => {
  ({ caseOf } = await openReference('stage2'));
});

const open = (name: Stage2CaseName): Promise<Stage2Case> => openStage2(caseOf(name), name);

/** Runs a case with the language model's frozen weights read in place. */
const run = (
  { reference, qwen }: Stage2Case,
  inputs: readonly GraphInput[],
  build: CaseModel,
  replace: Record<string, Tensor> = {},
) =>
  runCase(
    reference,
    inputs,
    (weights, batch, graph) => {
      const frozen = qwen.weights(graph);
      const isTrained = (key: string): boolean => reference.parameters.has(key);
      return build((key, shape) => (isTrained(key) ? weights : frozen)(key, shape), batch, graph);
    },
    { replace, weightsFolder: qwen.checkpoint.dir },
  );

/** Prompts without their answers, as in prediction. */
const bare = ({ reference }: Stage2Case): Record<string, Tensor> => ({
  prompt_ids: reference.expected('bare/prompt_ids'),
  prompt_mask: reference.expected('bare/prompt_mask'),
});

const titles: Record<Stage2CaseName, string> = {
  both: 'audio and text',
  audio: 'audio alone',
  text: 'text alone',
  frames: 'audio and text without a Former',
};
for (const [name, title] of Object.entries(titles) as [Stage2CaseName, string][]) {
  describe(`stage 2 on ${title}`, () => {
    it('has the loss of PyTorch and the gradient of everything that is trained', async () => {
      const opened = await open(name);
      const inputs = [...stage2Inputs(opened.config), ...answerInputs];
      const { results, gradients } = await run(opened, inputs, (weights, batch) => ({
        loss: stage2Loss(weights, opened.config, batch, noDropout),
      }));
      const { reference } = opened;
      const lossError = parityError(results.loss!, reference.expected('loss'));
      recordParity({ ...describeStage2(opened), quantity: 'loss', ...lossError });
      expect(lossError.relative).toBeLessThan(1e-5);
      const errors = gradientErrors(gradients, reference.gradients);
      expect([...errors.keys()].some((key) => key.startsWith('former.'))).toBe(hasFormer(opened.config));
      expect([...errors.keys()].some((key) => key.startsWith('projector.'))).toBe(name !== 'text');
      expect([...errors.keys()].some((key) => key.includes('lora_B'))).toBe(true);
      for (const [key, { relative }] of errors) expect(relative, key).toBeLessThan(1e-4);
      recordParity({
        ...describeStage2(opened),
        quantity: 'gradient of every parameter',
        ...largestError(errors.values()),
      });
    });

    it('has the probabilities of PyTorch at the last token of each prompt', async () => {
      const opened = await open(name);
      const { reference, config } = opened;
      const forward: CaseModel = (weights, batch) => {
        const { probabilities, embedding } = stage2Forward(weights, config, batch, noDropout);
        return { probabilities, ...(embedding && { embedding }) };
      };
      const { results } = await run(opened, stage2Inputs(config), forward, bare(opened));
      const error = parityError(results.probabilities!, reference.expected('probabilities'));
      recordParity({ ...describeStage2(opened), quantity: 'probabilities', ...error });
      expect(error.relative).toBeLessThan(1e-4);
      if (!hasFormer(config)) expect(results.embedding).toBeUndefined();
      else expect(relativeError(results.embedding!, reference.expected('embedding'))).toBeLessThan(1e-5);
    });

    it('asks for the parameters that the reference trains, and for the weights of Qwen2', async () => {
      const { reference, config, qwen } = await open(name);
      const declared = declaredWeights((graph, weights) => {
        const inputs = [...stage2Inputs(config), ...answerInputs].map(({ name, dtype, shape }) => [
          name,
          addInput(graph, name, dtype, shape),
        ]);
        stage2Loss(weights, config, Object.fromEntries(inputs), noDropout);
      });
      const isFrozen = (key: string): boolean => /^(model|lm_head)\./.test(key);
      const trained = declared.filter(({ key }) => !isFrozen(key));
      expect(Object.fromEntries(trained.map(({ key, shape }) => [key, shape]))).toEqual(
        Object.fromEntries([...reference.parameters].map(([key, { shape }]) => [key, shape])),
      );
      const frozen = declared.filter(({ key }) => isFrozen(key)).map(({ key }) => key);
      expect(frozen.sort()).toEqual([...qwen.checkpoint.weights.keys()].sort());
    });
  });
}

describe('the prediction for an utterance', () => {
  it.each(['both', 'frames'] as const)(
    'does not change when %s and prompt are padded further',
    async (name) => {
      const opened = await open(name);
      const { reference, config } = opened;
      const forward: CaseModel = (weights, batch) => {
        const { probabilities } = stage2Forward(weights, config, batch, noDropout);
        return { probabilities };
      };
      const short = bare(opened);
      const near = await run(opened, stage2Inputs(config), forward, short);
      const far = await run(opened, stage2Inputs(config), forward, {
        audio_features: lengthened(reference.batch('audio_features'), 5, 0x5640), // 100 in half precision
        frame_mask: lengthened(reference.batch('frame_mask'), 5, 0n),
        input_ids: lengthened(reference.batch('input_ids'), 3, 2n),
        attention_mask: lengthened(reference.batch('attention_mask'), 3, 0n),
        prompt_ids: lengthened(short.prompt_ids!, 6, 5n),
        prompt_mask: lengthened(short.prompt_mask!, 6, 0n),
      });
      expect(relativeError(far.results.probabilities!, near.results.probabilities!)).toBeLessThan(1e-6);
    },
  );
});

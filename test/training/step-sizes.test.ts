/** @file The largest steps of a run: batch composition and padded sizes, with and without tokenizers. */

import { describe, expect, it } from 'vitest';
import { emoq } from '../../src/systems/emoq/system.js';
import { averageStep, batchSize, largestSteps } from '../../src/training/step-sizes.js';
import { loadEmoq } from '../recipe/emoq-recipe.js';

/** A phase of meld7 from its configs, without weights or tokenizers. */
async function phaseOf(phase: string, ...overrides: string[]) {
  const small = ['backbones.llm=Qwen/Qwen2.5-0.5B-Instruct', ...overrides];
  const recipe = await loadEmoq({ dataset: 'meld7', overrides: small });
  const opened = await emoq.open(recipe, phase, { weights: 'shapes-only', start: 'checkpoint' });
  return { recipe, phase: opened, settings: emoq.settings(recipe, phase) };
}

const utterance = (frames: number, text: number, prompt?: number) => ({
  frames,
  lengths: {
    inputs: { text, ...(prompt !== undefined && { prompt }) },
    targets: prompt === undefined ? {} : { answers: 2 },
  },
});

describe('what a batch is padded to', () => {
  it('is the most of its utterances, each by itself, and all their answers', async () => {
    const { phase } = await phaseOf('stage2');
    expect(batchSize(phase, [utterance(200, 9, 100), utterance(40, 30, 121)])).toEqual({
      batch: 2,
      frames: 200,
      text: 30,
      prompt: 123,
      answers: 4,
    });
    const { phase: first } = await phaseOf('stage1');
    expect(batchSize(first, [utterance(200, 9)])).toMatchObject({ prompt: 0, answers: 0 });
  });

  it('has a slot in the prompt for each frame where nothing is fused, up to what the prompt takes', async () => {
    const { phase } = await phaseOf('stage2', 'fusion=none', 'projector.slots=64');
    const [short, long] = [utterance(40, 9, 100), utterance(300, 9, 90)];
    expect(batchSize(phase, [short])).toMatchObject({ frames: 40, prompt: 100 + 2 + 39 });
    expect(batchSize(phase, [short, long])).toMatchObject({ frames: 64, prompt: 90 + 2 + 63 });
  });
});

describe('the largest steps', () => {
  const lengths = [
    utterance(500, 10), // the longest clip
    utterance(100, 10),
    utterance(90, 80), // the most words
    utterance(100, 12),
    utterance(80, 11),
    utterance(70, 10),
  ];
  const batches = [
    [0, 1],
    [2, 3],
    [4, 5],
  ];

  it('are those with the most frames and with the most text, wherever they come', async () => {
    const { phase, settings } = await phaseOf('stage1');
    const found = largestSteps(phase, settings, batches, (index) => lengths[index]!);
    const sizes = found.map(({ batch: { batch, frames, text } }) => ({ batch, frames, text }));
    expect(sizes).toContainEqual({ batch: 2, frames: 500, text: 10 });
    expect(sizes).toContainEqual({ batch: 2, frames: 100, text: 80 });
    expect(sizes).toHaveLength(2);
  });

  it('come in the micro-batches that the trainer cuts', async () => {
    const { phase, settings } = await phaseOf('stage2', 'stage2.batch_size=6', 'stage2.accumulate=3');
    const found = largestSteps(phase, settings, [[0, 1, 2, 3, 4, 5]], (index) => lengths[index]!);
    expect(found[0]).toMatchObject({ microBatches: 3, batch: { batch: 2, frames: 500, text: 10 } });
    expect(found.map(({ batch }) => batch.text)).toContain(80);
    expect(found[0]!.members).toEqual([0, 1, 2, 3, 4, 5]);
  });
});

describe('without a tokenizer', () => {
  it('tokens go by characters, cut as the recipe cuts them, and nothing of the words is in a prompt without them', async () => {
    const text = 'a'.repeat(450);
    const { phase: first } = await phaseOf('stage1', 'max_text_tokens=50');
    expect(first.estimate({ text })).toEqual({ inputs: { text: 50 }, targets: {} });
    const { phase } = await phaseOf('stage2', 'max_text_tokens=50');
    const whole = phase.estimate({ text }).inputs.prompt!;
    const { phase: audioOnly } = await phaseOf('stage2', 'inputs=audio');
    const deaf = audioOnly.estimate({ text }).inputs.prompt!;
    expect(whole - deaf).toBe(100); // 450 characters at 4.5
    expect(deaf).toBe(phase.estimate({ text: '' }).inputs.prompt!);
  });
});

describe('without a corpus', () => {
  it('a step is of average clips, no longer than the recipe allows', async () => {
    const { recipe, phase, settings } = await phaseOf('stage2');
    expect(averageStep(recipe, settings, phase)).toEqual({
      batch: { batch: 8, frames: 250, text: 32, prompt: 128, answers: 16 },
      microBatches: 1,
    });
    const brief = await phaseOf('stage2', 'max_audio_sec=2', 'stage2.accumulate=4');
    const short = averageStep(brief.recipe, brief.settings, brief.phase);
    expect(short).toMatchObject({ microBatches: 4, batch: { batch: 2, frames: 100, answers: 4 } });
  });
});

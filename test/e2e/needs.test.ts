/**
 * @file Inputs that a stage does not read may be missing in every command: audio, encoder, Former or language model.
 */

import { cpSync, readdirSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { csvRows, fileDigests, makeWorkspace, shortPrompt, toyRecipe, type Workspace } from './workspace.js';

const whole = makeWorkspace('needs');
afterAll(() => whole.remove());

const settings = {
  former: { queries: 4, pooling_heads: 4, head_hidden: 32 },
  prompt: shortPrompt,
  stage1: { epochs: 1, batch_size: 8, learning_rate: 1e-3 },
  stage2: { epochs: 1, batch_size: 8, learning_rate: 1e-3 },
};

beforeAll(async () => {
  await whole.toyCorpus(5, 4);
  whole.file('small.yaml', toyRecipe('toy', settings));
});

/** A copy of the corpus, its backbones and its runs with some parts removed. */
async function without(parts: readonly string[], use: (work: Workspace) => Promise<void>): Promise<void> {
  const work = makeWorkspace('needs-part');
  try {
    cpSync(whole.dir, work.dir, { recursive: true });
    for (const part of parts) {
      if (part === 'audio') {
        const clips = readdirSync(work.path('toy/audio'));
        for (const clip of clips) rmSync(work.path('toy/audio', clip), { recursive: true });
      } else rmSync(work.path('toy/backbones', part), { recursive: true });
    }
    await use(work);
  } finally {
    work.remove();
  }
}

const recipe = (...overrides: string[]): string[] => [
  ...['--recipe', 'small.yaml'],
  ...overrides.flatMap((override) => ['--set', override]),
];
const lackOf = (stdout: string): string => stdout.trim().split('\n').at(-1)!;

describe('stage 2 of text alone', () => {
  const text = recipe('inputs=text');

  it('needs no audio, encoder or Former: the same bytes without them, in every command', async () => {
    await whole.done('stage2', ...text);
    await without(['audio', 'hubert', 'roberta'], async (work) => {
      rmSync(work.path('runs'), { recursive: true });
      const { stderr } = await work.done('stage2', ...text, '--dry-run');
      expect(stderr).toMatch(/ one step at batch 8, prompt \d+: the largest step of epoch 1, /);
      expect(stderr).toMatch(/^steps: 2 per epoch, 2 in all, 12 training utterances$/m);
      const doctor = await work.done('doctor', ...text);
      expect(lackOf(doctor.stdout)).toBe('ready: the experiment small can run');
      expect(doctor.stdout).not.toMatch(/ encoder | Former /);

      await work.done('stage2', ...text);
      const kept = (digests: Record<string, string>) => digests['checkpoint.safetensors'];
      expect(kept(fileDigests(work, 'runs/small/stage2'))).toBe(
        kept(fileDigests(whole, 'runs/small/stage2')),
      );
      const evaluated = await work.done('eval', ...text, '--json');
      expect(JSON.parse(evaluated.stdout)).toMatchObject({ n: 4 });
      await work.done('predict', 'toy/manifest.csv', '-o', 'emotions.csv', '--run', 'runs/small');
      const rows = csvRows(work, 'emotions.csv');
      expect(rows).toHaveLength(20);
      expect(rows.every(({ label }) => label !== '')).toBe(true);
      await work.done('report', ...text);
      await work.done('export', 'llm', '--run', 'runs/small', '--out', 'llm.onnx');
      await work.done('stage2', ...text, '--seeds', '1,2', '--jobs', '2', '--run', 'seeds');
    });
  });

  it('is judged without ffmpeg, which it does not need', async () => {
    const { PATH } = process.env;
    process.env.PATH = '/nonexistent';
    try {
      const { code, stdout } = await whole.run('doctor', ...text);
      expect(stdout).toMatch(/^absent +ffmpeg/m);
      expect(code).toBe(0);
      expect((await whole.run('doctor', ...recipe())).code).toBe(1);
    } finally {
      process.env.PATH = PATH;
    }
  });
});

describe('stage 1', () => {
  it('of text alone needs no audio and no encoder, from training to prediction', async () => {
    const text = recipe('inputs=text');
    await without(['audio', 'hubert', 'qwen2'], async (work) => {
      await work.done('stage1', ...text, '--dry-run');
      await work.done('stage1', ...text, '--run', 'text');
      await work.done('eval', '--run', 'text', '--stage', '1');
      await work.done('predict', 'toy/manifest.csv', '-o', 'emotions.csv', '--run', 'text');
      await work.done('export', 'former', '--run', 'text', '--out', 'former.onnx');
    });
  });

  it('of audio alone needs no tokenizer of RoBERTa, and trained none of its weights', async () => {
    const audio = recipe('inputs=audio');
    await without(['qwen2'], async (work) => {
      rmSync(work.path('toy/backbones/roberta/tokenizer.json'));
      const { stderr } = await work.done('stage1', ...audio, '--dry-run');
      expect(stderr).toMatch(/ one step at batch 8, \d+ frames: /);
      await work.done('stage1', ...audio, '--run', 'audio');
      rmSync(work.path('toy/backbones/roberta/model.safetensors'));
      await work.done('eval', '--run', 'audio', '--stage', '1');
      await work.done('predict', 'toy/manifest.csv', '-o', 'emotions.csv', '--run', 'audio');
      await work.done('export', 'former', '--run', 'audio', '--out', 'former.onnx');
      expect(await work.refused('stage1', ...audio, '--run', 'again')).toContain('roberta has no weights');
    });
  });

  it('is judged by itself where the doctor is asked for it, without a language model', async () => {
    await without(['qwen2'], async (work) => {
      const both = await work.run('doctor', ...recipe());
      expect(both.code).toBe(1);
      expect(lackOf(both.stdout)).toMatch(/cannot run: missing LLM/);
      const one = await work.done('doctor', ...recipe(), '--stage', '1');
      expect(lackOf(one.stdout)).toBe('ready: stage 1 of the experiment small can run');
      expect(one.stdout).not.toMatch(/ LLM |memory of stage 2/);
      const two = await work.run('doctor', ...recipe(), '--stage', '2');
      expect(two.code).toBe(1);
      expect(two.stdout).not.toContain('memory of stage 1');
      expect(await work.refused('doctor', '--stage', '1')).toContain('--stage is a stage of an experiment');
      expect((await work.run('doctor', ...recipe('fusion=none'), '--stage', '1')).stdout).toMatch(
        /^missing +experiment +recipe small has no Former to train in stage 1/m,
      );
    });
  });
});

describe('without a Former', () => {
  it('stage 2 needs no RoBERTa', async () => {
    const unfused = recipe('fusion=none');
    await without(['roberta'], async (work) => {
      await work.done('stage2', ...unfused, '--dry-run');
      expect(lackOf((await work.done('doctor', ...unfused)).stdout)).toContain('can run');
      await work.done('stage2', ...unfused, '--run', 'unfused');
      await work.done('eval', '--run', 'unfused');
      await work.done('predict', 'toy/manifest.csv', '-o', 'emotions.csv', '--run', 'unfused');
    });
  });
});

it('what a stage does read is still demanded, in one line', async () => {
  await without(['audio'], async (work) => {
    expect(await work.refused('stage1', ...recipe())).toMatch(/audio.*\.wav/);
  });
  await without(['hubert'], async (work) => {
    expect(await work.refused('stage1', ...recipe())).toContain('toy/backbones/hubert');
  });
  await without(['roberta'], async (work) => {
    expect(await work.refused('stage1', ...recipe('inputs=text'))).toContain('toy/backbones/roberta');
  });
});

/** @file What run.json must look like to be read. Keys that a run of an earlier emoq lacks may be absent. */

import { z } from 'zod';
import { InputError, oneLine } from '../../base/index.js';
import type { RunFacts } from './folder.js';

const count = z.int().min(0);
const sha256 = z.string();
/** What chose an epoch: `wf1`, `smoothed wf1`. */
export const metricName = z.string().regex(/^[a-z]\w*(?: \w+)?$/, { error: 'is no metric' });
const sizes = z.record(z.string(), count);

/** `bytes` and `weights` are absent of a model whose config alone is read. */
const identity = z.looseObject({
  commit: z.string().optional(),
  files: sizes,
  config: z.record(z.string(), z.unknown()).optional(),
  tokenizer: sha256.optional(),
  bytes: count.optional(),
  weights: sha256.optional(),
});

const prompt = z.looseObject({
  system: z.string(),
  user: z.string(),
  answer: z.string(),
  user_without_text: z.string().optional(),
  speaker: z.enum(['name', 'gender', 'none']).optional(),
});

const metadataSchema = z.looseObject({
  format: z.literal('emoq-run'),
  stage: z.union([z.literal(1), z.literal(2)], { error: 'must be 1 or 2' }),
  fold: z.int().min(1).nullable(),
  name: z.string().regex(/^[A-Za-z0-9][\w.-]*$/, { error: 'is not the name of a recipe' }),
  labels: z.array(z.string()).min(2),
  status: z.enum(['training', 'finished']),
  seed: count,
  manifest: z.looseObject({ path: z.string(), sha256, ffmpeg: z.string().optional() }),
  utterances: z.looseObject({ train: count, dev: count, test: count }),
  cropped: count.optional(),
  cut_texts: count.optional(),
  stage1: sha256.nullable(),
  validation: z
    .looseObject({
      draw: z.enum(['by-fold', 'without-fold']),
      seed: count,
      speakers: z.array(z.string()),
    })
    .nullish(),
  checkpoint: z.looseObject({ sha256, replaces: sha256.nullish() }).nullish(),
  checkpoints: z.record(z.string(), sha256).optional(),
  backbones: z
    .looseObject({ encoder: identity.optional(), former: identity.optional(), llm: identity.optional() })
    .optional(),
  prompt: prompt.nullable(),
  parameters: z.looseObject({ trainable: count, frozen: count }),
  steps: count,
  selected: z
    .looseObject({ epoch: count, metric: metricName.nullable(), value: z.number().nullable() })
    .nullable(),
  trained: z.looseObject({ epochs: count, steps: count }).nullish(),
  device: z.string(),
  threads: z.int().min(1).nullish(),
  versions: z.record(z.string(), z.string()),
});

/**
 * The content of a run.json, as it is.
 * @throws InputError, one line with file and key, when it is none of a run, or not all of one
 */
export function checkedMetadata(value: unknown, path: string): RunFacts {
  const format = typeof value === 'object' && value !== null && 'format' in value ? value.format : undefined;
  if (format !== 'emoq-run') throw new InputError(`${path} is not an emoq run`);
  const result = metadataSchema.safeParse(value, {
    error: (issue) => (issue.input === undefined ? 'is missing' : undefined),
  });
  // Not `result.data`: what is written back has its keys in the order in which they are.
  if (result.success) return value as RunFacts;
  const [issue] = result.error.issues;
  throw new InputError(
    oneLine(
      `run ${path} is damaged, key ${issue!.path.join('.')}: ${issue!.message}; put a good copy in its place, or delete the run and train again`,
    ),
  );
}

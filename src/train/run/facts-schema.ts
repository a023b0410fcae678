/** @file What run.json must look like to be read. Keys that a run of an earlier emoq lacks may be absent. */

import { z } from 'zod';
import { InputError, oneLine } from '../../base/index.js';

const count = z.int().min(0);
const counts = z.looseObject({ train: count, dev: count, test: count });

const factsSchema = z.looseObject({
  format: z.literal('emoq-run'),
  stage: z.union([z.literal(1), z.literal(2)]),
  fold: z.int().min(1).nullish(),
  name: z.string().optional(),
  labels: z.array(z.string()).min(1).optional(),
  status: z.enum(['training', 'finished']),
  seed: z.int().optional(),
  manifest: z.looseObject({ path: z.string(), sha256: z.string() }).optional(),
  utterances: counts.optional(),
  cropped: count.optional(),
  stage1: z.string().nullish(),
  prompt: z.looseObject({ system: z.string(), user: z.string(), answer: z.string() }).nullish(),
  parameters: z.looseObject({ trainable: count, frozen: count }).optional(),
  steps: count.optional(),
  selected: z
    .looseObject({ epoch: z.int(), metric: z.string().nullable(), value: z.number().nullable() })
    .nullish(),
  trained: z.looseObject({ epochs: count, steps: count }).nullish(),
  device: z.string().optional(),
  threads: z.int().nullish(),
  versions: z.record(z.string(), z.string()).optional(),
});

/** What every run has had since the first emoq. */
const ALWAYS_THERE = 'name labels seed manifest utterances parameters steps device versions'.split(' ');

/** @throws InputError, naming the key, when a value of run.json is none that emoq writes */
export function checkFacts(value: unknown, path: string): void {
  const result = factsSchema.safeParse(value);
  if (result.success) return;
  const [issue] = result.error.issues;
  const isOther = (value as { format?: unknown } | null)?.format !== 'emoq-run';
  if (isOther) throw new InputError(`${path} is not an emoq run`);
  throw new InputError(
    oneLine(
      `run ${path} is damaged, key ${issue!.path.join('.')}: ${issue!.message}; restore it, or delete the run`,
    ),
  );
}

/** @throws InputError when run.json lacks what every run has */
export function checkWholeFacts(facts: object, path: string): void {
  const missing = ALWAYS_THERE.filter((key) => !Object.hasOwn(facts, key));
  if (missing.length === 0) return;
  throw new InputError(`run ${path} lacks ${missing.join(', ')}; restore it, or delete the run`);
}

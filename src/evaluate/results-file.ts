/** @file Reads results.json back, as this emoq or an earlier one wrote it, and says which key is wrong. */

import { z } from 'zod';
import { InputError, oneLine, readJson } from '../base/index.js';

const count = z.int().min(0);
const fraction = z.number().min(0).max(1);
const interval = z.object({ low: z.number(), high: z.number() });
const figures = { wa: fraction, ua: fraction, wf1: fraction, n: count };

/** What is read of results, of EvaluationResult's keys; other commands than the one that wrote them need no more. */
const resultsSchema = z.object({
  ...figures,
  name: z.string().optional(),
  folds: z.array(z.object({ fold: z.string(), ...figures })).optional(),
  intervals: z.object({ wa: interval, ua: interval, wf1: interval }).nullish(),
  missing: z.array(z.object({ seed: count.optional(), fold: z.string() })).optional(),
  cross_corpus: z
    .object({
      manifest: z.string(),
      manifest_sha256: z.string(),
      label_map: z.record(z.string(), z.string()),
    })
    .optional(),
  versions: z.record(z.string(), z.string()).optional(),
  facts: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])).optional(),
});

export type StoredResults = z.infer<typeof resultsSchema>;

/** @throws InputError, one line with file and key, when there are no results, or what is none */
export async function readResults(path: string): Promise<StoredResults> {
  const result = resultsSchema.safeParse(await readJson(path, 'results'), {
    error: ({ input }) => (input === undefined ? 'is missing' : undefined),
  });
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const where = issue!.path.length === 0 ? 'are damaged' : `are damaged, key ${issue!.path.join('.')}`;
  throw new InputError(
    oneLine(
      `results ${path} ${where}: ${issue!.message}; delete the file, and score the run again with emoq eval`,
    ),
  );
}

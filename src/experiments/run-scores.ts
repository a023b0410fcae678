/** @file What runs scored, and what several seeds scored together. */

import { join } from 'node:path';
import { InputError } from '../base/index.js';
import {
  type Evaluation,
  type EvaluationResult,
  evaluationOf,
  evaluationResult,
  type FoldMetrics,
  type Metrics,
  type PaperRow,
  type Resampling,
  type ScoredPrediction,
  type Scores,
  type SeedMetrics,
  seedMetrics,
} from '../evaluation/index.js';

/** What runs scored, and the paper's figures that their recipe names. */
export interface RunScores<S extends Scores = Metrics | FoldMetrics> {
  readonly evaluation: Evaluation<S>;
  readonly result: EvaluationResult;
  readonly predictions: readonly ScoredPrediction[];
  /** For each prediction, the most frequent class in its model's training; undefined where that is not known. */
  readonly majority: readonly string[] | undefined;
  readonly paper: PaperRow | null;
}

/** Where the results of several seeds together lie. */
export function seedResults(root: string, stage: 1 | 2): string {
  return join(root, `stage${stage}-seeds.json`);
}

/** What the runs of one seed scored. */
export type SeedScores = RunScores & { readonly seed: number };

/** What several seeds scored together. @throws InputError where they have different labels */
export function seedScores(
  root: string,
  parts: readonly SeedScores[],
  resampling: Resampling | null,
): RunScores<SeedMetrics> {
  const { result: first, paper } = parts[0]!;
  const other = parts.find(({ result }) => result.labels.join() !== first.labels.join());
  if (other) throw new InputError(`${root}: seeds ${parts[0]!.seed} and ${other.seed} have different labels`);
  const majority = parts.flatMap((part) => part.majority ?? []);
  const predictions = parts.flatMap((part) => part.predictions);
  const evaluation = evaluationOf(
    seedMetrics(parts.map(({ seed, evaluation: { scores } }) => ({ seed, scores }))),
    parts.map((part) => part.predictions),
    resampling,
    majority.length === predictions.length ? majority : undefined,
  );
  const { stage, split, manifest_sha256 } = first.facts as Record<string, string | number>;
  const facts = { stage: stage!, split: split!, manifest_sha256: manifest_sha256! };
  const missing = parts.flatMap(({ seed, result }) =>
    (result.missing ?? []).map(({ fold }) => ({ seed, fold })),
  );
  const { name, versions, cross_corpus: crossCorpus } = first;
  const result = evaluationResult(evaluation, { name, versions, facts, missing, crossCorpus });
  return {
    evaluation,
    result,
    predictions,
    majority: majority.length === predictions.length ? majority : undefined,
    paper,
  };
}

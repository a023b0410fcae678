/** @file Ensembles: models whose probabilities of the same classes are averaged. */

import { InputError } from '../base/index.js';
import type { ScoredPrediction } from '../evaluation/index.js';
import { argmax } from '../evaluation/metrics/index.js';
import { type Recipe, systemOf, turnsOf } from '../systems/index.js';
import type { TestSetPredictions } from './test-set.js';

/** A model that is to judge, alone or with others. */
export interface NamedRecipe {
  /** What messages call it, such as its folder. */
  readonly name: string;
  readonly recipe: Recipe;
}

/** What models that judge together read, and what they answer. */
export interface Reading {
  /** The classes, in the order of the first model. */
  readonly labels: readonly string[];
  /** Whether any of them reads audio, and any of them text. */
  readonly views: { readonly audio: boolean; readonly text: boolean };
  /** Whose words those read that read text. */
  readonly text: Recipe['text'];
  /** The most earlier turns of a dialogue that one of them reads. */
  readonly turns: number;
  /** The most that is judged at once. */
  readonly maxAudioSec: number;
}

/**
 * What models read that judge together; usually it is one.
 * @throws InputError if they have different classes, or read different texts or lengths of audio
 */
export function readingOf(members: readonly NamedRecipe[]): Reading {
  const [first] = members as [NamedRecipe];
  const views = members.map(({ recipe }) => systemOf(recipe).views(recipe));
  const hearing = members.filter((_, index) => views[index]!.audio);
  const literate = members.filter((_, index) => views[index]!.text);
  for (const { name, recipe } of members) refuseOtherLabels(first, name, recipe.labels);
  refuseOther(literate, 'text', ({ recipe }) => recipe.text, 'the words of one of them would be wrong');
  const turns = members.map(({ recipe }) => turnsOf(recipe));
  refuseOther(
    members.filter((_, index) => turns[index]! > 0),
    'strip_tags',
    ({ recipe }) => recipe.strip_tags,
    'they read earlier turns with and without tags',
  );
  refuseOther(
    hearing,
    'max_audio_sec',
    ({ recipe }) => recipe.max_audio_sec,
    'they are cut to different lengths',
  );
  return {
    labels: first.recipe.labels,
    views: { audio: hearing.length > 0, text: literate.length > 0 },
    text: (literate[0] ?? first).recipe.text,
    turns: Math.max(...turns),
    maxAudioSec: (hearing[0] ?? first).recipe.max_audio_sec,
  };
}

function refuseOtherLabels(first: NamedRecipe, name: string, labels: readonly string[]): void {
  const own = first.recipe.labels;
  if (labels.length === own.length && labels.every((label) => own.includes(label))) return;
  throw new InputError(
    `${first.name} and ${name} have different labels (${own.join(', ')}; ${labels.join(', ')}); an ensemble needs models of the same classes`,
  );
}

function refuseOther(
  members: readonly NamedRecipe[],
  key: string,
  of: (member: NamedRecipe) => string | number | boolean,
  why: string,
): void {
  const [first] = members;
  const other = members.find((each) => of(each) !== of(first!));
  if (first === undefined || other === undefined) return;
  throw new InputError(
    `${first.name} was trained with ${key}: ${of(first)} and ${other.name} with ${key}: ${of(other)}; in an ensemble ${why}, so name models that agree`,
  );
}

/** A model's answer: its probabilities, and its classes in their order. */
export interface MemberAnswer {
  readonly labels: readonly string[];
  readonly probabilities: ArrayLike<number>;
}

/** The mean of the answers of models of the same classes, in the order of `labels`. */
export function meanProbabilities(answers: readonly MemberAnswer[], labels: readonly string[]): Float32Array {
  const sums = new Float64Array(labels.length);
  for (const { labels: own, probabilities } of answers) {
    labels.forEach((label, index) => {
      sums[index]! += probabilities[own.indexOf(label)]!;
    });
  }
  return Float32Array.from(sums, (sum) => sum / answers.length);
}

/**
 * The predictions of several models for the same utterances as those of one: the means of their probabilities. The rest
 * is that of the first; where their training sets differ, nothing is known of the counts.
 * @throws Error unless they are of the same utterances
 */
export function meanOfTests(tests: readonly TestSetPredictions[]): TestSetPredictions {
  const [first, ...others] = tests as [TestSetPredictions, ...TestSetPredictions[]];
  const { labels } = first;
  const meanOf = (rowsOf: (test: TestSetPredictions) => readonly ScoredPrediction[]): ScoredPrediction[] =>
    rowsOf(first).map((row, index) => {
      const rows = tests.map((test) => rowsOf(test)[index]);
      if (rows.some((each) => each?.id !== row.id || each?.reference !== row.reference)) {
        throw new Error(`the models of an ensemble were tested on other utterances than ${row.id}`);
      }
      // Another corpus may have only classes that one of the models gave no probability at all.
      if (rows.some((each) => each!.probabilities === undefined)) {
        return { ...row, label: undefined, probabilities: undefined };
      }
      const answers = rows.map((each, member) => ({
        labels: tests[member]!.labels,
        probabilities: each!.probabilities!,
      }));
      const probabilities = meanProbabilities(answers, labels);
      return { ...row, label: labels[argmax(probabilities)]!, probabilities };
    });
  const countsOf = (test: TestSetPredictions) =>
    test.trainingCounts && labels.map((label) => test.trainingCounts![test.labels.indexOf(label)]);
  const isAlike = others.every((test) => String(countsOf(test)) === String(countsOf(first)));
  return {
    ...first,
    predictions: meanOf(({ predictions }) => predictions),
    underNoise: first.underNoise.map((_, level) => meanOf(({ underNoise }) => underNoise[level]!)),
    wordErrors: tests.find(({ wordErrors }) => wordErrors !== undefined)?.wordErrors,
    embeddings: first.predictions.map(() => undefined),
    trainingCounts: isAlike ? first.trainingCounts : undefined,
    cut: tests.flatMap(({ cut }) => cut),
  };
}

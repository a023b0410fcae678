/** @file What was run on what, for the head of a report. */

import type { ReportData } from '../../report/index.js';
import { type Recipe, systemOf } from '../../systems/index.js';
import type { ReadRuns } from './evaluated-runs.js';

type About = ReportData['about'];

/**
 * Of the runs' own recipe and metadata.
 * @param corpus name of the manifest; null if it cannot be read
 */
export function reportAbout(parts: readonly ReadRuns[], corpus: string | null): About {
  const { recipe, metadata } = parts[0]!;
  const first = metadata[0]!;
  const all = parts.flatMap((part) => part.metadata);
  return {
    ...modelAbout(recipe, first.phase),
    corpus,
    utterances: {
      train: rangeText(all.map(({ utterances }) => utterances.train)),
      dev: rangeText(all.map(({ utterances }) => utterances.dev)),
      test: testText(parts),
    },
    split: splitText(parts),
  };
}

/** The kind of model, and what a phase of it reads. */
export function modelAbout(recipe: Recipe, phase: string): Pick<About, 'system' | 'backbones'> {
  const system = systemOf(recipe);
  const needs = system.needs(recipe, phase, 'backbones');
  const names = recipe.backbones as Readonly<Record<string, string | null>>;
  const encoder = names.encoder_onnx ?? names.encoder;
  return {
    system: `${recipe.system}: ${system.title}`,
    backbones: [
      ...(needs.audio && encoder ? [{ role: 'Speech encoder', name: encoder }] : []),
      ...needs.backbones.flatMap(({ key, title }) => {
        const name = names[key];
        return name ? [{ role: title === 'LLM' ? 'Language model' : title, name }] : [];
      }),
    ],
  };
}

/** How the validation set is made. */
export function validationText({ validation, validation_share }: Recipe): string {
  return {
    split: 'validation set of the corpus',
    speaker: 'one training speaker for validation',
    share: `${Number((100 * validation_share).toFixed(1))} % of the training set for validation`,
    none: 'no validation set',
  }[validation];
}

/** Of folds, the test sets are disjoint; seeds share theirs. */
function testText(parts: readonly ReadRuns[]): string {
  const [{ metadata }] = parts as [ReadRuns];
  return metadata.reduce((sum, { utterances }) => sum + utterances.test, 0).toLocaleString('en-US');
}

function splitText(parts: readonly ReadRuns[]): string {
  const [{ recipe, metadata, folds }] = parts as [ReadRuns];
  const { fold } = metadata[0]!;
  return [
    folds !== undefined
      ? `${metadata.length} folds, each testing on a session that it did not train on`
      : fold !== null
        ? `fold ${fold} alone, testing on a session that it did not train on`
        : 'test set of the corpus',
    validationText(recipe),
    ...(parts.length > 1 ? [`${parts.length} seeds`] : []),
  ].join('; ');
}

function rangeText(values: readonly number[]): string | null {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  if (most === 0) return null;
  const text = (value: number): string => value.toLocaleString('en-US');
  return least === most ? text(least) : `${text(least)} to ${text(most)}`;
}

/** @file Renders a report as JSON: everything that the page shows, without recordings and layout. */

import { overallOf, scorePartsOf } from '../evaluation/index.js';
import type { Metrics } from '../evaluation/metrics/index.js';
import type { ReportData } from './report-data.js';
import { summaryOf } from './summary.js';

/** One JSON object, as docs/files.md describes it. Figures are fractions of 1, and the paper's in percent. */
export function renderJson(data: ReportData): string {
  const { scores, map, prompt } = data;
  const { verdict } = summaryOf(data);
  const report = {
    format: 'emoq-report',
    version: 1,
    name: data.name,
    phase: data.phase,
    about: data.about,
    verdict,
    labels: data.labels,
    ...figuresOf(overallOf(scores)),
    ...(scores.kind === 'folds' && {
      folds: scorePartsOf(scores).map(({ part, metrics }) => ({ fold: part, ...figuresOf(metrics) })),
    }),
    ...(scores.kind === 'seeds' && {
      seeds: scores.seeds.map(({ seed, metrics }) => ({ seed, ...figuresOf(metrics) })),
    }),
    ...(scores.kind !== 'single' && { mean: scores.mean, sd: scores.sd }),
    intervals: data.intervals,
    paper: data.paper,
    baselines: data.baselines,
    unfinished: data.unfinished,
    missing: data.missing,
    calibration: data.calibration,
    noise: data.noise,
    layers: data.layers,
    training: data.curves.map(({ title, phase, steps, epochs, selectedEpoch }) => ({
      run: title,
      phase: phase.name,
      selected_epoch: selectedEpoch,
      epochs: epochs.map(({ step, epoch, figures }) => ({ step, epoch, ...figures })),
      steps: steps.map(({ step, loss, gradientNorm, learningRate }) => ({
        step,
        loss,
        gradient_norm: gradientNorm,
        learning_rate: learningRate,
      })),
    })),
    ablations: data.ablations,
    mistakes: data.mistakes.map(({ utterance }) => utterance),
    map: map.kind === 'map' ? { method: map.method, settings: map.settings } : { missing: map.reason },
    utterances: data.utterances.map((each, i) => ({
      id: each.id,
      fold: each.fold,
      seed: each.seed,
      speaker: each.speaker,
      text: each.text,
      reference: data.labels[each.reference],
      label: each.predicted === null ? null : data.labels[each.predicted],
      probabilities: each.probabilities,
      map: map.kind === 'map' ? map.points[i] : null,
    })),
    recipe: data.recipe,
    prompt,
    versions: data.versions,
    metadata: Object.fromEntries(data.metadata),
  };
  return `${JSON.stringify(report)}\n`;
}

function figuresOf({ kind: _, labels: __, perClass, ...figures }: Metrics) {
  return { ...figures, per_class: perClass };
}

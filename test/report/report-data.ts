/** @file Synthetic report data from a seed, of any size and with hostile content on request. */

import { seededRandom } from '../../src/engine/tensor/index.js';
import { baselinesOf } from '../../src/evaluation/evaluation.js';
import {
  type BootstrapIntervals,
  type FoldMetrics,
  foldMetrics,
  overallOf,
} from '../../src/evaluation/index.js';
import type { Calibration } from '../../src/evaluation/metrics/calibration.js';
import { classificationMetrics, type Metrics } from '../../src/evaluation/metrics/classification.js';
import { argmax } from '../../src/evaluation/metrics/confusion.js';
import type { Interval } from '../../src/evaluation/metrics/index.js';
import { type MetricKey, metricKeys } from '../../src/evaluation/metrics/metric-table.js';
import type { Mistake, ReportData, ReportUtterance, TrainingCurve } from '../../src/report/index.js';

export interface ReportShape {
  readonly utterances: number;
  readonly labels: readonly string[];
  /** 0 for one run without folds. */
  readonly folds: number;
  readonly steps: number;
  readonly epochs: number;
  readonly mistakes: number;
  /** Of each mistake's recording. */
  readonly audioBytes: number;
  readonly seed: number;
}

export const meldLabels = ['neutral', 'joy', 'surprise', 'anger', 'sadness', 'disgust', 'fear'];

const words =
  'oh well I really never thought that you would come here again so what do we tell them now please stop it is fine'.split(
    ' ',
  );

/** Figures that fall with the ratio, with intervals. */
function noiseResults(clean: Metrics): ReportData['noise'] {
  const level = (snr_db: number | null, factor: number) => {
    const figures = Object.fromEntries(metricKeys.map((key) => [key, factor * clean[key]])) as Record<
      MetricKey,
      number
    >;
    const interval = (key: MetricKey) => ({
      low: figures[key] - 0.03,
      high: Math.min(1, figures[key] + 0.025),
    });
    return {
      snr_db,
      n: clean.n,
      ...figures,
      ece: 0.1,
      intervals: {
        ...{ level: 0.95, resamples: 10_000, seed: 1, unit: 'utterance' as const, units: clean.n },
        ...(Object.fromEntries(metricKeys.map((key) => [key, interval(key)])) as Record<MetricKey, Interval>),
      },
    };
  };
  return {
    name: 'meld7',
    noise: { from: 'pink', seed: 1 },
    checkpoints: [null],
    levels: [level(null, 1), level(20, 0.97), level(10, 0.9), level(5, 0.8), level(0, 0.66), level(-5, 0.5)],
    versions: {},
    metadata: {},
  };
}

/** A plausible experiment: one class is common, the model is better on it, the map has a cluster for each class. */
export function reportData(shape: Partial<ReportShape> = {}): ReportData {
  const { labels, folds, ...size }: ReportShape = {
    utterances: 400,
    labels: meldLabels,
    folds: 0,
    steps: 1200,
    epochs: 5,
    mistakes: 8,
    audioBytes: 4000,
    seed: 1,
    ...shape,
  };
  const random = seededRandom(size.seed, 'report');
  const points: [number, number][] = [];
  const utterances = Array.from({ length: size.utterances }, (_, i): ReportUtterance => {
    const reference = Math.floor(labels.length * random.uniform() ** 2);
    const scores = labels.map((_, k) => random.normal() + (k === reference ? 1.6 : 0) + (k === 0 ? 0.6 : 0));
    const total = scores.reduce((sum, score) => sum + Math.exp(score), 0);
    const probabilities = scores.map((score) => Math.exp(score) / total);
    const angle = (2 * Math.PI * reference) / labels.length;
    points.push([6 * Math.cos(angle) + 1.6 * random.normal(), 4 * Math.sin(angle) + 1.3 * random.normal()]);
    return {
      id: `dia${Math.floor(i / 9)}_utt${i % 9}`,
      fold: folds === 0 ? null : String(1 + (i % folds)),
      seed: null,
      speaker: i % 11 === 0 ? null : random.pick(['Ross', 'Monica', 'Rachel', 'Joey', 'Chandler', 'Phoebe']),
      text: Array.from({ length: 12 }, () => random.pick(words)).join(' '),
      reference,
      predicted: argmax(probabilities),
      probabilities,
    };
  });
  const outcomes = utterances.map(({ reference, predicted, fold }) => ({
    fold,
    reference: labels[reference]!,
    label: predicted === null ? undefined : labels[predicted]!,
  }));
  const scores: Metrics | FoldMetrics =
    folds === 0
      ? classificationMetrics(outcomes, labels)
      : foldMetrics(
          Array.from({ length: folds }, (_, k) => ({
            fold: String(k + 1),
            outcomes: outcomes.filter(({ fold }) => fold === String(k + 1)),
          })),
          labels,
        );
  const confidence = (each: ReportUtterance): number => each.probabilities![each.predicted!]!;
  const mistakes = utterances
    .map((each, utterance) => ({ each, utterance }))
    .filter(({ each }) => each.predicted !== each.reference)
    .sort((a, b) => confidence(b.each) - confidence(a.each))
    .slice(0, size.mistakes)
    .map(
      ({ utterance }, i): Mistake =>
        i === 1
          ? { utterance, audio: null, audioMissing: 'its recording is not in the corpus folder' }
          : { utterance, audio: tone(200 + 20 * i, size.audioBytes), audioMissing: null },
    );
  const overall = overallOf(scores);
  return {
    name: 'meld7',
    phase: 'stage 2',
    about: {
      system: 'emoq: EmoQ-Former and a language model with LoRA',
      backbones: [
        { role: 'Speech encoder', name: 'facebook/hubert-large-ll60k' },
        { role: 'Former', name: 'FacebookAI/roberta-base' },
        { role: 'Language model', name: 'Qwen/Qwen2.5-7B-Instruct' },
      ],
      corpus: 'meld',
      utterances: { train: '9,989', dev: '1,109', test: size.utterances.toLocaleString('en-US') },
      split: 'test set of the corpus; validation set of the corpus',
    },
    layers: [],
    isPrompted: true,
    labels,
    unfinished: [],
    missing: [],
    scores,
    intervals: intervalsAround(overall),
    calibration: calibration(utterances),
    noise: noiseResults(overall),
    baselines: baselinesOf(
      utterances.map(({ reference }) => ({ reference: labels[reference]! })),
      labels,
      utterances.map(() => labels[0]!),
    ),
    paper: { table: 3, wa: 67.6, ua: 50.8, wf1: 66.5, best_earlier: { wa: 53.5, ua: 27.3, wf1: 49.3 } },
    utterances,
    map: { kind: 'map', method: 'umap', settings: '15 neighbours, least distance 0.1, seed 0', points },
    curves: Array.from({ length: Math.max(1, folds) }, (_, k) => [curve(1, k), curve(2, k)]).flat(),
    mistakes,
    ablations: [
      {
        title: 'Inputs (table 4)',
        rows: [
          {
            label: 'audio only',
            wa: 0.481,
            ua: 0.262,
            wf1: 0.44,
            n: 2610,
            paper: { wa: 47.8, ua: 26.3, wf1: 43.6 },
          },
          {
            label: 'text only',
            wa: 0.63,
            ua: 0.431,
            wf1: 0.594,
            n: 2610,
            paper: { wa: 63.7, ua: 42.9, wf1: 60 },
          },
          {
            label: 'both, without the Former',
            wa: 0.65,
            ua: 0.44,
            wf1: 0.62,
            n: 2610,
            paper: { wa: 64.5, ua: 45.3, wf1: 61.7 },
          },
          {
            label: 'both',
            wa: 0.668,
            ua: 0.51,
            wf1: 0.66,
            n: 2610,
            paper: { wa: 67.6, ua: 50.8, wf1: null },
          },
        ],
      },
    ],
    recipe: `name: meld7\nlabels: [${labels.join(', ')}]\nseed: 1\nformer:\n  queries: 32\n${Array.from({ length: 60 }, (_, i) => `key_${i}: ${i}`).join('\n')}\n`,
    prompt: {
      system: 'You are an emotion recognition expert.',
      user: 'Speaker: {speaker}\nTranscript: {text}\nAudio: <AUDIO>',
      answer: 'Emotion:',
    },
    versions: { emoq: '0.1.0', node: '20.20.2', 'onnxruntime-node': '1.30.0' },
    metadata: [
      ['corpus', 'MELD'],
      ['manifest SHA-256', '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'],
      ['trained parameters', '123,456,789'],
    ],
  };

  function curve(stage: 1 | 2, run: number): TrainingCurve {
    const noise = seededRandom(size.seed, 'curve', stage, run);
    const perEpoch = size.steps / Math.max(1, size.epochs);
    return {
      title: folds === 0 ? '' : `stage ${stage}, fold ${run + 1}`,
      phase: { name: `stage${stage}`, title: `stage ${stage}` },
      steps: Array.from({ length: size.steps }, (_, i) => ({
        step: i + 1,
        loss: 0.4 + 2 * Math.exp((-3 * i) / size.steps) + 0.15 * Math.abs(noise.normal()),
        gradientNorm: Math.exp(noise.normal()) * (i % 500 === 499 ? 40 : 1),
        learningRate: 1e-5 * Math.min(1, (i + 1) / (size.steps / 10), (1.1 * (size.steps - i)) / size.steps),
      })),
      epochs: Array.from({ length: size.epochs }, (_, i) => ({
        step: Math.round((i + 1) * perEpoch),
        epoch: i + 1,
        figures: {
          wa: 0.5 + 0.03 * i + 0.01 * noise.normal(),
          ua: 0.35 + 0.03 * i + 0.01 * noise.normal(),
          wf1: 0.45 + 0.03 * i + 0.01 * noise.normal(),
          nll: 1.6 - 0.1 * i + 0.02 * noise.normal(),
        },
      })),
      selectedEpoch: size.epochs === 0 ? null : Math.max(1, size.epochs - 1),
    };
  }
}

/** Interval ends similar to a bootstrap's: two standard errors of a share on each side. */
function intervalsAround(metrics: Metrics): BootstrapIntervals {
  const around = (metric: MetricKey) => {
    const room = 1.96 * Math.sqrt((metrics[metric] * (1 - metrics[metric])) / metrics.n);
    return [metric, { low: metrics[metric] - room, high: metrics[metric] + room }] as const;
  };
  return {
    level: 0.95,
    resamples: 10_000,
    seed: 0,
    unit: 'utterance',
    units: metrics.n,
    metrics: Object.fromEntries(metricKeys.map(around)) as BootstrapIntervals['metrics'],
  };
}

function calibration(utterances: readonly ReportUtterance[]): Calibration {
  const count = 15;
  const bins = Array.from({ length: count }, (_, k) => {
    const members = utterances.filter(({ probabilities }) => {
      const largest = Math.max(...probabilities!);
      return largest > k / count && largest <= (k + 1) / count;
    });
    const n = members.length;
    const right = members.filter(({ reference, predicted }) => reference === predicted).length;
    const confidence = members.reduce((sum, { probabilities }) => sum + Math.max(...probabilities!), 0) / n;
    const known = n > 0 ? { confidence, accuracy: right / n } : { confidence: null, accuracy: null };
    return { low: k / count, high: (k + 1) / count, n, ...known };
  });
  const ece = bins.reduce(
    (sum, { n, confidence, accuracy }) =>
      sum + (n === 0 ? 0 : (n / utterances.length) * Math.abs(confidence! - accuracy!)),
    0,
  );
  return { ece, bins, n: utterances.length };
}

/** A tone as a WAV file (8 kHz, 8 bits, mono) in a data: URL. @param bytes of sound, 8,000 a second */
function tone(frequencyHz: number, bytes: number): string {
  const wav = Buffer.alloc(44 + bytes);
  wav.write('RIFF', 0);
  wav.writeUInt32LE(36 + bytes, 4);
  wav.write('WAVEfmt ', 8);
  wav.writeUInt32LE(16, 16);
  wav.writeUInt16LE(1, 20); // PCM
  wav.writeUInt16LE(1, 22); // channels
  wav.writeUInt32LE(8000, 24);
  wav.writeUInt32LE(8000, 28);
  wav.writeUInt16LE(1, 32);
  wav.writeUInt16LE(8, 34);
  wav.write('data', 36);
  wav.writeUInt32LE(bytes, 40);
  for (let i = 0; i < bytes; i++)
    wav[44 + i] = 128 + Math.round(60 * Math.sin((2 * Math.PI * frequencyHz * i) / 8000));
  return `data:audio/wav;base64,${wav.toString('base64')}`;
}

/** Text that must stay text anywhere in a report. */
export const hostileText = `</script><script>document.title='broken'</script> "double" 'single' <img src=x onerror=alert(1)> & &amp; ]]> --> שלום עולם مرحبا 👩‍👩‍👧‍👦 \u0000\u000b\ud800 end`;

/** An experiment with markup or script in every name. */
export function hostileReportData(): ReportData {
  const labels = [hostileText, 'x'.repeat(200), 'שמחה', '😡', '__proto__'];
  const data = reportData({ utterances: 60, labels, folds: 2, steps: 50, epochs: 2, mistakes: 4 });
  return {
    ...data,
    name: hostileText,
    utterances: data.utterances.map((each, i) => ({
      ...each,
      id: `${hostileText} ${i}`,
      speaker: hostileText,
      text: i % 2 === 0 ? hostileText : 'מה שלומך? '.repeat(30),
    })),
    curves: data.curves.map((curve) => ({ ...curve, title: `${hostileText} ${curve.title}` })),
    mistakes: data.mistakes.map((mistake) =>
      mistake.audio === null ? { ...mistake, audioMissing: hostileText } : mistake,
    ),
    ablations: data.ablations.map((each) => ({
      title: hostileText,
      rows: each.rows.map((row) => ({ ...row, label: hostileText })),
    })),
    recipe: hostileText,
    prompt: { system: hostileText, user: hostileText, answer: hostileText },
    versions: { [hostileText]: hostileText },
    metadata: [[hostileText, hostileText]],
  };
}

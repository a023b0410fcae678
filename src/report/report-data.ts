/** @file The data of a report, gathered elsewhere and rendered here. */

import type {
  Baselines,
  BootstrapIntervals,
  Missing,
  NoiseResults,
  PaperFigures,
  PaperRow,
  Scores,
} from '../evaluation/index.js';
import type { Calibration, Interval, PaperKey } from '../evaluation/metrics/index.js';

/** What was run on what, for the head of a report. */
export interface ReportAbout {
  /** The kind of model, such as "EmoQ". */
  readonly system: string;
  /** The pretrained models that it reads, as the recipe names them. */
  readonly backbones: readonly { readonly role: string; readonly name: string }[];
  /** Name of the corpus; null if its manifest cannot be read. */
  readonly corpus: string | null;
  /** How many utterances each part has, a range over runs if they differ; null if unknown. */
  readonly utterances: Readonly<Record<'train' | 'dev' | 'test', string | null>>;
  /** How the parts were made, and how many runs there are; null if unknown. */
  readonly split: string | null;
}

/** Everything a report shows. Missing data is null or empty: its section is left out, and a list says why. */
export interface ReportData {
  /** Name of the experiment, such as "meld7". */
  readonly name: string;
  /** The phase that was trained: "stage 2". */
  readonly phase: string;
  readonly about: ReportAbout;
  readonly labels: readonly string[];
  /** Folders of unfinished runs; their figures are of the best epoch so far. */
  readonly unfinished: readonly string[];
  /** Folds of a cross-validation that the figures do not include, as text. */
  readonly missing: readonly string[];
  readonly scores: Scores;
  readonly intervals: BootstrapIntervals | null;
  readonly calibration: Calibration | null;
  /** Figures of the test set under noise; null if there are none. */
  readonly noise: NoiseResults | null;
  readonly baselines: Baselines;
  readonly paper: PaperRow | null;
  /** Scored utterances, in the order of the predictions file. */
  readonly utterances: readonly ReportUtterance[];
  readonly map: EmbeddingMap | Missing;
  /** One for each run (fold, seed) with metrics. */
  readonly curves: readonly TrainingCurve[];
  /** The worst mistakes, worst first: indices into `utterances`. */
  readonly mistakes: readonly Mistake[];
  readonly ablations: readonly ReportAblation[];
  /** Of the encoder's layers that are summed with learned weights; empty where one layer is read. */
  readonly layers: readonly LayerWeight[];
  /** The resolved recipe, as YAML. */
  readonly recipe: string;
  /** Whether the phase is trained with a prompt. */
  readonly isPrompted: boolean;
  /** The prompt with unfilled slots; null in a phase without one. */
  readonly prompt: {
    readonly system: string;
    readonly user: string;
    /** Prompt for utterances without a transcript, if different. */
    readonly user_without_text?: string;
    readonly answer: string;
  } | null;
  /** emoq, Node, onnxruntime and so on. */
  readonly versions: Readonly<Record<string, string>>;
  /** Name-value pairs in display order: corpus, checksums, counts, seed, device, parameters. */
  readonly metadata: readonly (readonly [name: string, value: string])[];
}

/** A layer of the encoder in a learned sum. */
export interface LayerWeight {
  /** 0 is the input of the first layer. */
  readonly layer: number;
  /** Its weight in each run; those of a run add up to 1. */
  readonly shares: readonly number[];
}

export interface ReportUtterance {
  readonly id: string;
  readonly fold: string | null;
  readonly seed: number | null;
  readonly speaker: string | null;
  readonly text: string;
  /** Index into `labels`. */
  readonly reference: number;
  /** Index into `labels`; null if the system gave no answer. */
  readonly predicted: number | null;
  /** [classes], or null if there are none. */
  readonly probabilities: readonly number[] | null;
}

/** Two coordinates for each utterance's e'_q, null if it has none. */
export interface EmbeddingMap {
  readonly kind: 'map';
  readonly method: 'umap';
  /** Settings of the layout as text: neighbours, minimum distance, seed. */
  readonly settings: string;
  readonly points: readonly (readonly [x: number, y: number] | null)[];
}

/** The curves of one run, from its metrics.jsonl. */
export interface TrainingCurve {
  /** Such as "stage 1, fold 2"; empty for a single run. */
  readonly title: string;
  readonly phase: { readonly name: string; readonly title: string };
  readonly steps: readonly {
    readonly step: number;
    readonly loss: number;
    readonly gradientNorm: number;
    readonly learningRate: number;
  }[];
  readonly epochs: readonly {
    readonly step: number;
    readonly epoch: number;
    readonly figures: Readonly<Record<string, number>>;
  }[];
  /** The selected epoch. */
  readonly selectedEpoch: number | null;
}

export interface Mistake {
  readonly utterance: number;
  /** The recording as a data: URL that browsers can play; null, with the reason, if it could not be read. */
  readonly audio: string | null;
  readonly audioMissing: string | null;
}

/** An ablation table with the paper's figures. */
export interface ReportAblation {
  readonly title: string;
  readonly rows: readonly (Readonly<Record<PaperKey, number>> & {
    readonly label: string;
    readonly n: number;
    /** Absent if none were computed. */
    readonly intervals?: Readonly<Record<PaperKey, Interval>>;
    readonly paper: PaperFigures;
  })[];
}

/** @file What a report shows, as plain data: gathered elsewhere, drawn here. */

import type {
  Baselines,
  BootstrapIntervals,
  Missing,
  PaperFigures,
  PaperRow,
  Scores,
} from '../evaluation/index.js';
import type { Calibration, Interval, PaperKey } from '../evaluation/metrics/index.js';

/** Everything that a report shows. What a run does not have is null or empty, and its section says why. */
export interface ReportData {
  /** Name of the experiment, such as "meld7". */
  readonly name: string;
  /** The phase that was trained: "stage 2". */
  readonly phase: string;
  readonly labels: readonly string[];
  /** Folders of the runs whose training has not ended: their figures are of the best epoch so far. */
  readonly unfinished: readonly string[];
  /** Folds of a cross-validation that the figures are without, each in words. */
  readonly missing: readonly string[];
  readonly scores: Scores;
  readonly intervals: BootstrapIntervals | null;
  readonly calibration: Calibration | null;
  readonly baselines: Baselines;
  readonly paper: PaperRow | null;
  /** Scored utterances, in the order of the predictions file. */
  readonly utterances: readonly ReportUtterance[];
  readonly map: EmbeddingMap | Missing;
  /** One for each run (fold, seed) whose metrics are there. */
  readonly curves: readonly TrainingCurve[];
  /** Utterances that the model was most wrong about, the worst first: indices into `utterances`. */
  readonly mistakes: readonly Mistake[];
  readonly ablations: readonly ReportAblation[];
  /** The resolved recipe, as YAML. */
  readonly recipe: string;
  /** Whether the phase is trained with a prompt. */
  readonly isPrompted: boolean;
  /** The prompt, slots unfilled; null in a phase without one. */
  readonly prompt: {
    readonly system: string;
    readonly user: string;
    /** Of utterances without a transcript, where it is another. */
    readonly user_without_text?: string;
    readonly answer: string;
  } | null;
  /** emoq, Node, onnxruntime and so on. */
  readonly versions: Readonly<Record<string, string>>;
  /** Name and value, in the order to show: corpus, checksums, counts, seed, device, parameters. */
  readonly metadata: readonly (readonly [name: string, value: string])[];
}

export interface ReportUtterance {
  readonly id: string;
  readonly fold: string | null;
  readonly seed: number | null;
  readonly speaker: string | null;
  readonly text: string;
  /** Index into `labels`. */
  readonly reference: number;
  /** Index into `labels`; null where the system gave no answer. */
  readonly predicted: number | null;
  /** [classes], or null where there are none. */
  readonly probabilities: readonly number[] | null;
}

/** Two coordinates for each utterance's e'_q, null where it has none. */
export interface EmbeddingMap {
  readonly kind: 'map';
  readonly method: 'umap';
  /** Neighbours, least distance, seed: what it was made with, in words. */
  readonly settings: string;
  readonly points: readonly (readonly [x: number, y: number] | null)[];
}

/** The curves of one run, from its metrics.jsonl. */
export interface TrainingCurve {
  /** Such as "stage 1, fold 2"; empty where there is one run alone. */
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
  /** Epoch that was kept. */
  readonly selectedEpoch: number | null;
}

export interface Mistake {
  readonly utterance: number;
  /** The recording as a data: URL that a browser plays; null where it could not be read, with the reason. */
  readonly audio: string | null;
  readonly audioMissing: string | null;
}

/** A table of ablations beside the paper's. */
export interface ReportAblation {
  readonly title: string;
  readonly rows: readonly (Readonly<Record<PaperKey, number>> & {
    readonly label: string;
    readonly n: number;
    /** Absent where none were found. */
    readonly intervals?: Readonly<Record<PaperKey, Interval>>;
    readonly paper: PaperFigures;
  })[];
}

/** @file The table of metrics, and metrics of outcomes. */

export { type Calibration, type CalibrationBin, calibrationOf } from './calibration.js';
export {
  classificationMetrics,
  type MetricFigures,
  type Metrics,
  metricFigures,
  metricsOfCounts,
  type ProbabilityFigures,
  probabilityFigures,
  validationFigures,
} from './classification.js';
export type { Interval } from './closed-forms.js';
export {
  addCounts,
  argmax,
  type ConfusionCounts,
  countOutcomes,
  type Outcome,
  outcomeCells,
  type ProbabilisticOutcome,
  totalsOf,
  totalsOfCounts,
} from './confusion.js';
export {
  type CountMetric,
  countMetrics,
  type Metric,
  type MetricKey,
  metricKeys,
  metrics,
  ofMetrics,
  ofPaperMetrics,
  type PaperKey,
  type ProbabilityKey,
  paperMetrics,
  probabilityMetrics,
  type SelectKey,
  selectableMetric,
  selectKeys,
  validationMetrics,
} from './metric-table.js';

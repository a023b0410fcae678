/** @file The table of metrics, and metrics of outcomes. */

export { type Calibration, type CalibrationBin, calibrationOf } from './calibration.js';
export {
  type ClassMetrics,
  classificationMetrics,
  type MetricFigures,
  type Metrics,
  metricFigures,
  metricsOfCounts,
  type ProbabilityFigures,
  probabilityFigures,
  validationFigures,
} from './classification.js';
export {
  type ClosedInterval,
  type Interval,
  meanRecallInterval,
  wilsonInterval,
} from './closed-forms.js';
export {
  addCounts,
  argmax,
  type ConfusionCounts,
  type ConfusionTotals,
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
  type ProbabilityMetric,
  paperMetrics,
  probabilityMetrics,
  type SelectKey,
  selectableMetric,
  selectKeys,
  validationMetrics,
} from './metric-table.js';

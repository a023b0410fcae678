/** @file What the headline metrics are called in plots and tables. */

import type { HeadlineMetric } from '../../evaluation/index.js';

export const metricNames: Readonly<Record<HeadlineMetric, string>> = {
  wa: 'WA',
  ua: 'UA',
  wf1: 'weighted F1',
  macroF1: 'macro F1',
};

/** @file Raw releases and CSV files to one manifest format: preparation, manifests, views, splits, leakage. */

export { type CorpusReport, corpusReport } from './corpus-report.js';
export { prepareCsv } from './csv-corpus.js';
export { prepareIemocap } from './iemocap.js';
export { readLabelMap } from './label-map.js';
export type { LeakageKind, LeakagePair, LeakageReport } from './leakage.js';
export { countLabels, type Manifest, readManifest, type Utterance } from './manifest.js';
export type { ClipNote, CorpusCounts, LabelCounts } from './manifest-info.js';
export { prepareMeld } from './meld.js';
export { type Partition, partitionUtterances, sessionsOf, type ValidationDraw } from './partition.js';
export type { ClipFormat, PreparationSummary } from './preparation.js';
export { dialogueOf, GROUP_KINDS, type SeenInTraining, type SeenShare } from './seen-in-training.js';
export { type SharedItem, type SharedItems, sharedAudio } from './shared-audio.js';
export {
  type Division,
  type GroupStatistics,
  groupStatistics,
  groupUtterances,
  quantile,
} from './statistics.js';
export { withoutTags } from './transcripts.js';
export {
  type CorpusView,
  checkAudioFiles,
  labelCounts,
  requireAudio,
  type SelectedUtterances,
  selectUtterances,
} from './view.js';

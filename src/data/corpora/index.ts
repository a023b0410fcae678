/** @file Door of the corpora: raw releases and CSVs in, one manifest format out, and views and partitions of it. */

export { SHORTEST_CLIP_SEC } from './clips/index.js';
export { type CorpusFacts, corpusFactsPath, countDifferences, readCorpusFacts } from './corpus-facts.js';
export { type CsvCorpusOptions, prepareCsv } from './csv-corpus.js';
export { type IemocapOptions, prepareIemocap } from './iemocap.js';
export { readLabelMap } from './label-map.js';
export { spellingWarnings } from './label-spellings.js';
export {
  findLeakage,
  type LeakageKind,
  type LeakagePair,
  type LeakageReport,
} from './leakage.js';
export {
  countLabels,
  MANIFEST_COLUMNS,
  type Manifest,
  type ManifestContent,
  readManifest,
  type Utterance,
  writeManifest,
} from './manifest.js';
export type {
  ClipNote,
  CorpusCounts,
  LabelCounts,
  ManifestInfo,
  MergedLabel,
  PreparationNotes,
} from './manifest-info.js';
export { type MeldOptions, prepareMeld } from './meld.js';
export { type MeldAnnotation, readMeldAnnotations } from './meld-annotations.js';
export {
  type Partition,
  type PartitionOptions,
  partitionUtterances,
  sessionsOf,
  type ValidationChoice,
  type ValidationDraw,
} from './partition.js';
export type { ClipFormat, PreparationOptions, PreparationSummary } from './preparation.js';
export {
  GROUP_KINDS,
  type GroupKind,
  type SeenInTraining,
  type SeenShare,
  seenInTraining,
} from './seen-in-training.js';
export { sharedAudio } from './shared-audio.js';
export type { SharedItem, SharedItems } from './shared-items.js';
export { assignFolds, assignSplits, type SplitOptions, type SplitUnit } from './splits.js';
export {
  type Division,
  divisionOf,
  type GroupStatistics,
  groupStatistics,
  groupUtterances,
  type LengthDistribution,
  quantile,
} from './statistics.js';
export { withoutTags } from './transcripts.js';
export {
  type CorpusView,
  checkAudioFiles,
  requireAudio,
  type SelectedUtterances,
  selectUtterances,
} from './view.js';

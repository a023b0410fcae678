/** @file Corpora: preparation from raw releases and CSV files, manifests, views, splits and leakage checks. */

export {
  corpusMetadataPath,
  isPublishedCorpus,
  readCorpusMetadata,
  readYamlFile,
} from './corpus-metadata.js';
export { prepareCsv } from './csv-corpus.js';
export { prepareDescribed } from './description/described-corpus.js';
export { dialogueOf, hasDialogues, historiesOf } from './dialogues.js';
export {
  type Folding,
  type FoldRule,
  type HeldOutGroups,
  heldOutGroups,
  isFoldRule,
  listedGroups,
} from './folds.js';
export { prepareIemocap } from './iemocap.js';
export { readLabelMap } from './label-map.js';
export {
  type CorpusReport,
  corpusReport,
  GROUP_KINDS,
  type LeakageKind,
  type LeakagePair,
  type LeakageReport,
  type SeenInTraining,
  type SeenShare,
} from './leakage.js';
export {
  countLabels,
  dialoguePlace,
  type HistoryTurn,
  type Manifest,
  readManifest,
  type Utterance,
} from './manifest.js';
export {
  type ClipNote,
  type CorpusCounts,
  type LabelCounts,
  type RecogniserInfo,
  recogniserSchema,
} from './manifest-info.js';
export { prepareMeld } from './meld.js';
export {
  type CorpusView,
  checkAudioFiles,
  labelCounts,
  type Partition,
  partitionUtterances,
  requireAudio,
  type SelectedUtterances,
  selectUtterances,
  type TextOrigin,
  type ValidationDraw,
  withTextOf,
} from './partition.js';
export { withoutTags } from './passages.js';
export type { ClipFormat, CorpusRecogniser, PreparationSummary } from './preparation.js';
export { openRelease, type Release, releaseNames } from './releases.js';
export { type SharedItem, type SharedItems, sharedAudio } from './shared-audio.js';
export {
  type Division,
  type GroupStatistics,
  groupStatistics,
  groupUtterances,
  quantile,
} from './statistics.js';
export type { WordTime } from './word-times.js';

/** @file Recognised texts for tables, recordings and prepared corpora. */

export { corpusRecogniser } from './corpus-recogniser.js';
export { type RecogniserUnderNoise, recogniserUnderNoise } from './recogniser-under-noise.js';
export {
  type PlannedTranscription,
  type TranscriptionJob,
  transcribeRows,
  transcriptionPlan,
} from './transcribe.js';
export type { TranscribedRow } from './transcribed-row.js';

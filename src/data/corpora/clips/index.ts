/** @file Converts released recordings, in folders or archives, to 16 kHz mono clips; resumable at any point. */

export { readArchive } from './archive.js';
export { SHORTEST_CLIP_SEC } from './conversion.js';
export {
  type ClipOutcome,
  type ClipTask,
  type CutRule,
  decoderOf,
  type Segment,
  segmentName,
} from './journal.js';
export { type PreparationControls, type PreparedClips, prepareClips } from './making.js';

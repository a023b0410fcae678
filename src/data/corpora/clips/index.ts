/** @file Door of the clips: recordings as released in, 16 kHz mono WAV or FLAC out, whatever stops it in between. */

export { readArchive } from './archive.js';
export { SHORTEST_CLIP_SEC } from './conversion.js';
export { decoderOf } from './journal.js';
export { type PreparationControls, type PreparedClips, prepareClips } from './making.js';
export { type Segment, segmentName } from './segments.js';
export type { ClipOutcome, ClipTask, CutRule } from './task.js';

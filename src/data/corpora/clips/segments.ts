/** @file Parts of long recordings, as a corpus CSV gives them by start and end. */

/** From `startSec` to `endSec`, or to the end of the recording. */
export interface Segment {
  startSec: number;
  endSec?: number | undefined;
}

/** `12.5-14`: part of an id, so that segments of one recording differ. */
export function segmentName({ startSec, endSec }: Segment): string {
  return `${startSec}-${endSec ?? 'end'}`;
}

/** In words, for notes and messages. */
export function describeSegment({ startSec, endSec }: Segment): string {
  return `${startSec} s to ${endSec === undefined ? 'the end' : `${endSec} s`}`;
}

/** @file Parts of long recordings, as a corpus CSV gives them by start, end and channel. */

import type { ChannelChoice } from '../../audio/index.js';

/** From `startSec` to `endSec`, or to the end of the recording. */
export interface Segment {
  startSec: number;
  endSec?: number | undefined;
}

/** `12.5-14`: part of an id, so that segments of one recording differ. */
export function segmentName({ startSec, endSec }: Segment): string {
  return `${startSec}-${endSec ?? 'end'}`;
}

/** In words: which channel, from when to when; undefined for all of a recording. */
export function describePart(
  segment: Segment | undefined,
  channel: ChannelChoice | undefined,
): string | undefined {
  const which = typeof channel === 'number' ? `channel ${channel}` : undefined;
  const when = segment && describeSegment(segment);
  return which && when ? `${which}, ${when}` : (which ?? when);
}

/** In words, for notes and messages. */
export function describeSegment({ startSec, endSec }: Segment): string {
  return `${startSec} s to ${endSec === undefined ? 'the end' : `${endSec} s`}`;
}

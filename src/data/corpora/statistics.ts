/** @file Statistics of a corpus by group: utterances, speakers, hours and clip lengths. */

import type { Utterance } from './manifest.js';

/** What divides a corpus: its splits, or the sessions that folds hold out. */
export type Division = 'split' | 'session';

/** Lengths of clips in seconds: extremes and quantiles. */
export interface LengthDistribution {
  min: number;
  p25: number;
  median: number;
  p75: number;
  p95: number;
  max: number;
}

export interface GroupStatistics {
  utterances: number;
  /** Number of named speakers. */
  speakers: number;
  durationSec: number;
  /** Undefined if no clip length is known. */
  lengthSec: LengthDistribution | undefined;
}

/** Splits in order of use, sessions by number or name. */
const SPLIT_ORDER = ['train', 'dev', 'test'];

/** What divides a corpus: its splits, or else its sessions; undefined if it has neither. */
export function divisionOf(utterances: readonly Utterance[]): Division | undefined {
  if (utterances.some(({ split }) => split !== '')) return 'split';
  return utterances.some(({ session }) => session !== '') ? 'session' : undefined;
}

/** Utterances by split or session, in order of use; those without one under ''. */
export function groupUtterances(
  utterances: readonly Utterance[],
  division: Division,
): Map<string, Utterance[]> {
  const groups = new Map<string, Utterance[]>();
  for (const utterance of utterances) {
    const group = groups.get(utterance[division]);
    if (group) group.push(utterance);
    else groups.set(utterance[division], [utterance]);
  }
  const rank = (name: string): number => SPLIT_ORDER.indexOf(name);
  return new Map(
    [...groups].sort(
      ([a], [b]) => rank(a) - rank(b) || a.localeCompare(b, 'en', { numeric: true }), // unknown names first
    ),
  );
}

/** Statistics of one group, or of a whole corpus. */
export function groupStatistics(utterances: readonly Utterance[]): GroupStatistics {
  const lengths = utterances.map(({ durationSec }) => durationSec).filter((sec) => sec > 0);
  return {
    utterances: utterances.length,
    speakers: new Set(utterances.map(({ speaker }) => speaker).filter((speaker) => speaker !== '')).size,
    durationSec: lengths.reduce((sum, sec) => sum + sec, 0),
    lengthSec: lengths.length > 0 ? lengthDistribution(lengths) : undefined,
  };
}

function lengthDistribution(lengthsSec: readonly number[]): LengthDistribution {
  const sorted = [...lengthsSec].sort((a, b) => a - b);
  const [min, p25, median, p75, p95, max] = [0, 0.25, 0.5, 0.75, 0.95, 1].map((p) => quantile(sorted, p));
  return { min: min!, p25: p25!, median: median!, p75: p75!, p95: p95!, max: max! };
}

/** Linear interpolation between the two nearest ranks (type 7 of Hyndman and Fan 1996, NumPy's default). */
export function quantile(sorted: ArrayLike<number>, p: number): number {
  const rank = p * (sorted.length - 1);
  const below = sorted[Math.floor(rank)]!;
  return below + (rank - Math.floor(rank)) * (sorted[Math.ceil(rank)]! - below);
}

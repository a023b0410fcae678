/** @file Cuts a recording into windows at its pauses, from its level every 10 ms. */

import { InputError } from '../../base/index.js';
import { LEVELS_PER_SEC, type LevelSpan, smoothed, soundSpans } from './sound-spans.js';

/**
 * How to cut. `pauses`: windows of `minSec` to `maxSec`, cut at pauses. `grid`: a window every `sec` from the start,
 * whatever is said there, so that times are the same for every recording.
 */
export type WindowRule =
  | { readonly kind: 'pauses'; readonly minSec: number; readonly maxSec: number }
  | { readonly kind: 'grid'; readonly sec: number };

/** Windows of 3 to 15 s: about the lengths of the utterances that models of emotion are trained on. */
export const DEFAULT_WINDOWS = { kind: 'pauses', minSec: 3, maxSec: 15 } as const satisfies WindowRule;

/** Silence that stays around the sound of a window: 250 ms. */
const MARGIN = 25;
/** A cut within sound is made where 70 ms are quietest. */
const QUIET_REACH = 3;
/** What a cut at a pause of one second costs, in seconds of pause within a window; shorter pauses cost more. */
const CUT_COST = 0.3;
const SHORTEST_PAUSE_SEC = 0.05;
/** What each second costs by which a window is shorter than the least. */
const SHORT_COST = 2;

/** @throws InputError for a rule that cannot be met */
export function checkWindowRule(rule: WindowRule): void {
  if (rule.kind === 'grid') {
    if (!(rule.sec >= 0.5)) throw new InputError(`windows of ${rule.sec} s are too short; use 0.5 s or more`);
    return;
  }
  const { minSec, maxSec } = rule;
  if (!(minSec > 0 && maxSec >= 1 && minSec <= maxSec / 2)) {
    throw new InputError(
      `windows of ${minSec} to ${maxSec} s cannot be cut: the least must be above 0 s and at most half of the most, which must be 1 s or more`,
    );
  }
}

/**
 * The windows of a recording, in order and without overlap. None is longer than the rule says. Silence between windows
 * is in none of them, so that no emotion is claimed for it; a recording without an audible sound has no window.
 *
 * By pauses: sound that lasts longer than a window is cut where it is quietest. Then consecutive spans of sound are put
 * together so that cuts fall on long pauses and windows hold little silence (the cheapest partition, by dynamic
 * programming). A cut in a pause of up to half a second is made in its middle; of a longer pause, windows keep a
 * quarter of a second. A window that would be shorter than the least takes in more of the silence around it, and stays
 * shorter only where there is none.
 *
 * On a grid: the last two windows are equally long where the last would be shorter than half a window.
 * @param levels hundredths of a decibel of full scale, every 10 ms
 */
export function planWindows(levels: Int16Array, rule: WindowRule): LevelSpan[] {
  const sound = soundSpans(levels);
  if (rule.kind === 'grid') return onGrid(levels.length, Math.round(rule.sec * LEVELS_PER_SEC), sound);
  const limits: Limits = {
    least: Math.max(1, Math.round(rule.minSec * LEVELS_PER_SEC)), // no cut leaves nothing
    most: Math.floor(rule.maxSec * LEVELS_PER_SEC),
  };
  const pieces = piecesOf(sound, levels, limits);
  return lengthened(groups(pieces, limits), limits.least, levels.length);
}

interface Limits {
  readonly least: number;
  readonly most: number;
}

function onGrid(length: number, step: number, sound: readonly LevelSpan[]): LevelSpan[] {
  const starts = Array.from({ length: Math.max(1, Math.ceil(length / step)) }, (_, i) => i * step);
  const rest = length - starts.at(-1)!;
  if (starts.length > 1 && rest < step / 2) {
    starts[starts.length - 1] = Math.round((starts.at(-2)! + length) / 2);
  }
  let next = 0;
  return starts
    .map((first, i) => ({ first, end: starts[i + 1] ?? length }))
    .filter(({ first, end }) => {
      while (next < sound.length && sound[next]!.end <= first) next++;
      return next < sound.length && sound[next]!.first < end;
    });
}

/** Sound with its margins, not longer than a window. */
interface Piece extends LevelSpan {
  /** The pause before it, in seconds; 0 after a cut within sound. */
  readonly pauseSec: number;
}

function piecesOf(sound: readonly LevelSpan[], levels: Int16Array, { least, most }: Limits): Piece[] {
  let quiet: Int16Array | undefined;
  return sound.flatMap((span, i): Piece[] => {
    const [before, after] = [sound[i - 1]?.end, sound[i + 1]?.first];
    const gap = span.first - (before ?? 0);
    let first = span.first - Math.min(MARGIN, before === undefined ? gap : Math.floor(gap / 2));
    const rest = (after ?? levels.length) - span.end;
    let end = span.end + Math.min(MARGIN, after === undefined ? rest : Math.ceil(rest / 2));
    const spare = most - (span.end - span.first);
    if (spare >= 0 && end - first > most) {
      // A smaller margin is better than a cut.
      first = Math.max(first, span.first - Math.floor(spare / 2));
      end = Math.min(end, first + most);
    }
    const pieces: Piece[] = [];
    let pauseSec = gap / LEVELS_PER_SEC;
    while (end - first > most) {
      quiet ??= smoothed(levels, QUIET_REACH);
      const cut = quietest(quiet, first + least, Math.min(first + most, end - least));
      pieces.push({ first, end: cut, pauseSec });
      [first, pauseSec] = [cut, 0];
    }
    return [...pieces, { first, end, pauseSec }];
  });
}

/** The last of the quietest levels from `from` to `to`, both included. */
function quietest(levels: Int16Array, from: number, to: number): number {
  let best = from;
  for (let i = from; i <= to; i++) if (levels[i]! <= levels[best]!) best = i;
  return best;
}

/** The cheapest partition of consecutive pieces into windows. */
function groups(pieces: readonly Piece[], { least, most }: Limits): LevelSpan[] {
  const costs = [0]; // of the first n pieces
  const starts: number[] = []; // of the window that ends with piece n
  for (let last = 0; last < pieces.length; last++) {
    const { end } = pieces[last]!;
    let [best, start] = [Number.POSITIVE_INFINITY, last];
    let pausesSec = 0;
    for (let first = last; first >= 0 && end - pieces[first]!.first <= most; first--) {
      const { pauseSec } = pieces[first]!;
      const shortSec = Math.max(0, least - (end - pieces[first]!.first)) / LEVELS_PER_SEC;
      const cut = first === 0 ? 0 : CUT_COST / Math.max(pauseSec, SHORTEST_PAUSE_SEC);
      const cost = costs[first]! + cut + pausesSec + SHORT_COST * shortSec;
      if (cost < best) [best, start] = [cost, first];
      pausesSec += pauseSec;
    }
    costs.push(best);
    starts.push(start);
  }
  const windows: LevelSpan[] = [];
  for (let last = pieces.length - 1; last >= 0; last = starts[last]! - 1) {
    windows.unshift({ first: pieces[starts[last]!]!.first, end: pieces[last]!.end });
  }
  return windows;
}

/** Gives short windows silence from around them: half of what is missing from each side, if it is there. */
function lengthened(windows: readonly LevelSpan[], least: number, length: number): LevelSpan[] {
  let before = 0;
  return windows.map((window, i) => {
    const missing = Math.max(0, least - (window.end - window.first));
    const after = windows[i + 1]?.first;
    const left = window.first - before;
    const right = after === undefined ? length - window.end : Math.floor((after - window.end) / 2);
    const fromRight = Math.min(right, Math.max(Math.ceil(missing / 2), missing - left));
    const fromLeft = Math.min(left, missing - fromRight);
    before = window.end + fromRight;
    return { first: window.first - fromLeft, end: before };
  });
}

/**
 * @file Where a recording sounds and where it pauses, from its level every 10 ms. An energy rule: it tells sound from
 * its background, not a voice from music (decision 21).
 */

/** Part of a recording, in levels of 10 ms; the end is exclusive. */
export interface LevelSpan {
  readonly first: number;
  readonly end: number;
}

/** Levels per second. */
export const LEVELS_PER_SEC = 100;

/** Codec rounding around digital silence, as in the note `silent`: -87 dBFS. */
const AUDIBLE_LEVEL = -8700;
/** A background is looked for in this many seconds before and after each second. */
const CONTEXT_SEC = 15;
/** Fluent speech pauses for little more than this share of its time. */
const BACKGROUND_SHARE = 0.03;
/** Sound starts above the background by this share of the range from the background to the loud parts ... */
const ONSET_SHARE = 0.3;
/** ... and by 8 dB at most, so that the weak ends of words count where the background is far below. */
const ONSET_MOST = 800;
/** What is this far below the loud parts nearby (45 dB), or of the whole recording (55 dB), is background. */
const NEAR_RANGE = 4500;
const WHOLE_RANGE = 5500;
/** Sound ends 3 dB below the level at which it starts. */
const HYSTERESIS = 300;
/** With less than 10 dB between its quiet and loud parts, a context has no pauses, or nothing else. */
const STEADY_RANGE = 1000;
/** A gap of 200 ms is a pause; shorter ones are closures within words, such as those of stops. */
export const PAUSE_LEVELS = 20;
/** Sound of less than 50 ms by itself is a click. */
const CLICK_LEVELS = 5;

/** Steps of the histograms: half a decibel, from -200 to +20 dB. */
const BIN = 50;
const LOWEST = -20_000;
const BINS = 440;

/**
 * The spans that sound, in order, separated by pauses of at least `PAUSE_LEVELS`; none in a recording without an
 * audible sound.
 * @param levels hundredths of a decibel of full scale
 */
export function soundSpans(levels: Int16Array): LevelSpan[] {
  const smooth = smoothed(levels, 1);
  const thresholds = onsets(smooth);
  const runs: { first: number; end: number }[] = [];
  let isOn = false;
  for (let i = 0; i < smooth.length; i++) {
    const onset = thresholds[Math.floor(i / LEVELS_PER_SEC)]!;
    const isSound: boolean = smooth[i]! >= Math.max(AUDIBLE_LEVEL, isOn ? onset - HYSTERESIS : onset);
    if (isSound && !isOn) runs.push({ first: i, end: i });
    if (isSound) runs.at(-1)!.end = i + 1;
    isOn = isSound;
  }
  const long = runs.filter(({ first, end }) => end - first >= CLICK_LEVELS);
  const spans: { first: number; end: number }[] = [];
  for (const run of long.length > 0 ? long : runs) {
    const last = spans.at(-1);
    if (last && run.first - last.end < PAUSE_LEVELS) last.end = run.end;
    else spans.push({ ...run });
  }
  return spans;
}

/** Mean power over `reach` levels on either side, in hundredths of a decibel. */
export function smoothed(levels: Int16Array, reach: number): Int16Array {
  const powers = Float64Array.from(levels, (level) => 10 ** (level / 1000));
  const means = new Int16Array(levels.length);
  for (let i = 0; i < levels.length; i++) {
    const [from, to] = [Math.max(0, i - reach), Math.min(levels.length - 1, i + reach)];
    let sum = 0;
    for (let k = from; k <= to; k++) sum += powers[k]!;
    means[i] = Math.round(1000 * Math.log10(sum / (to - from + 1)));
  }
  return means;
}

/** The level at which sound starts, for each second. */
function onsets(smooth: Int16Array): number[] {
  const whole = new Int32Array(BINS);
  count(whole, smooth, 0, smooth.length, 1);
  const seconds = Math.ceil(smooth.length / LEVELS_PER_SEC);
  const ofWhole = onsetOf(whole);
  const least = loudOf(whole) - WHOLE_RANGE;
  const near = new Int32Array(BINS);
  const move = (second: number, by: 1 | -1): void => {
    if (second >= 0 && second < seconds) {
      count(near, smooth, second * LEVELS_PER_SEC, (second + 1) * LEVELS_PER_SEC, by);
    }
  };
  for (let second = 0; second < CONTEXT_SEC; second++) move(second, 1);
  return Array.from({ length: seconds }, (_, second) => {
    move(second + CONTEXT_SEC, 1);
    move(second - CONTEXT_SEC - 1, -1);
    return Math.max(least, onsetOf(near) ?? ofWhole ?? AUDIBLE_LEVEL);
  });
}

/** The level at which sound starts among these; undefined for a steady signal. */
function onsetOf(histogram: Histogram): number | undefined {
  const loud = loudOf(histogram);
  const background = backgroundOf(histogram, loud);
  const range = loud - background;
  if (!(range >= STEADY_RANGE)) return undefined;
  return Math.max(background + Math.min(ONSET_SHARE * range, ONSET_MOST), loud - NEAR_RANGE);
}

/** Numbers of levels, in steps of `BIN` from `LOWEST`. */
type Histogram = Int32Array; // [BINS]

/** Counts levels, or takes them out again. */
function count(histogram: Histogram, levels: Int16Array, first: number, end: number, by: 1 | -1): void {
  for (let i = first; i < Math.min(end, levels.length); i++) {
    const bin = Math.min(BINS - 1, Math.max(0, Math.floor((levels[i]! - LOWEST) / BIN)));
    histogram[bin]! += by;
  }
}

/** What a second of the recording, or a twentieth of it if that is less, reaches or exceeds. */
function loudOf(histogram: Histogram): number {
  const total = histogram.reduce((sum, levels) => sum + levels, 0);
  const rank = Math.min(LEVELS_PER_SEC, Math.ceil(0.05 * total));
  let above = 0;
  for (let bin = BINS - 1; bin >= 0; bin--) {
    above += histogram[bin]!;
    if (above >= rank) return LOWEST + bin * BIN;
  }
  return LOWEST;
}

/** What the quietest part stays below, without silence that a device or an editor has put there. */
function backgroundOf(histogram: Histogram, loud: number): number {
  const from = Math.max(0, Math.floor((Math.max(AUDIBLE_LEVEL, loud - 6000) - LOWEST) / BIN));
  let total = 0;
  for (let bin = from; bin < BINS; bin++) total += histogram[bin]!;
  let below = 0;
  for (let bin = from; bin < BINS; bin++) {
    below += histogram[bin]!;
    if (below >= BACKGROUND_SHARE * total) return LOWEST + bin * BIN;
  }
  return LOWEST;
}

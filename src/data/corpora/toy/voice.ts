/**
 * @file The toy voice: arousal (pitch level and range, rate, tilt and envelope over a clip) and a source-filter
 * synthesizer. Glottal pulses (Rosenberg, 1971) with jitter and spectral tilt, and noise for breath and
 * consonants, pass through a cascade of formant resonators (Klatt, 1980).
 */

import type { Random } from '../../../engine/tensor/index.js';
import { randomSyllable, type SpokenWord, type Syllable } from './pronunciation.js';
import type { VoiceTraits } from './sentences.js';

export type Arousal = 'high' | 'low';

export interface TimedSyllable {
  readonly syllable: Syllable;
  readonly startSec: number;
  readonly durationSec: number;
  /** Peak gain of this syllable, at most 1. */
  readonly gain: number;
  /** Pitch accent on this syllable in semitones. */
  readonly accentSemitones: number;
}

/** Parameters of the synthesizer apart from the speaker. */
export interface VoicedUtterance {
  /** Length of the whole clip, silence included. */
  readonly durationSec: number;
  readonly syllables: readonly TimedSyllable[];
  /** Pitch above the speaker's resting pitch at the first syllable, in semitones. */
  readonly pitchSemitones: number;
  /** Fall of the pitch over the clip in semitones. */
  readonly declinationSemitones: number;
  /** Factor on the speaker's source corner: above 1 gives a brighter, pressed voice. */
  readonly brightness: number;
  /** Factor on the speaker's breathiness. */
  readonly breath: number;
  /** Share of a syllable taken by its attack: small is abrupt. */
  readonly attackShare: number;
  /** Share of a syllable taken by its consonant. */
  readonly onsetShare: number;
  /** Largest sample of the clip, in (0, 1]. */
  readonly peak: number;
}

type Range = readonly [number, number];

interface ArousalStyle {
  readonly pitchSemitones: Range;
  readonly accentSemitones: Range;
  readonly declinationSemitones: Range;
  readonly rate: Range;
  readonly brightness: Range;
  readonly breath: Range;
  readonly attackShare: Range;
  readonly gain: Range;
}

/**
 * Each range is drawn from once per utterance (accents and gains once per syllable); all values are relative to the
 * speaker.
 */
const styles: Readonly<Record<Arousal, ArousalStyle>> = {
  high: {
    pitchSemitones: [5, 9],
    accentSemitones: [-2, 5],
    declinationSemitones: [1, 4],
    rate: [1.2, 1.45],
    brightness: [1.9, 3],
    breath: [0.4, 0.9],
    attackShare: [0.12, 0.25],
    gain: [0.55, 1],
  },
  low: {
    pitchSemitones: [-2, 1],
    accentSemitones: [-0.8, 1],
    declinationSemitones: [0.5, 2.5],
    rate: [0.72, 0.92],
    brightness: [0.5, 0.9],
    breath: [1.1, 2.2],
    attackShare: [0.3, 0.45],
    gain: [0.75, 1],
  },
};

/** Clip lengths in seconds of the default voice. */
const CLIP_SEC: Range = [1.2, 2.5];
/** Silence before and after the speech in seconds. */
const EDGE_SEC: Range = [0.05, 0.2];
const PEAK: Range = [0.35, 0.8];
/** Who spells a word says this many times as many syllables per second. */
const SPELLING_PACE = 1.8;
const PAUSE = null;

/**
 * Lays syllables out over a clip. The clip's length and peak are drawn before anything that depends on the arousal, so
 * that neither reveals it.
 *
 * @param stretch position of the clip's length in the range of lengths, in [0, 1)
 * @param spoken the words to say, with a pause of one syllable between them. Without them the voice says as many random
 *   syllables as fit at its rate; with them the length depends on their number (never on the rate: the rest is silence)
 */
export function layOutUtterance(
  random: Random,
  voice: VoiceTraits,
  arousal: Arousal,
  stretch: number,
  spoken?: readonly SpokenWord[],
): VoicedUtterance {
  const between = ([low, high]: Range): number => low + (high - low) * random.uniform();
  const peak = between(PEAK);
  const leadSec = between(EDGE_SEC);
  const tailSec = between(EDGE_SEC);

  const style = styles[arousal];
  const habitual = voice.syllablesPerSec * (spoken ? SPELLING_PACE : 1);
  const rate = habitual * between(style.rate);
  const slots = spoken?.flatMap(({ syllables }, word) => [...(word === 0 ? [] : [PAUSE]), ...syllables]);
  const speechSec = slots
    ? (slots.length / (habitual * styles.low.rate[0])) * (1 + 0.2 * stretch)
    : CLIP_SEC[0] + (CLIP_SEC[1] - CLIP_SEC[0]) * stretch - leadSec - tailSec;
  const count = slots?.length ?? Math.max(2, Math.round(speechSec * rate));
  // A free voice fills the clip evenly; a spoken text keeps its own pace and ends early.
  const slotSec = slots ? 1 / rate : speechSec / count;

  const syllables = Array.from({ length: count }, (_, index): TimedSyllable[] => {
    const syllable = slots === undefined ? randomSyllable(random) : slots[index]!;
    if (syllable === PAUSE) return [];
    const shift = 0.08 * (random.uniform() - 0.5);
    return [
      {
        syllable,
        startSec: leadSec + (index + Math.max(0, shift)) * slotSec,
        durationSec: slotSec * (0.92 - Math.abs(shift)),
        gain: between(style.gain),
        accentSemitones: between(style.accentSemitones),
      },
    ];
  }).flat();
  return {
    durationSec: leadSec + speechSec + tailSec,
    syllables,
    pitchSemitones: between(style.pitchSemitones),
    declinationSemitones: between(style.declinationSemitones),
    brightness: between(style.brightness),
    breath: between(style.breath),
    attackShare: between(style.attackShare),
    onsetShare: spoken ? 0.4 : 0.25,
    peak,
  };
}

export const SAMPLE_RATE_HZ = 16_000;

/** Filters and gains are updated once per this many samples (5 ms). */
const CONTROL_SAMPLES = 80;
const MURMUR_HZ = [260, 1100, 2300] as const;
const BANDWIDTH_HZ = [70, 100, 150, 250] as const;
/** The fourth formant does not depend on the vowel. */
const FOURTH_FORMANT_HZ = 3500;
const OPEN_QUOTIENT = 0.6;
/** Background noise relative to the peak: -52 dB. */
const FLOOR = 0.0025;

/** State of the voice at one instant. */
interface Control {
  formantsHz: [number, number, number];
  /** Gain of the pulses and of the consonant noise. */
  voicing: number;
  hiss: number;
  hissHz: number;
  pitchSemitones: number;
}

/** Two-pole resonator with unit gain at 0 Hz (Klatt, 1980, eq. 2). */
interface Resonator {
  a: number;
  b: number;
  c: number;
  y1: number;
  y2: number;
}

/**
 * Renders an utterance.
 * @returns mono samples at 16 kHz, `sampleCount(utterance)` of them, with a maximum of `utterance.peak`
 */
export function synthesize(random: Random, voice: VoiceTraits, utterance: VoicedUtterance): Float32Array {
  const samples = new Float32Array(sampleCount(utterance));
  const tract = [resonator(), resonator(), resonator(), resonator()];
  const consonant = resonator();
  tune(tract[3]!, FOURTH_FORMANT_HZ * voice.formantScale, BANDWIDTH_HZ[3]);

  const corner = voice.sourceCornerHz * utterance.brightness;
  const tilt = Math.exp((-2 * Math.PI * corner) / SAMPLE_RATE_HZ);
  const breath = voice.breathiness * utterance.breath;
  const control: Control = {
    formantsHz: [500, 1500, 2500],
    voicing: 0,
    hiss: 0,
    hissHz: 3000,
    pitchSemitones: 0,
  };
  let syllableIndex = 0;
  let phase = 0; // of the glottal cycle, in [0, 1)
  let periodScale = 1;
  let source = 0;
  let voicing = 0;
  let hiss = 0;

  for (let start = 0; start < samples.length; start += CONTROL_SAMPLES) {
    const timeSec = start / SAMPLE_RATE_HZ;
    while (
      timeSec >= endSec(utterance.syllables[syllableIndex]) &&
      syllableIndex < utterance.syllables.length - 1
    )
      syllableIndex += 1;
    moveControl(control, utterance, utterance.syllables[syllableIndex]!, timeSec);
    for (let formant = 0; formant < 3; formant++)
      tune(tract[formant]!, control.formantsHz[formant]! * voice.formantScale, BANDWIDTH_HZ[formant]!);
    tune(consonant, control.hissHz, 600);
    const pitchHz = voice.basePitchHz * 2 ** (control.pitchSemitones / 12);
    const step = pitchHz / SAMPLE_RATE_HZ;

    const end = Math.min(start + CONTROL_SAMPLES, samples.length);
    for (let i = start; i < end; i++) {
      phase += step / periodScale;
      if (phase >= 1) {
        phase -= 1;
        periodScale = 1 + voice.jitter * (2 * random.uniform() - 1);
      }
      // Gains glide, so that a new control frame does not click.
      voicing += (control.voicing - voicing) * 0.02;
      hiss += (control.hiss - hiss) * 0.02;
      const noise = 2 * random.uniform() - 1;
      const open = phase < OPEN_QUOTIENT ? 1 : 0.3; // breath escapes while the glottis is open
      source = (1 - tilt) * (glottalFlow(phase) + breath * noise * open) + tilt * source;
      let sample = source * voicing;
      for (const formant of tract) sample = resonate(formant, sample);
      samples[i] = sample + hiss * resonate(consonant, noise);
    }
  }
  finish(samples, random, utterance.peak);
  return samples;
}

/** Number of samples of the whole clip. */
export function sampleCount({ durationSec }: VoicedUtterance): number {
  return Math.round(durationSec * SAMPLE_RATE_HZ);
}

/** Derivative of Rosenberg's polynomial pulse over one cycle, with zero mean: the source as radiated at the lips. */
function glottalFlow(phase: number): number {
  if (phase >= OPEN_QUOTIENT) return 0;
  const t = phase / OPEN_QUOTIENT;
  return 6 * t * (2 - 3 * t) * (1 / OPEN_QUOTIENT) * 0.25; // d/dt of 6t^2(1 - t), over four
}

/** Sets the targets for `timeSec`, which is in or before `syllable`. */
function moveControl(
  control: Control,
  utterance: VoicedUtterance,
  { syllable, startSec, durationSec, gain, accentSemitones }: TimedSyllable,
  timeSec: number,
): void {
  const progress = (timeSec - startSec) / durationSec;
  if (progress < 0 || progress >= 1) {
    control.voicing = 0;
    control.hiss = 0;
    return;
  }
  const inOnset = progress < utterance.onsetShare && syllable.onset !== 'none';
  const murmur = inOnset && syllable.onset === 'nasal';
  for (let formant = 0; formant < 3; formant++) {
    const vowelHz = syllable.from[formant]! + (syllable.to[formant]! - syllable.from[formant]!) * progress;
    const targetHz = murmur ? MURMUR_HZ[formant]! : vowelHz;
    control.formantsHz[formant]! += (targetHz - control.formantsHz[formant]!) * 0.5;
  }

  const attack = Math.min(1, progress / utterance.attackShare);
  const release = Math.min(1, (1 - progress) / 0.3);
  const envelope = gain * Math.sin((Math.PI / 2) * Math.min(attack, release));
  control.voicing = murmur ? 0.4 * envelope : inOnset ? 0 : envelope;
  const bursting = syllable.onset === 'plosive' && progress > 0.12;
  control.hiss = inOnset && !murmur && (syllable.onset === 'fricative' || bursting) ? 0.12 * gain : 0;
  control.hissHz = syllable.onsetNoiseHz || control.hissHz;

  const accent = accentSemitones * Math.sin(Math.PI * progress);
  const fall = utterance.declinationSemitones * (timeSec / utterance.durationSec);
  control.pitchSemitones = utterance.pitchSemitones + accent - fall;
}

/** Scales to the peak and adds the background noise. */
function finish(samples: Float32Array, random: Random, peak: number): void {
  let largest = 0;
  for (const sample of samples) largest = Math.max(largest, Math.abs(sample));
  const gain = peak * (1 - FLOOR) * (largest > 0 ? 1 / largest : 0);
  for (let i = 0; i < samples.length; i++)
    samples[i] = samples[i]! * gain + peak * FLOOR * (2 * random.uniform() - 1);
}

function endSec(syllable: TimedSyllable | undefined): number {
  return syllable ? syllable.startSec + syllable.durationSec : Number.POSITIVE_INFINITY;
}

function resonator(): Resonator {
  return { a: 1, b: 0, c: 0, y1: 0, y2: 0 };
}

function tune(filter: Resonator, centreHz: number, bandwidthHz: number): void {
  const frequency = Math.min(centreHz, 0.47 * SAMPLE_RATE_HZ);
  filter.c = -Math.exp((-2 * Math.PI * bandwidthHz) / SAMPLE_RATE_HZ);
  filter.b =
    2 *
    Math.exp((-Math.PI * bandwidthHz) / SAMPLE_RATE_HZ) *
    Math.cos((2 * Math.PI * frequency) / SAMPLE_RATE_HZ);
  filter.a = 1 - filter.b - filter.c;
}

function resonate(filter: Resonator, input: number): number {
  const output = filter.a * input + filter.b * filter.y1 + filter.c * filter.y2;
  filter.y2 = filter.y1;
  filter.y1 = output;
  return output;
}

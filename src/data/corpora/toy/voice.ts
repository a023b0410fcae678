/**
 * @file The toy voice: a source-filter synthesizer. Glottal pulses (Rosenberg, 1971) with jitter and spectral tilt,
 * and noise for breath and consonants, run through a cascade of formant resonators (Klatt, 1980).
 */

import type { Random } from '../../../engine/tensor/index.js';
import type { TimedSyllable, Utterance } from './prosody.js';
import type { VoiceTraits } from './sentences.js';

export const SAMPLE_RATE_HZ = 16_000;

/** Filters and gains move once in this many samples (5 ms). */
const CONTROL_SAMPLES = 80;
/** Share of a syllable that its consonant takes. */
const ONSET_SHARE = 0.25;
const MURMUR_HZ = [260, 1100, 2300] as const;
const BANDWIDTH_HZ = [70, 100, 150, 250] as const;
/** The fourth formant does not move with the vowel. */
const FOURTH_FORMANT_HZ = 3500;
const OPEN_QUOTIENT = 0.6;
/** Room noise relative to the peak: -52 dB. */
const FLOOR = 0.0025;

/** Where the voice is at one instant. */
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
 * @returns mono samples at 16 kHz, `sampleCount(utterance)` of them, with the largest at `utterance.peak`.
 */
export function synthesize(random: Random, voice: VoiceTraits, utterance: Utterance): Float32Array {
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

/** Samples of the whole clip. */
export function sampleCount({ durationSec }: Utterance): number {
  return Math.round(durationSec * SAMPLE_RATE_HZ);
}

/** Derivative of Rosenberg's polynomial pulse over one cycle, zero on average: the source as radiated at the lips. */
function glottalFlow(phase: number): number {
  if (phase >= OPEN_QUOTIENT) return 0;
  const t = phase / OPEN_QUOTIENT;
  return 6 * t * (2 - 3 * t) * (1 / OPEN_QUOTIENT) * 0.25; // d/dt of 6t^2(1 - t), over four
}

/** Sets the targets of the instant `timeSec`, which is in or before `syllable`. */
function moveControl(
  control: Control,
  utterance: Utterance,
  { syllable, startSec, durationSec, gain, accentSemitones }: TimedSyllable,
  timeSec: number,
): void {
  const progress = (timeSec - startSec) / durationSec;
  if (progress < 0 || progress >= 1) {
    control.voicing = 0;
    control.hiss = 0;
    return;
  }
  const inOnset = progress < ONSET_SHARE && syllable.onset !== 'none';
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

/** Scales to the peak and lays the room's noise under it. */
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

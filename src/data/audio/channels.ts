/** @file One channel out of many: the one that is asked for, the centre of a surround clip, or the mean of the rest. */

import { type AudioNote, isSilent } from './audio-notes.js';

/**
 * Which channel becomes the mono signal. `auto` takes the centre where the layout names one (in film and
 * television sound the centre carries the speech) and mixes everything else; `mix` is the plain mean of all
 * channels but the low-frequency one; a number picks a channel, counted from 1.
 */
export type ChannelChoice = 'auto' | 'mix' | number;

/** Interleaved samples: frame after frame, one value for each channel. */
export interface InterleavedAudio {
  samples: Float32Array; // [frames * channels]
  channels: number;
  /** WAVEFORMATEXTENSIBLE speaker mask; 0 where the layout is not known. */
  channelMask: number;
}

export interface MonoAudio {
  samples: Float32Array; // [frames]
  /** The channels that it is made of, counted from 0. */
  picked: readonly number[];
  /** Where another choice was made than the layout alone would give. */
  note?: AudioNote | undefined;
}

const FRONT_CENTRE = 0x4;
const LOW_FREQUENCY = 0x8;

/**
 * Channels cancel when their mean keeps less than this share of the energy that it would have if they had nothing in
 * common (-10 dB): for two equally loud ones a correlation under -0.9. A stereo file with a wire crossed is at 0.
 */
const CANCELLED_SHARE = 0.1;

/**
 * A channel as people write it: a number from 1 (tables may have it as `2.0`), or `mix`.
 * @returns undefined where it is neither
 */
export function parseChannel(text: string): ChannelChoice | undefined {
  const cell = text.trim().toLowerCase();
  if (cell === 'mix') return 'mix';
  const number = /^(\d{1,5})(?:\.0+)?$/.exec(cell)?.[1];
  return number === undefined || Number(number) < 1 ? undefined : Number(number);
}

/**
 * Interleaved audio to mono. Where the mean of the channels cancels, the loudest of them is taken alone; where the
 * centre of a surround clip is silent, the mean of the others.
 * @throws RangeError when a numbered channel does not exist.
 */
export function toMono(audio: InterleavedAudio, choice: ChannelChoice = 'auto'): MonoAudio {
  const { samples, channels, channelMask } = audio;
  if (typeof choice === 'number' && !(choice >= 1 && choice <= channels)) {
    const has = channels === 1 ? 'it has 1 channel' : `it has ${channels} channels`;
    throw new RangeError(`channel ${choice} does not exist: ${has}`);
  }
  if (channels === 1) return { samples, picked: [0] };
  if (typeof choice === 'number') return average(audio, [choice - 1]);
  const { centre, others } = speakersOf(channels, channelMask);
  if (choice === 'auto' && channels > 2 && centre !== undefined) {
    const mono = average(audio, [centre]);
    if (!isSilent(mono.samples)) return mono;
    const rest = mix(
      audio,
      others.filter((channel) => channel !== centre),
    );
    if (isSilent(rest.samples)) return mono;
    const text = 'the centre channel is silent: the other channels were taken';
    return { ...rest, note: { kind: 'channel', text } };
  }
  return mix(audio, others);
}

/** The mean of channels, or the loudest alone where they cancel. */
function mix(audio: InterleavedAudio, picked: readonly number[]): MonoAudio {
  const mean = average(audio, picked);
  if (picked.length < 2) return mean;
  const energies = picked.map((channel) => energyOf(audio.samples, channel, audio.channels));
  const unrelated = energies.reduce((sum, energy) => sum + energy, 0) / picked.length ** 2;
  if (energyOf(mean.samples, 0, 1) >= CANCELLED_SHARE * unrelated) return mean;
  const loudest = picked[energies.indexOf(Math.max(...energies))]!;
  const alone = average(audio, [loudest]);
  if (isSilent(alone.samples)) return mean; // nothing to lose
  const text = `its ${picked.length} channels cancel each other when mixed: channel ${loudest + 1} was taken alone`;
  return { ...alone, note: { kind: 'channel', text } };
}

function average({ samples, channels }: InterleavedAudio, picked: readonly number[]): MonoAudio {
  const frames = Math.floor(samples.length / channels);
  const mono = new Float32Array(frames);
  for (let frame = 0; frame < frames; frame++) {
    let sum = 0;
    for (const channel of picked) sum += samples[frame * channels + channel]!;
    mono[frame] = sum / picked.length;
  }
  return { samples: mono, picked };
}

/** Sum of squares around the mean: a constant is no sound. */
function energyOf(samples: Float32Array, channel: number, channels: number): number {
  let [sum, squares, frames] = [0, 0, 0];
  for (let i = channel; i < samples.length; i += channels, frames++) {
    const value = samples[i]!;
    sum += value;
    squares += value * value;
  }
  return frames === 0 ? 0 : Math.max(0, squares - (sum * sum) / frames);
}

/** The centre, and what a mix is made of. Channels are stored in the order of the mask's bits, from the lowest. */
function speakersOf(channels: number, mask: number): { centre?: number | undefined; others: number[] } {
  const speakers: number[] = [];
  for (let bit = 0; bit < 18; bit++) if (mask & (1 << bit)) speakers.push(1 << bit);
  const all = Array.from({ length: channels }, (_, channel) => channel);
  if (speakers.length !== channels) return { others: all }; // no layout, or one that does not fit: nothing to choose by
  const centre = speakers.indexOf(FRONT_CENTRE);
  return {
    centre: centre < 0 ? undefined : centre,
    others: all.filter((channel) => speakers[channel] !== LOW_FREQUENCY),
  };
}

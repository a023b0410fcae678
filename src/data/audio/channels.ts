/** @file One channel out of many: the centre of a surround clip, or the mean of the rest. */

/**
 * Which channel becomes the mono signal. `auto` takes the centre where the layout names one (in film and
 * television sound the centre carries the speech) and mixes everything else; `mix` is the plain mean of all
 * channels but the low-frequency one; a number picks a channel, counted from 0.
 */
export type ChannelChoice = 'auto' | 'mix' | number;

/** Interleaved samples: frame after frame, one value for each channel. */
export interface InterleavedAudio {
  samples: Float32Array; // [frames * channels]
  channels: number;
  /** WAVEFORMATEXTENSIBLE speaker mask; 0 where the layout is not known. */
  channelMask: number;
}

const FRONT_CENTRE = 0x4;
const LOW_FREQUENCY = 0x8;

/** Interleaved audio to mono [frames]. @throws RangeError when a numbered channel does not exist. */
export function toMono(audio: InterleavedAudio, choice: ChannelChoice = 'auto'): Float32Array {
  const { samples, channels, channelMask } = audio;
  if (typeof choice === 'number' && !(choice >= 0 && choice < channels)) {
    throw new RangeError(`channel ${choice} does not exist: there are ${channels}, counted from 0`);
  }
  if (channels === 1) return samples;
  const frames = Math.floor(samples.length / channels);
  const picked = typeof choice === 'number' ? [choice] : mixedChannels(channels, channelMask, choice);
  const mono = new Float32Array(frames);
  for (let frame = 0; frame < frames; frame++) {
    let sum = 0;
    for (const channel of picked) sum += samples[frame * channels + channel]!;
    mono[frame] = sum / picked.length;
  }
  return mono;
}

/** Channels are stored in the order of the mask's bits, from the lowest. */
function mixedChannels(channels: number, mask: number, choice: 'auto' | 'mix'): number[] {
  const speakers: number[] = [];
  for (let bit = 0; bit < 18; bit++) if (mask & (1 << bit)) speakers.push(1 << bit);
  const all = Array.from({ length: channels }, (_, channel) => channel);
  if (speakers.length !== channels) return all; // no layout, or one that does not fit: nothing to choose by
  const centre = speakers.indexOf(FRONT_CENTRE);
  if (choice === 'auto' && channels > 2 && centre >= 0) return [centre];
  return all.filter((channel) => speakers[channel] !== LOW_FREQUENCY);
}

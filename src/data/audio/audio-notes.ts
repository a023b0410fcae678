/** @file What somebody should know of a sound before they believe what is said of it. */

/**
 * `silent`: there is nothing to hear. `clipped`: flat at full scale. `channel`: the channels cancel each other when they
 * are mixed, so another choice was made. `rescaled`: float samples beyond full scale. `incomplete`: the file holds
 * somewhat less than its header says.
 */
export const AUDIO_NOTE_KINDS = ['silent', 'clipped', 'channel', 'rescaled', 'incomplete'] as const;

export type AudioNoteKind = (typeof AUDIO_NOTE_KINDS)[number];

export interface AudioNote {
  kind: AudioNoteKind;
  /** In words, one line, without the file's name and the kind. */
  text: string;
}

/**
 * Samples that lie closer together than this, 3 steps of 16 bits, are no sound (-87 dBFS) but what a codec's rounding
 * leaves of silence, whatever they lie around: a recorder may add a constant.
 */
const SILENT_RANGE = 3 / 0x8000;

/** The largest 16-bit sample is 0.99997. */
const FULL_SCALE = 0.9999;
/** Samples at full scale in a row that a recording within its limits hardly ever has. */
const FLAT_SAMPLES = 3;
/** Share of samples in such rows from which a sound is called clipped. */
const CLIPPED_SHARE = 0.001;

export function isSilent(samples: Float32Array): boolean {
  let [lowest, highest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of samples) {
    if (value < lowest) lowest = value;
    if (value > highest) highest = value;
  }
  return !(highest - lowest >= SILENT_RANGE);
}

/** The note on a clip that is flat at full scale in one of the channels that it is made of. */
export function clippingNote(
  samples: Float32Array, // [frames * channels]
  channels: number,
  picked: readonly number[],
): AudioNote | undefined {
  const share = Math.max(...picked.map((channel) => flatShare(samples, channels, channel)));
  if (share < CLIPPED_SHARE) return undefined;
  return { kind: 'clipped', text: `${(share * 100).toFixed(1)} % of its samples are at full scale` };
}

function flatShare(samples: Float32Array, channels: number, channel: number): number {
  let [flat, run] = [0, 0];
  const end = (): void => {
    if (run >= FLAT_SAMPLES) flat += run;
  };
  let sign = 0;
  let frames = 0;
  for (let i = channel; i < samples.length; i += channels, frames++) {
    const value = samples[i]!;
    const now = value >= FULL_SCALE ? 1 : value <= -FULL_SCALE ? -1 : 0;
    if (now !== sign) {
      end();
      run = 0;
      sign = now;
    }
    if (now !== 0) run++;
  }
  end();
  return frames === 0 ? 0 : flat / frames;
}

/** One line for many sounds: `3 silent (first a.wav), 1 clipped (first b.wav)`; '' where there are no notes. */
export function countByKind(notes: Iterable<{ readonly kind: string; readonly name: string }>): string {
  const kinds = new Map<string, { count: number; first: string }>();
  for (const { kind, name } of notes) {
    const known = kinds.get(kind);
    if (known) known.count += 1;
    else kinds.set(kind, { count: 1, first: name });
  }
  return [...kinds]
    .map(
      ([kind, { count, first }]) =>
        `${count.toLocaleString('en')} ${KIND_WORDS[kind] ?? kind} (first ${first})`,
    )
    .join(', ');
}

const KIND_WORDS: Readonly<Record<string, string>> = {
  cut: 'cut to their beginning',
  channel: 'with channels that cancel each other',
};

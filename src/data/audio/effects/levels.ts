/** @file Levels of mono signals: power, mixing at a signal-to-noise ratio, gain. */

/** Mean square. */
export function powerOf(samples: Float32Array): number {
  let squares = 0;
  for (const value of samples) squares += value * value;
  return samples.length === 0 ? 0 : squares / samples.length;
}

/**
 * Speech with noise added so that 10 log10(P_speech / P_noise) = `snrDb`, both powers over the whole clip. A clip
 * without sound, or noise without, has no such ratio: the speech is returned unchanged.
 * @param noise as long as the speech, of any level
 */
export function withNoise(speech: Float32Array, noise: Float32Array, snrDb: number): Float32Array {
  if (noise.length !== speech.length) throw new RangeError('noise and speech differ in length');
  const [signal, disturbance] = [powerOf(speech), powerOf(noise)];
  if (signal === 0 || disturbance === 0) return speech;
  const factor = Math.sqrt(signal / (disturbance * 10 ** (snrDb / 10)));
  return speech.map((value, t) => value + factor * noise[t]!);
}

export function withGain(samples: Float32Array, gainDb: number): Float32Array {
  const factor = 10 ** (gainDb / 20);
  return samples.map((value) => factor * value);
}

/** Samples beyond full scale scale the whole clip down, so that nothing is clipped and ratios stay. */
export function withinScale(samples: Float32Array): Float32Array {
  let peak = 0;
  for (const value of samples) peak = Math.max(peak, Math.abs(value));
  return peak <= 1 ? samples : samples.map((value) => value / peak);
}
